/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef P2PMEM_TEST_GEOMETRY_H
#define P2PMEM_TEST_GEOMETRY_H

#include <stdint.h>

#include "outcome.h"

/* What is copied: @chunks of @chunk_size bytes from @offset on. */
struct geometry {
	uint64_t chunks;
	uint64_t chunk_size;
	uint64_t offset;
	uint64_t threads;
	uint64_t iodepth;	/* chunks in flight per thread */
};

/* Check all that can be told without looking at the drives. */
int geometry_validate(const struct geometry *geo, struct outcome *out);

/* Bytes of the range that is copied; no overflow once it is validated. */
uint64_t geometry_bytes(const struct geometry *geo);

/* Each chunk in flight has a slice of the buffer, on pages of its own. */
uint64_t geometry_slices(const struct geometry *geo);
uint64_t geometry_slice(const struct geometry *geo);
uint64_t geometry_buffer(const struct geometry *geo);

#endif
