// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "io.h"
#include "pattern.h"
#include "stop.h"

/* A multiple of any block size; the range may be far larger than memory. */
#define PIECE (1024 * 1024)

#define BUFFER_ALIGN 4096

static int allocate(void **buf, struct outcome *out)
{
	int error = posix_memalign(buf, BUFFER_ALIGN, PIECE);

	if (!error)
		return 0;
	*buf = NULL;
	return fail_errno(out, STATUS_ERROR, error,
			  "cannot allocate %d bytes of host memory: %s", PIECE,
			  strerror(error));
}

static struct io before_first_piece(const struct drive *drive,
				    enum direction direction, void *buf,
				    const struct geometry *geo)
{
	return (struct io){
		.direction = direction,
		.drive = drive,
		.buf = buf,
		.offset = geo->offset,
	};
}

/* Begin the next piece; return false after the last, or to stop. */
static bool next_piece(struct io *io, const struct geometry *geo)
{
	uint64_t left;

	io->offset += io->length;
	left = geo->offset + geometry_bytes(geo) - io->offset;
	io->length = left < PIECE ? (size_t)left : PIECE;
	io->done = 0;
	return left && !stop_wanted();
}

int check_seed(const struct drive *drive, const struct geometry *geo,
	       uint64_t seed, _Atomic uint64_t *bytes, struct outcome *out)
{
	struct io io;
	int ret = 0;
	void *buf;

	if (allocate(&buf, out))
		return -1;
	io = before_first_piece(drive, IO_WRITE, buf, geo);
	while (!ret && next_piece(&io, geo)) {
		pattern_fill(buf, io.length, io.offset, seed);
		ret = io_run(&io, out);
		if (!ret)
			*bytes += io.length;
	}
	free(buf);
	return ret;
}

static void note_first(struct difference *diff, const struct io *io,
		       const uint8_t *expected, const uint8_t *found, size_t at)
{
	size_t rest = io->length - at;

	*diff = (struct difference){
		.where = io->drive->path,
		.offset = io->offset + at,
		.shown = rest < DIFFERENCE_BYTES ? rest : DIFFERENCE_BYTES,
	};
	memcpy(diff->expected, expected + at, diff->shown);
	memcpy(diff->found, found + at, diff->shown);
}

static void compare(const struct io *io, const uint8_t *expected,
		    struct outcome *out)
{
	const uint8_t *found = io->buf;

	if (!memcmp(expected, found, io->length))
		return;
	for (size_t at = 0; at < io->length; at++) {
		if (expected[at] == found[at])
			continue;
		if (!out->differs)
			note_first(&out->diff, io, expected, found, at);
		out->differs = true;
		out->diff.count++;
	}
}

static int verify_pieces(struct io io, uint8_t *expected,
			 const struct geometry *geo, uint64_t seed,
			 _Atomic uint64_t *bytes, struct outcome *out)
{
	while (next_piece(&io, geo)) {
		/* What the drive does not deliver must not look right. */
		memset(io.buf, 0, io.length);
		if (io_run(&io, out))
			return -1;
		pattern_fill(expected, io.length, io.offset, seed);
		compare(&io, expected, out);
		*bytes += io.length;
	}
	if (!out->differs)
		return 0;
	return fail(out, STATUS_MISMATCH,
		    "%s differs from what was written to the other drive: %ju of %ju bytes, the first at byte %ju",
		    out->diff.where, (uintmax_t)out->diff.count,
		    (uintmax_t)geometry_bytes(geo),
		    (uintmax_t)out->diff.offset);
}

int check_verify(const struct drive *drive, const struct geometry *geo,
		 uint64_t seed, _Atomic uint64_t *bytes, struct outcome *out)
{
	void *expected = NULL, *found = NULL;
	int ret = -1;

	if (!allocate(&expected, out) && !allocate(&found, out))
		ret = verify_pieces(before_first_piece(drive, IO_READ, found,
						       geo),
				    expected, geo, seed, bytes, out);
	free(expected);
	free(found);
	return ret;
}
