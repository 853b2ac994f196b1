/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef P2PMEM_TEST_LATENCY_H
#define P2PMEM_TEST_LATENCY_H

#include <stdint.h>

/*
 * A histogram of times in nanoseconds. Below 64 ns each has a bucket of its
 * own; above, each power of two is cut into 64 buckets of the same width:
 *
 *	bucket	   0 ...  63	   0 ...  63 ns, each 1 wide
 *		  64 ... 127	  64 ... 127 ns, each 1 wide
 *		 128 ... 191	 128 ... 255 ns, each 2 wide
 *		 192 ... 255	 256 ... 511 ns, each 4 wide, and so on
 *
 * so that a percentile is at most 1/64 too high, in a fixed amount of memory
 * however long a run is. Times of 2^40 ns (18 minutes) and more share the last
 * bucket.
 */
#define LATENCY_BITS 6
#define LATENCY_LIMIT 40
#define LATENCY_BUCKETS ((LATENCY_LIMIT - LATENCY_BITS + 1) << LATENCY_BITS)

struct latency {
	uint64_t count;
	uint64_t max;
	uint64_t buckets[LATENCY_BUCKETS];
};

void latency_add(struct latency *latency, uint64_t ns);
void latency_merge(struct latency *into, const struct latency *from);

/*
 * The time that so many thousandths (0 < @mille <= 1000) of all did not
 * exceed, in nanoseconds; 0 if there were none.
 */
uint64_t latency_percentile(const struct latency *latency, unsigned int mille);

#endif
