/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef P2PMEM_TEST_CLOCK_H
#define P2PMEM_TEST_CLOCK_H

#include <stdint.h>
#include <time.h>

#define SECOND UINT64_C(1000000000)

/* Nanoseconds that never go back. */
static inline uint64_t clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

#endif
