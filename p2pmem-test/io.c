// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "io.h"

/* More short transfers in a row without a whole block are no accident. */
#define MAX_STALLS 16

static const char *io_name(const struct io *io)
{
	return io->direction == IO_READ ? "read from" : "write to";
}

/*
 * A P2PDMA mapping that is refused gives EREMOTEIO up to Linux 6.14 (block
 * layer: BLK_STS_TARGET) and, for NVMe on the blk-mq DMA API, EINVAL from
 * 6.17 on (BLK_STS_INVAL). Alignment was checked before, so that EINVAL has
 * no other meaning left.
 */
static int fail_refused(const struct io *io, uint64_t offset, int error,
			struct outcome *out)
{
	return fail_errno(out, STATUS_REFUSED, error,
			  "peer-to-peer refused: the kernel does not let %s reach %s (%s at byte %ju: %s). Either the two have no common upstream bridge and the host bridge is not in the kernel's whitelist, or ACS redirects their traffic, or the drive's driver cannot do P2PDMA. Look in dmesg for \"cannot be used for peer-to-peer DMA\"",
			  io->drive->path, io->mem_path,
			  io->direction == IO_READ ? "read" : "write",
			  (uintmax_t)offset, strerrorname_np(error));
}

/* What the errno means here, and what to look at. */
static const char *explain(const struct io *io, int error)
{
	switch (error) {
	case EFAULT:
		return io->mem_path ?
		       ": the memory of P2PMEM is gone, its provider was unbound or removed; look whether the device is still bound to its driver, and in dmesg" :
		       "";
	case EIO:
		return ": the drive or its controller failed the command, look in dmesg; if only this P2PMEM gives it, the drive cannot use this memory in one command, see EIO in the man page";
	case ENODEV:
	case ENXIO:
		return ": the drive was removed, or unbound from its driver; look in dmesg, and whether it is still in lsblk";
	case EREMOTEIO:
	case EINVAL:
		return ": the drive's driver refused the command, which went through host memory; look in dmesg";
	case ENOSPC:
		return ": there is no space left below the drive";
	default:
		return "";
	}
}

static int fail_io(const struct io *io, uint64_t offset, int error,
		   struct outcome *out)
{
	if (io->mem_path && (error == EREMOTEIO || error == EINVAL))
		return fail_refused(io, offset, error, out);
	return fail_errno(out, STATUS_ERROR, error,
			  "cannot %s %s at byte %ju%s%s: %s%s", io_name(io),
			  io->drive->path, (uintmax_t)offset,
			  io->mem_path ? " by " : "",
			  io->mem_path ? io->mem_path : "",
			  strerror(error), explain(io, error));
}

static int fail_stalled(const struct io *io, const char *why,
			struct outcome *out)
{
	return fail(out, STATUS_ERROR, "cannot %s %s at byte %ju: %s",
		    io_name(io), io->drive->path,
		    (uintmax_t)(io->offset + io->done), why);
}

enum io_state io_advance(struct io *io, ssize_t result, struct outcome *out)
{
	size_t blocks;

	if (result == -EINTR)
		return IO_UNFINISHED;
	if (result < 0) {
		fail_io(io, io->offset + io->done, (int)-result, out);
		return IO_FAILED;
	}
	if (!result) {
		fail_stalled(io, "the drive ends there now; if it was not made smaller, it was removed or unbound from its driver, look in dmesg",
			     out);
		return IO_FAILED;
	}
	/* O_DIRECT can only go on at the start of a block. */
	blocks = (size_t)result / io->drive->align * io->drive->align;
	io->stalls = blocks ? 0 : io->stalls + 1;
	if (io->stalls == MAX_STALLS) {
		fail_stalled(io, "only parts of a block are transferred", out);
		return IO_FAILED;
	}
	io->done += blocks;
	return io->done < io->length ? IO_UNFINISHED : IO_DONE;
}

static ssize_t transfer(const struct io *io)
{
	char *buf = (char *)io->buf + io->done;
	size_t length = io->length - io->done;
	off_t offset = (off_t)(io->offset + io->done);
	ssize_t count = io->direction == IO_READ ?
			pread(io->drive->fd, buf, length, offset) :
			pwrite(io->drive->fd, buf, length, offset);

	return count < 0 ? -errno : count;
}

int io_run(struct io *io, struct outcome *out)
{
	enum io_state state;

	do {
		state = io_advance(io, transfer(io), out);
	} while (state == IO_UNFINISHED);
	return state == IO_DONE ? 0 : -1;
}
