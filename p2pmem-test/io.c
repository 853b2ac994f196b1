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

static const char *explain(const struct io *io, int error)
{
	switch (error) {
	case EFAULT:
		return io->mem_path ?
		       ": the memory of P2PMEM is gone, its provider was unbound or removed" :
		       "";
	case EIO:
		return ": the drive or its controller failed the command, look in dmesg";
	case ENODEV:
	case ENXIO:
		return ": the drive was removed, look in dmesg";
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

static ssize_t transfer(const struct io *io, size_t done)
{
	char *buf = (char *)io->buf + done;
	size_t length = io->length - done;
	off_t offset = (off_t)(io->offset + done);
	ssize_t count;

	do {
		count = io->direction == IO_READ ?
			pread(io->drive->fd, buf, length, offset) :
			pwrite(io->drive->fd, buf, length, offset);
	} while (count < 0 && errno == EINTR);
	return count;
}

int io_run(const struct io *io, struct outcome *out)
{
	unsigned int stalls = 0;
	size_t done = 0;

	while (done < io->length) {
		ssize_t count = transfer(io, done);
		size_t blocks;

		if (count < 0)
			return fail_io(io, io->offset + done, errno, out);
		if (!count)
			return fail(out, STATUS_ERROR,
				    "cannot %s %s at byte %ju: the drive ends there now",
				    io_name(io), io->drive->path,
				    (uintmax_t)(io->offset + done));
		/* O_DIRECT can only go on at the start of a block. */
		blocks = (size_t)count / io->drive->align * io->drive->align;
		stalls = blocks ? 0 : stalls + 1;
		if (stalls == MAX_STALLS)
			return fail(out, STATUS_ERROR,
				    "cannot %s %s at byte %ju: only parts of a block are transferred",
				    io_name(io), io->drive->path,
				    (uintmax_t)(io->offset + done));
		done += blocks;
	}
	return 0;
}
