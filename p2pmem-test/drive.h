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

#define DRIVE_NAME 80

struct drive {
	const char *path;	/* NULL: not opened */
	int fd;
	bool direct;		/* false: no O_DIRECT, data goes through the page cache */
	uint32_t align;		/* what offsets and sizes must be multiples of */
	uint64_t size;
	struct place place;
	char model[DRIVE_NAME];	/* "" if it is not known, as is @serial */
	char serial[DRIVE_NAME];
};

/* How a drive is to be opened. */
struct drive_access {
	int mode;		/* O_RDONLY, O_WRONLY or O_RDWR */
	/*
	 * Refuse a drive that is in use, unless for the reasons of @forced
	 * (bits of enum use_reason), and let nobody use it meanwhile.
	 */
	bool claim;
	unsigned int forced;
};

/* Never creates or truncates. */
int drive_open(struct drive *drive, const char *path,
	       const struct drive_access *access, struct outcome *out);
void drive_close(struct drive *drive);

/* Check alignment and, unless chunks may wrap around, the end of the range. */
int drive_check_range(const struct drive *drive, const struct geometry *geo,
		      bool wrap, struct outcome *out);

/* The end of the bytes that a copy touches: the drive's if chunks wrap. */
uint64_t drive_range_end(const struct drive *drive, const struct geometry *geo,
			 bool wrap);

/* Whether @path names a whole disk and @part one of its partitions. */
bool drive_is_part_of(const char *part, const char *path);

/* Whether both paths name the same block device or file. */
bool drive_is_same(const char *a, const char *b);

/* Whether the range of @geo on @a and on @b share a byte of the same disk. */
bool drives_overlap(const struct drive *a, const struct drive *b,
		    const struct geometry *geo);

#endif
