// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "copy.h"
#include "io.h"

struct team {
	const struct copy *copy;
	struct timespec deadline;
	atomic_bool stop;	/* set once, by the first that fails */
};

struct worker {
	pthread_t thread;
	struct team *team;
	char *slice;		/* of the region */
	uint64_t first;		/* of its chunks */
	uint64_t end;
	uint64_t bytes;
	struct outcome out;
};

static bool time_is_over(const struct team *team)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec != team->deadline.tv_sec)
		return now.tv_sec > team->deadline.tv_sec;
	return now.tv_nsec >= team->deadline.tv_nsec;
}

static uint64_t chunk_offset(const struct copy *copy,
			     const struct drive *drive, uint64_t chunk)
{
	const struct geometry *geo = &copy->geo;

	if (copy->wrap)
		chunk %= (drive->size - geo->offset) / geo->chunk_size;
	return geo->offset + chunk * geo->chunk_size;
}

static int move_chunk(struct worker *worker, enum direction direction,
		      const struct drive *drive, uint64_t chunk)
{
	const struct copy *copy = worker->team->copy;
	struct io io = {
		.direction = direction,
		.drive = drive,
		.buf = worker->slice,
		.length = copy->geo.chunk_size,
		.mem_path = copy->region->path,
	};

	if (!drive)
		return 0;
	io.offset = chunk_offset(copy, drive, chunk);
	return io_run(&io, &worker->out);
}

static int copy_chunk(struct worker *worker, uint64_t chunk)
{
	const struct copy *copy = worker->team->copy;

	if (move_chunk(worker, IO_READ, copy->from, chunk) ||
	    move_chunk(worker, IO_WRITE, copy->to, chunk))
		return -1;
	worker->bytes += copy->geo.chunk_size;
	return 0;
}

/* Return whether there is to be another pass. */
static bool copy_pass(struct worker *worker, bool first)
{
	struct team *team = worker->team;
	const struct copy *copy = team->copy;
	bool timed = copy->duration && !(first && copy->whole_pass);

	for (uint64_t chunk = worker->first; chunk < worker->end; chunk++) {
		if (atomic_load(&team->stop))
			return false;
		if (copy_chunk(worker, chunk)) {
			/* Only the first to fail has a cause of its own. */
			if (atomic_exchange(&team->stop, true))
				worker->out.status = STATUS_OK;
			return false;
		}
		if (timed && time_is_over(team))
			return false;
	}
	return copy->duration && !time_is_over(team);
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	bool first = true;

	while (copy_pass(worker, first))
		first = false;
	return NULL;
}

static void assign(struct worker *worker, struct team *team, uint64_t index)
{
	const struct copy *copy = team->copy;
	uint64_t share = copy->geo.chunks / copy->geo.threads;
	uint64_t rest = copy->geo.chunks % copy->geo.threads;

	worker->team = team;
	worker->slice = (char *)copy->region->base +
			index * geometry_slice(&copy->geo);
	worker->first = index * share + (index < rest ? index : rest);
	worker->end = worker->first + share + (index < rest);
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

int copy_run(const struct copy *copy, uint64_t *bytes, struct outcome *out)
{
	struct team team = { .copy = copy };
	struct worker *workers;
	uint64_t started;

	workers = calloc(copy->geo.threads, sizeof(*workers));
	if (!workers)
		return fail_errno(out, STATUS_ERROR, ENOMEM, "%s",
				  strerror(ENOMEM));
	clock_gettime(CLOCK_MONOTONIC, &team.deadline);
	team.deadline.tv_sec += (time_t)copy->duration;

	started = start_workers(workers, &team, out);
	for (uint64_t i = 0; i < started; i++) {
		pthread_join(workers[i].thread, NULL);
		*bytes += workers[i].bytes;
		if (workers[i].out.status && !out->status)
			*out = workers[i].out;
	}
	free(workers);
	return out->status ? -1 : 0;
}
