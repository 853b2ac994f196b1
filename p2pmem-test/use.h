/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef P2PMEM_TEST_USE_H
#define P2PMEM_TEST_USE_H

#include <sys/stat.h>
#include <sys/types.h>

#include "outcome.h"

/* Why a drive should not be overwritten; the names are those of --force. */
enum use_reason {
	USE_ROOT,	/* the root file system, or what the machine boots from */
	USE_MOUNTED,
	USE_SWAP,
	USE_HELD,	/* a device is made of it: device mapper, md, ... */
	USE_BUSY,	/* O_EXCL says so, and none of the above explains it */
	USE_REASONS,
};

#define USE_TEXT 192

struct use {
	unsigned int reasons;	/* bit mask of enum use_reason */
	char what[USE_REASONS][USE_TEXT];
};

/*
 * Look for uses of a block device, of its partitions, of the disk that it is
 * a partition of, and of all that is made of these. A regular file can only be
 * swap space.
 */
void use_find(struct use *use, const struct stat *st);

/* Opening with O_EXCL gave EBUSY. */
void use_busy(struct use *use);

/* Add NAME[,NAME...] to @reasons; return NULL or what is wrong, after "is". */
const char *use_parse(const char *names, unsigned int *reasons);

/* Refuse unless @forced has all reasons. */
int use_check(const struct use *use, unsigned int forced, const char *path,
	      struct outcome *out);

#endif
