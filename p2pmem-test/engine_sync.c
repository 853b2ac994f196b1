// SPDX-License-Identifier: GPL-2.0-only
#include "clock.h"
#include "engine.h"

static int move(struct worker *worker, enum direction direction,
		uint64_t chunk, uint64_t *now)
{
	struct io io = team_io(worker, direction, chunk, 0);
	uint64_t begin = *now;

	if (team_skips(worker, direction))
		return 0;
	if (io_run(&io, &worker->out))
		return -1;
	*now = clock_now();
	team_note(worker, direction, *now - begin);
	return 0;
}

void engine_sync(struct worker *worker)
{
	/* A transfer begins when the one before ends: one look at the clock. */
	uint64_t chunk, now = clock_now();

	while (team_next_chunk(worker, &chunk)) {
		if (move(worker, IO_READ, chunk, &now) ||
		    move(worker, IO_WRITE, chunk, &now)) {
			team_failed(worker);
			return;
		}
		*worker->team->bytes += worker->team->copy->geo.chunk_size;
	}
}
