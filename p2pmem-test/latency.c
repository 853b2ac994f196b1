// SPDX-License-Identifier: GPL-2.0-only
#include <stddef.h>

#include "latency.h"

#define SUB_BUCKETS (1u << LATENCY_BITS)

static size_t bucket_of(uint64_t ns)
{
	unsigned int shift;

	if (ns >> LATENCY_LIMIT)
		return LATENCY_BUCKETS - 1;
	if (ns < SUB_BUCKETS)
		return (size_t)ns;
	/* So far must @ns be shifted for its leading bit to be bit 6. */
	shift = 63 - LATENCY_BITS - (unsigned int)__builtin_clzll(ns);
	return ((size_t)shift << LATENCY_BITS) + (size_t)(ns >> shift);
}

/* The longest time that falls into a bucket. */
static uint64_t bucket_end(size_t bucket)
{
	unsigned int shift;
	uint64_t first;

	if (bucket < SUB_BUCKETS)
		return bucket;
	shift = (unsigned int)(bucket >> LATENCY_BITS) - 1;
	first = (uint64_t)(bucket % SUB_BUCKETS + SUB_BUCKETS) << shift;
	return first + (UINT64_C(1) << shift) - 1;
}

void latency_add(struct latency *latency, uint64_t ns)
{
	latency->buckets[bucket_of(ns)]++;
	latency->count++;
	if (ns > latency->max)
		latency->max = ns;
}

void latency_merge(struct latency *into, const struct latency *from)
{
	for (size_t i = 0; i < LATENCY_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
	into->count += from->count;
	if (from->max > into->max)
		into->max = from->max;
}

uint64_t latency_percentile(const struct latency *latency, unsigned int mille)
{
	/* Rounded up, and without overflow: count * mille may not fit. */
	uint64_t rank = latency->count / 1000 * mille +
			(latency->count % 1000 * mille + 999) / 1000;
	uint64_t seen = 0;

	for (size_t i = 0; i < LATENCY_BUCKETS - 1; i++) {
		seen += latency->buckets[i];
		if (seen >= rank)
			return bucket_end(i) < latency->max ? bucket_end(i) :
			       latency->max;
	}
	return latency->max;
}
