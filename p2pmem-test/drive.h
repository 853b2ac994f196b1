/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef P2PMEM_TEST_DRIVE_H
#define P2PMEM_TEST_DRIVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "geometry.h"
#include "outcome.h"

/* Which bytes of which disk or file a drive stands for. */
struct place {
	bool block_device;
	dev_t device;		/* the whole disk, or the file system */
	ino_t inode;		/* 0 for a block device */
	uint64_t start;		/* of a partition on its disk, in bytes */
};

struct drive {
	const char *path;	/* NULL: not opened */
	int fd;
	bool direct;		/* false: no O_DIRECT, data goes through the page cache */
	uint32_t align;		/* what offsets and sizes must be multiples of */
	uint64_t size;
	struct place place;
};

/* @access is O_RDONLY, O_WRONLY or O_RDWR. Never creates or truncates. */
int drive_open(struct drive *drive, const char *path, int access,
	       struct outcome *out);
void drive_close(struct drive *drive);

/* Check alignment and, unless chunks may wrap around, the end of the range. */
int drive_check_range(const struct drive *drive, const struct geometry *geo,
		      bool wrap, struct outcome *out);

/* Whether the range of @geo on @a and on @b share a byte of the same disk. */
bool drives_overlap(const struct drive *a, const struct drive *b,
		    const struct geometry *geo);

#endif
