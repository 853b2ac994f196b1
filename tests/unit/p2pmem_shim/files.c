// SPDX-License-Identifier: GPL-2.0-only
/* What the tool finds out about its files, and about who else uses them. */
#include <dirent.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim.h"

static const char *moved(const char *path, char *other)
{
	static const char * const prefixes[] = {
		"/proc/self/mountinfo", "/proc/swaps", "/sys/dev/block",
	};
	const char *root = getenv("P2PMEM_SHIM_ROOT");

	for (size_t i = 0; root && i < sizeof(prefixes) / sizeof(*prefixes); i++) {
		if (strncmp(path, prefixes[i], strlen(prefixes[i])))
			continue;
		snprintf(other, PATH_MAX, "%s%s", root, path);
		return other;
	}
	return path;
}

FILE *fopen64(const char *path, const char *mode)
{
	FILE *(*real)(const char *path, const char *mode) = next("fopen");
	char other[PATH_MAX];

	return real(moved(path, other), mode);
}

DIR *opendir(const char *path)
{
	DIR *(*real)(const char *path) = next("opendir");
	char other[PATH_MAX];

	return real(moved(path, other));
}

ssize_t readlink(const char *path, char *target, size_t size)
{
	ssize_t (*real)(const char *path, char *target, size_t size) =
		next("readlink");
	char other[PATH_MAX];

	return real(moved(path, other), target, size);
}

int stat64(const char *path, struct stat64 *st)
{
	int (*real)(const char *path, struct stat64 *st) = next("stat64");
	const struct rule *rule = match("stat", base_name(path));
	int ret = real(path, st);

	if (!ret && is(rule, "block")) {
		st->st_mode = S_IFBLK | 0600;
		st->st_rdev = (dev_t)rule->value;
	}
	return ret;
}

/* As stat64() would of the same name; counts as a call of it. */
int fstat64(int fd, struct stat64 *st)
{
	int (*real)(int fd, struct stat64 *st) = next("fstat64");
	char path[PATH_MAX];
	const struct rule *rule = match("stat", name_of(fd, path));
	int ret = real(fd, st);

	if (!ret && is(rule, "block")) {
		st->st_mode = S_IFBLK | 0600;
		st->st_rdev = (dev_t)rule->value;
	}
	return ret;
}

int ioctl(int fd, unsigned long request, ...)
{
	int (*size_of)(int fd, struct stat *st) = next("fstat64");
	char path[PATH_MAX];
	const struct rule *rule = match("ioctl", name_of(fd, path));
	struct stat st;
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (!is(rule, "block") || size_of(fd, &st))
		return ((int (*)(int, unsigned long, ...))next("ioctl"))(
			fd, request, arg);
	if (request == BLKGETSIZE64)
		*(uint64_t *)arg = (uint64_t)st.st_size;
	else
		*(int *)arg = SECTOR;
	return 0;
}

int statx(int fd, const char *restrict path, int flags, unsigned int mask,
	  struct statx *restrict stx)
{
	int (*real)(int fd, const char *path, int flags, unsigned int mask,
		    struct statx *stx) = next("statx");
	char link[PATH_MAX];
	const struct rule *rule = match("statx", name_of(fd, link));
	int ret = real(fd, path, flags, mask, stx);

	if (is(rule, "align")) {
		stx->stx_mask |= STATX_DIOALIGN;
		stx->stx_dio_offset_align = (__u32)rule->value;
	}
	return ret;
}
