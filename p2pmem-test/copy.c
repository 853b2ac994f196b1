// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "copy.h"
#include "engine.h"
#include "stop.h"
#include "team.h"

static const struct drive *drive_of(const struct worker *worker,
				    enum direction direction)
{
	const struct copy *copy = worker->team->copy;

	return direction == IO_READ ? copy->from : copy->to;
}

bool team_skips(const struct worker *worker, enum direction direction)
{
	return !drive_of(worker, direction);
}

static uint64_t chunk_offset(const struct copy *copy,
			     const struct drive *drive, uint64_t chunk)
{
	const struct geometry *geo = &copy->geo;

	if (copy->wrap)
		chunk %= (drive->size - geo->offset) / geo->chunk_size;
	return geo->offset + chunk * geo->chunk_size;
}

struct io team_io(const struct worker *worker, enum direction direction,
		  uint64_t chunk, uint64_t slice)
{
	const struct copy *copy = worker->team->copy;
	const struct drive *drive = drive_of(worker, direction);

	return (struct io){
		.direction = direction,
		.drive = drive,
		.buf = worker->slices + slice * geometry_slice(&copy->geo),
		.length = copy->geo.chunk_size,
		.offset = drive ? chunk_offset(copy, drive, chunk) : 0,
		.mem_path = copy->region->path,
	};
}

void team_note(struct worker *worker, enum direction direction, uint64_t ns)
{
	latency_add(&worker->latency[direction], ns);
}

/* Only the first to fail has a cause of its own. */
void team_failed(struct worker *worker)
{
	if (!atomic_exchange(&worker->team->stop, true))
		worker->failed_first = true;
	if (!worker->failed_first)
		worker->out.status = STATUS_OK;
}

static bool time_is_over(const struct worker *worker)
{
	const struct copy *copy = worker->team->copy;
	bool untouched = !worker->later_pass && worker->next == worker->first;

	if (!copy->duration || untouched)
		return false;
	/* The first pass is completed if it is to be checked. */
	if (copy->whole_pass && !worker->later_pass &&
	    worker->next < worker->end)
		return false;
	return clock_now() >= worker->team->deadline;
}

bool team_next_chunk(struct worker *worker, uint64_t *chunk)
{
	if (atomic_load(&worker->team->stop) || stop_wanted() ||
	    time_is_over(worker))
		return false;
	if (worker->next == worker->end) {
		if (!worker->team->copy->duration)
			return false;
		worker->next = worker->first;
		worker->later_pass = true;
	}
	*chunk = worker->next++;
	return true;
}

static void *work(void *arg)
{
	struct worker *worker = arg;

	if (worker->team->copy->uring)
		engine_uring(worker);
	else
		engine_sync(worker);
	return NULL;
}

static void assign(struct worker *worker, struct team *team, uint64_t index)
{
	const struct geometry *geo = &team->copy->geo;
	uint64_t share = geo->chunks / geo->threads;
	uint64_t rest = geo->chunks % geo->threads;

	worker->team = team;
	worker->slices = (char *)team->copy->region->base +
			 index * geo->iodepth * geometry_slice(geo);
	worker->first = index * share + (index < rest ? index : rest);
	worker->end = worker->first + share + (index < rest);
	worker->next = worker->first;
}

static uint64_t start_workers(struct worker *workers, struct team *team,
			      struct outcome *out)
{
	uint64_t index;

	for (index = 0; index < team->copy->geo.threads; index++) {
		int error;

		assign(&workers[index], team, index);
		error = pthread_create(&workers[index].thread, NULL, work,
				       &workers[index]);
		if (!error)
			continue;
		atomic_store(&team->stop, true);
		fail_errno(out, STATUS_ERROR, error,
			   "cannot start thread %ju: %s", (uintmax_t)index,
			   strerror(error));
		break;
	}
	return index;
}

int copy_run(const struct copy *copy, _Atomic uint64_t *bytes,
	     struct latency *latency, struct outcome *out)
{
	struct team team = {
		.copy = copy,
		.deadline = clock_now() + copy->duration * SECOND,
		.bytes = bytes,
	};
	struct worker *workers;
	uint64_t started;

	workers = calloc(copy->geo.threads, sizeof(*workers));
	if (!workers)
		return fail_errno(out, STATUS_ERROR, ENOMEM, "%s",
				  strerror(ENOMEM));
	started = start_workers(workers, &team, out);
	for (uint64_t i = 0; i < started; i++) {
		struct worker *worker = &workers[i];

		pthread_join(worker->thread, NULL);
		for (enum direction way = 0; way < DIRECTIONS; way++)
			latency_merge(&latency[way], &worker->latency[way]);
		if (worker->out.status && !out->status)
			*out = worker->out;
	}
	free(workers);
	return out->status ? -1 : 0;
}
