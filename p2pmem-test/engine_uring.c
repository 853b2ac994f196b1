// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "engine.h"
#include "ring.h"

/* A length in an entry of the ring has 32 bits. */
#define MOST_AT_ONCE (1u << 30)

/* A chunk on its way, and its slice of the buffer. */
struct slot {
	struct io io;
	uint64_t index;
	uint64_t chunk;
	uint64_t begin;		/* of the transfer at hand, of clock_now() */
};

struct flight {
	struct worker *worker;
	struct ring ring;
	struct slot *slots;
	uint64_t in_flight;
};

static void submit(struct flight *flight, struct slot *slot)
{
	struct io_uring_sqe *sqe = ring_prepare(&flight->ring);
	const struct io *io = &slot->io;
	size_t length = io->length - io->done;

	sqe->opcode = io->direction == IO_READ ? IORING_OP_READ :
						 IORING_OP_WRITE;
	sqe->fd = io->drive->fd;
	sqe->addr = (uint64_t)(uintptr_t)io->buf + io->done;
	sqe->len = length < MOST_AT_ONCE ? (uint32_t)length : MOST_AT_ONCE;
	sqe->off = io->offset + io->done;
	sqe->user_data = slot->index;
	flight->in_flight++;
}

static void begin(struct flight *flight, struct slot *slot,
		  enum direction direction)
{
	slot->io = team_io(flight->worker, direction, slot->chunk, slot->index);
	slot->begin = clock_now();
	submit(flight, slot);
}

static void begin_chunk(struct flight *flight, struct slot *slot)
{
	struct worker *worker = flight->worker;

	if (team_next_chunk(worker, &slot->chunk))
		begin(flight, slot, team_skips(worker, IO_READ) ? IO_WRITE :
								  IO_READ);
}

static void end_transfer(struct flight *flight, struct slot *slot)
{
	struct worker *worker = flight->worker;

	team_note(worker, slot->io.direction, clock_now() - slot->begin);
	/*
	 * What has been read is written even if the run is to stop, but not
	 * after a failure.
	 */
	if (slot->io.direction == IO_READ && !team_skips(worker, IO_WRITE)) {
		if (!atomic_load(&worker->team->stop))
			begin(flight, slot, IO_WRITE);
		return;
	}
	*worker->team->bytes += slot->io.length;
	begin_chunk(flight, slot);
}

static void complete(struct flight *flight, struct slot *slot, int result)
{
	struct worker *worker = flight->worker;
	struct outcome later;

	flight->in_flight--;
	switch (io_advance(&slot->io, result,
			   worker->out.status ? &later : &worker->out)) {
	case IO_DONE:
		end_transfer(flight, slot);
		break;
	case IO_UNFINISHED:
		submit(flight, slot);
		break;
	case IO_FAILED:
		team_failed(worker);
		break;
	}
}

static int reap(struct flight *flight)
{
	int error = ring_wait(&flight->ring);
	uint64_t index;
	int result;

	/* EAGAIN and EBUSY: the kernel first wants completions to be taken. */
	if (error && error != EINTR && error != EAGAIN && error != EBUSY)
		return fail_errno(&flight->worker->out, STATUS_ERROR, error,
				  "io_uring fails: %s", strerror(error));
	while (ring_take(&flight->ring, &index, &result))
		complete(flight, &flight->slots[index], result);
	return 0;
}

static int prepare(struct flight *flight, uint64_t depth)
{
	struct worker *worker = flight->worker;
	int error;

	flight->slots = calloc(depth, sizeof(*flight->slots));
	error = flight->slots ? ring_open(&flight->ring, (unsigned int)depth) :
				ENOMEM;
	if (error)
		return fail_errno(&worker->out, STATUS_ERROR, error,
				  "cannot make an io_uring of depth %ju: %s",
				  (uintmax_t)depth, strerror(error));
	for (uint64_t i = 0; i < depth; i++)
		flight->slots[i].index = i;
	return 0;
}

void engine_uring(struct worker *worker)
{
	uint64_t depth = worker->team->copy->geo.iodepth;
	struct flight flight = { .worker = worker, .ring = { .fd = -1 } };
	int ret = prepare(&flight, depth);

	for (uint64_t i = 0; !ret && i < depth; i++)
		begin_chunk(&flight, &flight.slots[i]);
	while (!ret && flight.in_flight)
		ret = reap(&flight);
	if (ret)
		team_failed(worker);
	ring_close(&flight.ring);
	free(flight.slots);
}
