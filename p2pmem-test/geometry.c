// SPDX-License-Identifier: GPL-2.0-only
#include <unistd.h>

#include "geometry.h"
#include "pattern.h"

#define MAX_THREADS 1024
#define MAX_IODEPTH 1024
/* Without io_uring each of them is a thread. */
#define MAX_IN_FLIGHT 4096

uint64_t geometry_bytes(const struct geometry *geo)
{
	return geo->chunks * geo->chunk_size;
}

uint64_t geometry_slice(const struct geometry *geo)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return (geo->chunk_size + page - 1) / page * page;
}

uint64_t geometry_slices(const struct geometry *geo)
{
	return geo->threads * geo->iodepth;
}

uint64_t geometry_buffer(const struct geometry *geo)
{
	return geometry_slice(geo) * geometry_slices(geo);
}

static int validate_range(const struct geometry *geo, struct outcome *out)
{
	uint64_t bytes, end;

	if (__builtin_mul_overflow(geo->chunks, geo->chunk_size, &bytes) ||
	    __builtin_add_overflow(bytes, geo->offset, &end) ||
	    end > INT64_MAX)
		return fail(out, STATUS_USAGE,
			    "--offset + --chunks * --chunk_size is too large: a range ends below 2^63");
	/* Any slice is less than a page longer than its chunk. */
	if (geo->chunk_size > INT64_MAX / MAX_IN_FLIGHT / 2)
		return fail(out, STATUS_USAGE, "--chunk_size is too large");
	return 0;
}

static int validate_in_flight(const struct geometry *geo, struct outcome *out)
{
	if (!geo->threads || geo->threads > MAX_THREADS)
		return fail(out, STATUS_USAGE, "--threads is not 1 ... %d",
			    MAX_THREADS);
	if (!geo->iodepth || geo->iodepth > MAX_IODEPTH)
		return fail(out, STATUS_USAGE, "--iodepth is not 1 ... %d",
			    MAX_IODEPTH);
	if (geo->threads > geo->chunks)
		return fail(out, STATUS_USAGE,
			    "--threads %ju is more than --chunks %ju: each thread needs a chunk",
			    (uintmax_t)geo->threads, (uintmax_t)geo->chunks);
	if (geometry_slices(geo) > MAX_IN_FLIGHT)
		return fail(out, STATUS_USAGE,
			    "--threads %ju x --iodepth %ju is more than %d",
			    (uintmax_t)geo->threads, (uintmax_t)geo->iodepth,
			    MAX_IN_FLIGHT);
	if (geometry_slices(geo) > geo->chunks)
		return fail(out, STATUS_USAGE,
			    "--threads %ju x --iodepth %ju is more than --chunks %ju: this depth would never be reached",
			    (uintmax_t)geo->threads, (uintmax_t)geo->iodepth,
			    (uintmax_t)geo->chunks);
	return 0;
}

int geometry_validate(const struct geometry *geo, struct outcome *out)
{
	if (!geo->chunks)
		return fail(out, STATUS_USAGE, "--chunks is zero");
	if (!geo->chunk_size)
		return fail(out, STATUS_USAGE, "--chunk_size is zero");
	if (validate_in_flight(geo, out))
		return -1;
	if (geo->chunk_size % PATTERN_BLOCK)
		return fail(out, STATUS_USAGE,
			    "--chunk_size %ju is no multiple of %d bytes",
			    (uintmax_t)geo->chunk_size, PATTERN_BLOCK);
	if (geo->offset % PATTERN_BLOCK)
		return fail(out, STATUS_USAGE,
			    "--offset %ju is no multiple of %d bytes",
			    (uintmax_t)geo->offset, PATTERN_BLOCK);
	return validate_range(geo, out);
}
