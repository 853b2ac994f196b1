// SPDX-License-Identifier: GPL-2.0-only
#include <endian.h>

#include "pattern.h"

#define BLOCK_WORDS (PATTERN_BLOCK / sizeof(uint64_t))

/* The finalizer of SplitMix64 (Steele, Lea, Flood; 2014). */
uint64_t pattern_mix(uint64_t value)
{
	value += UINT64_C(0x9e3779b97f4a7c15);
	value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
	return value ^ (value >> 31);
}

static void fill_block(uint64_t *words, uint64_t block, uint64_t seed)
{
	uint64_t state = pattern_mix(block ^ pattern_mix(seed));

	words[0] = htole64(block);
	words[1] = htole64(seed);
	for (size_t i = 2; i < BLOCK_WORDS; i++)
		words[i] = htole64(pattern_mix(state + i));
}

void pattern_fill(void *buf, size_t length, uint64_t offset, uint64_t seed)
{
	uint64_t block = offset / PATTERN_BLOCK;
	uint64_t *words = buf;

	for (size_t i = 0; i < length / PATTERN_BLOCK; i++)
		fill_block(words + i * BLOCK_WORDS, block + i, seed);
}
