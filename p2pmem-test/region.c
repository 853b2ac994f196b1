// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "region.h"

static int check_kind(int fd, const char *path, size_t length,
		      struct outcome *out)
{
	struct stat st;

	if (fstat(fd, &st))
		return fail_errno(out, STATUS_ERROR, errno,
				  "cannot look at %s: %s", path,
				  strerror(errno));
	/* Mapping a drive would work, and overwrite it by the page cache. */
	if (S_ISBLK(st.st_mode))
		return fail(out, STATUS_ERROR,
			    "%s is a block device; P2PMEM is /dev/p2pmemN or a p2pmem/allocate file of sysfs",
			    path);
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size < length)
		return fail(out, STATUS_ERROR,
			    "%s is too short: it has %ju bytes, the buffer needs %zu (threads x chunk size)",
			    path, (uintmax_t)st.st_size, length);
	return 0;
}

/* Those of sysfs are memory of a device, whatever fstat() calls them. */
static bool is_file(int fd)
{
	struct statfs fs;
	struct stat st;

	return !fstat(fd, &st) && S_ISREG(st.st_mode) && !fstatfs(fd, &fs) &&
	       fs.f_type != SYSFS_MAGIC;
}

static const char *explain_mmap(int error)
{
	switch (error) {
	case ENOMEM:
		return ": the pool of P2P memory is exhausted, see p2pmem/available of the PCI device in sysfs; use fewer threads or smaller chunks";
	case ENODEV:
	case ENXIO:
		return ": it is no P2P memory, or its provider was unbound";
	case EINVAL:
	case EACCES:
	case EPERM:
		return ": it does not allow a shared, writable mapping";
	default:
		return "";
	}
}

static int map_path(struct region *region, int fd, struct outcome *out)
{
	if (check_kind(fd, region->path, region->length, out))
		return -1;
	region->base = mmap(NULL, region->length, PROT_READ | PROT_WRITE,
			    MAP_SHARED, fd, 0);
	if (region->base != MAP_FAILED) {
		region->file = is_file(fd);
		return 0;
	}
	region->base = NULL;
	return fail_errno(out, STATUS_ERROR, errno,
			  "cannot map %zu bytes of %s: %s%s", region->length,
			  region->path, strerror(errno), explain_mmap(errno));
}

static int map_host(struct region *region, struct outcome *out)
{
	region->base = mmap(NULL, region->length, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (region->base != MAP_FAILED)
		return 0;
	region->base = NULL;
	return fail_errno(out, STATUS_ERROR, errno,
			  "cannot allocate %zu bytes of host memory: %s",
			  region->length, strerror(errno));
}

int region_open(struct region *region, const char *path, size_t length,
		struct outcome *out)
{
	int fd, ret;

	*region = (struct region){ .path = path, .length = length };
	if (!path)
		return map_host(region, out);

	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return fail_errno(out, STATUS_ERROR, errno,
				  "cannot open %s: %s", path, strerror(errno));
	ret = map_path(region, fd, out);
	close(fd);
	return ret;
}

void region_close(struct region *region)
{
	if (region->base)
		munmap(region->base, region->length);
	region->base = NULL;
}
