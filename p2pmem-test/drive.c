// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block.h"
#include "drive.h"
#include "pattern.h"
#include "use.h"

static int fail_open(const char *path, int error, struct outcome *out)
{
	const char *hint = "";

	if (error == EACCES || error == EPERM)
		hint = " (root, or the drive's group, is needed)";
	else if (error == EROFS)
		hint = " (the drive is read-only)";
	else if (error == EBUSY)
		hint = " (this kernel lets nobody write to a mounted drive)";
	return fail_errno(out, STATUS_ERROR, error, "cannot open %s: %s%s",
			  path, strerror(error), hint);
}

static int fail_kind(const char *path, const struct stat *st,
		     struct outcome *out)
{
	const char *hint = "";

	if (S_ISCHR(st->st_mode) && strstr(path, "nvme"))
		hint = "; a controller's namespace is named like /dev/nvme0n1";
	return fail(out, STATUS_ERROR,
		    "%s is neither a block device nor a regular file%s",
		    path, hint);
}

/* NVMe and SCSI disks have these in different places, virtio in a third. */
static void probe_names(struct drive *drive)
{
	dev_t disk = drive->place.device;

	block_text(disk, "device/model", drive->model, DRIVE_NAME);
	block_text(disk, "device/serial", drive->serial, DRIVE_NAME);
	if (!*drive->serial)
		block_text(disk, "serial", drive->serial, DRIVE_NAME);
}

static int probe_block(struct drive *drive, const struct stat *st,
		       struct outcome *out)
{
	int sector;

	if (ioctl(drive->fd, BLKGETSIZE64, &drive->size) ||
	    ioctl(drive->fd, BLKSSZGET, &sector))
		return fail_errno(out, STATUS_ERROR, errno,
				  "cannot get size and block size of %s: %s",
				  drive->path, strerror(errno));
	drive->align = (uint32_t)sector;
	drive->place = (struct place){
		.block_device = true,
		.device = block_whole(st->st_rdev),
		/* sysfs counts in sectors of 512 bytes, whatever the drive has. */
		.start = block_number(st->st_rdev, "start") * 512,
	};
	probe_names(drive);
	return 0;
}

/* What O_DIRECT asks of a file; kernels before 6.1 do not tell. */
static uint32_t file_alignment(int fd)
{
#ifdef STATX_DIOALIGN
	struct statx stx;

	if (!statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) &&
	    stx.stx_mask & STATX_DIOALIGN && stx.stx_dio_offset_align)
		return stx.stx_dio_offset_align;
#else
	(void)fd;
#endif
	return PATTERN_BLOCK;
}

static void probe_file(struct drive *drive, const struct stat *st)
{
	drive->size = (uint64_t)st->st_size;
	drive->align = drive->direct ? file_alignment(drive->fd) : PATTERN_BLOCK;
	drive->place = (struct place){
		.device = st->st_dev,
		.inode = st->st_ino,
	};
}

static int probe(struct drive *drive, const struct stat *st,
		 struct outcome *out)
{
	if (S_ISREG(st->st_mode))
		probe_file(drive, st);
	else if (probe_block(drive, st, out))
		return -1;
	if (drive->align < PATTERN_BLOCK)
		drive->align = PATTERN_BLOCK;
	return 0;
}

/* Some file systems refuse O_DIRECT with EINVAL; a block device never does. */
static int open_direct(struct drive *drive, const char *path, int flags,
		       const struct stat *st)
{
	drive->direct = true;
	drive->fd = open(path, flags | O_CLOEXEC | O_DIRECT);
	if (drive->fd >= 0 || errno != EINVAL || !S_ISREG(st->st_mode))
		return drive->fd;
	drive->direct = false;
	drive->fd = open(path, flags | O_CLOEXEC);
	return drive->fd;
}

static int open_plainly(struct drive *drive, const char *path,
			const struct drive_access *access,
			const struct stat *st, struct outcome *out)
{
	if (open_direct(drive, path, access->mode, st) < 0)
		return fail_open(path, errno, out);
	return 0;
}

/*
 * With O_EXCL the kernel refuses a block device that it has mounted or gave to
 * somebody else, in whatever mount namespace, and refuses to mount it later.
 */
static int open_claimed(struct drive *drive, const char *path,
			const struct drive_access *access,
			const struct stat *st, struct outcome *out)
{
	struct use use;

	use_find(&use, st);
	if (use_check(&use, access->forced, path, out))
		return -1;
	if (S_ISREG(st->st_mode) || use.reasons)
		return open_plainly(drive, path, access, st, out);
	if (open_direct(drive, path, access->mode | O_EXCL, st) >= 0)
		return 0;
	if (errno != EBUSY)
		return fail_open(path, errno, out);
	use_busy(&use);
	if (use_check(&use, access->forced, path, out))
		return -1;
	return open_plainly(drive, path, access, st, out);
}

/*
 * What was judged by its path must be what was opened: between the two a link
 * may get another target, or a device that comes back another number.
 */
static int check_same(const struct drive *drive, const char *path,
		      const struct stat *judged, struct outcome *out)
{
	struct stat st;
	bool same;

	if (fstat(drive->fd, &st))
		return fail_open(path, errno, out);
	if (S_ISBLK(judged->st_mode))
		same = S_ISBLK(st.st_mode) && st.st_rdev == judged->st_rdev;
	else
		same = S_ISREG(st.st_mode) && st.st_dev == judged->st_dev &&
		       st.st_ino == judged->st_ino;
	if (same)
		return 0;
	return fail(out, STATUS_ERROR,
		    "%s became another drive while it was opened, nothing was written",
		    path);
}

int drive_open(struct drive *drive, const char *path,
	       const struct drive_access *access, struct outcome *out)
{
	struct stat st;

	*drive = (struct drive){ .fd = -1 };
	if (stat(path, &st))
		return fail_open(path, errno, out);
	if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode))
		return fail_kind(path, &st, out);
	if (access->claim ? open_claimed(drive, path, access, &st, out) :
			    open_plainly(drive, path, access, &st, out))
		return -1;
	drive->path = path;
	if (check_same(drive, path, &st, out) || probe(drive, &st, out)) {
		drive_close(drive);
		return -1;
	}
	if (!drive->direct)
		fprintf(stderr,
			"p2pmem-test: warning: no O_DIRECT on %s, the CPU copies its data through the page cache\n",
			path);
	return 0;
}

void drive_close(struct drive *drive)
{
	if (drive->path)
		close(drive->fd);
	*drive = (struct drive){ .fd = -1 };
}

int drive_check_range(const struct drive *drive, const struct geometry *geo,
		      bool wrap, struct outcome *out)
{
	uint64_t need = geo->offset;

	if (geo->chunk_size % drive->align)
		return fail(out, STATUS_USAGE,
			    "--chunk_size %ju is no multiple of the %u-byte blocks of %s",
			    (uintmax_t)geo->chunk_size, drive->align,
			    drive->path);
	if (geo->offset % drive->align)
		return fail(out, STATUS_USAGE,
			    "--offset %ju is no multiple of the %u-byte blocks of %s",
			    (uintmax_t)geo->offset, drive->align, drive->path);

	need += wrap ? geo->chunk_size : geometry_bytes(geo);
	if (need > drive->size)
		return fail(out, STATUS_ERROR,
			    "%s is too short: the range ends at byte %ju, the drive at %ju",
			    drive->path, (uintmax_t)need,
			    (uintmax_t)drive->size);
	return 0;
}

uint64_t drive_range_end(const struct drive *drive, const struct geometry *geo,
			 bool wrap)
{
	uint64_t chunks = (drive->size - geo->offset) / geo->chunk_size;

	if (!wrap || geo->chunks < chunks)
		chunks = geo->chunks;
	return geo->offset + chunks * geo->chunk_size;
}

bool drive_is_part_of(const char *part, const char *path)
{
	struct stat a, b;

	return !stat(part, &a) && !stat(path, &b) && S_ISBLK(a.st_mode) &&
	       S_ISBLK(b.st_mode) && a.st_rdev != b.st_rdev &&
	       block_whole(a.st_rdev) == b.st_rdev;
}

bool drive_is_same(const char *a, const char *b)
{
	struct stat one, other;

	if (stat(a, &one) || stat(b, &other))
		return false;
	if (S_ISBLK(one.st_mode) && S_ISBLK(other.st_mode))
		return one.st_rdev == other.st_rdev;
	return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

bool drives_overlap(const struct drive *a, const struct drive *b,
		    const struct geometry *geo)
{
	uint64_t low = a->place.start, high = b->place.start;

	if (a->place.block_device != b->place.block_device ||
	    a->place.device != b->place.device ||
	    a->place.inode != b->place.inode)
		return false;
	if (low > high) {
		low = b->place.start;
		high = a->place.start;
	}
	return high - low < geometry_bytes(geo);
}
