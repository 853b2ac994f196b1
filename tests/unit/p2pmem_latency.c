// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads times from standard input, in two histograms in turn; prints thousands
 * of percentiles, "MILLE TIME", and the maximum, of both merged.
 */
#include <inttypes.h>
#include <stdio.h>

#include "latency.h"

int main(void)
{
	static struct latency one, other;
	struct latency *latency = &one;
	uint64_t ns;

	while (scanf("%" SCNu64, &ns) == 1) {
		latency_add(latency, ns);
		latency = latency == &one ? &other : &one;
	}
	latency_merge(&one, &other);
	for (unsigned int mille = 1; mille <= 1000; mille++)
		printf("%u %" PRIu64 "\n", mille, latency_percentile(&one, mille));
	printf("max %" PRIu64 "\n", one.max);
	return 0;
}
