/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef P2PMEM_TEST_COPY_H
#define P2PMEM_TEST_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "drive.h"
#include "geometry.h"
#include "io.h"
#include "latency.h"
#include "outcome.h"
#include "region.h"

struct copy {
	const struct drive *from;	/* NULL: do not read */
	const struct drive *to;		/* NULL: do not write */
	const struct region *region;
	struct geometry geo;
	bool uring;			/* io_uring; else one at a time per thread */
	uint64_t duration;		/* seconds; 0: one pass */
	bool whole_pass;		/* the time never ends the first pass */
	bool wrap;			/* chunks wrap around at a drive's end */
};

/*
 * Copy all chunks, by threads that each have their own. *@bytes is what was
 * copied, also when it fails, and @latency[DIRECTIONS] how long the transfers
 * of a chunk took; the first failure of any thread is in @out. A signal that
 * asks to stop ends it early, without an error.
 */
int copy_run(const struct copy *copy, _Atomic uint64_t *bytes,
	     struct latency *latency, struct outcome *out);

#endif
