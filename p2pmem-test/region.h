/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef P2PMEM_TEST_REGION_H
#define P2PMEM_TEST_REGION_H

#include <stdbool.h>
#include <stddef.h>

#include "outcome.h"

/* The memory that data is copied through. */
struct region {
	const char *path;	/* NULL: host memory */
	void *base;		/* NULL: not mapped */
	size_t length;
	bool file;		/* a regular file, which keeps what goes through */
};

int region_open(struct region *region, const char *path, size_t length,
		struct outcome *out);
void region_close(struct region *region);

#endif
