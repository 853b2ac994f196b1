/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef P2PMEM_TEST_PATTERN_H
#define P2PMEM_TEST_PATTERN_H

#include <stddef.h>
#include <stdint.h>

/*
 * The pattern of one block, all words little-endian:
 *
 *	  0	absolute number of the block, counted from the drive's start
 *	  8	seed
 *	 16	62 words of pseudo-random fill that depend on both
 *
 * So a block that is stale, misplaced or partly written cannot pass.
 */
#define PATTERN_BLOCK 512

/* A bijective mix of 64 bits; the source of every pseudo-random word. */
uint64_t pattern_mix(uint64_t value);

/* @offset and @length are multiples of PATTERN_BLOCK, @buf is 8-aligned. */
void pattern_fill(void *buf, size_t length, uint64_t offset, uint64_t seed);

#endif
