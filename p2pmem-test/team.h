/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef P2PMEM_TEST_TEAM_H
#define P2PMEM_TEST_TEAM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "copy.h"
#include "io.h"

/* The threads of a copy; what an engine (engine.h) has to know of them. */
struct team {
	const struct copy *copy;
	uint64_t deadline;	/* of clock_now() */
	atomic_bool stop;	/* set once, by the first that fails */
	_Atomic uint64_t *bytes;
};

struct worker {
	pthread_t thread;
	struct team *team;
	char *slices;		/* of the region; as many as chunks in flight */
	uint64_t first;		/* of its chunks */
	uint64_t end;
	uint64_t next;
	bool later_pass;
	bool failed_first;	/* of all workers */
	struct latency latency[DIRECTIONS];
	struct outcome out;
};

/* The next chunk that @worker is to copy; false: no more. */
bool team_next_chunk(struct worker *worker, uint64_t *chunk);

/* The transfer of @chunk by the worker's slice of number @slice. */
struct io team_io(const struct worker *worker, enum direction direction,
		  uint64_t chunk, uint64_t slice);

/* Whether the copy leaves a direction out. */
bool team_skips(const struct worker *worker, enum direction direction);

/* A transfer of the worker ended @ns after it began. */
void team_note(struct worker *worker, enum direction direction, uint64_t ns);

/* worker->out tells of a failure: nobody is to begin another chunk. */
void team_failed(struct worker *worker);

#endif
