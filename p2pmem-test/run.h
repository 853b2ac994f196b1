/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef P2PMEM_TEST_RUN_H
#define P2PMEM_TEST_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "drive.h"
#include "io.h"
#include "latency.h"
#include "options.h"
#include "outcome.h"
#include "region.h"

/* In the order in which they run; none begins before the one before ends. */
enum phase {
	PHASE_INIT,
	PHASE_HOST_ACCESS,
	PHASE_SEED,
	PHASE_COPY,
	PHASE_VERIFY,
	PHASES,
};

struct figures {
	bool ran;
	double seconds;
	_Atomic uint64_t bytes;
};

enum engine {
	ENGINE_SYNC,
	ENGINE_URING,
	ENGINE_THREADS,		/* instead of io_uring, which cannot be had */
};

struct run {
	const struct options *opt;
	struct drive read_drive;	/* path is NULL if not needed */
	struct drive write_drive;
	struct region region;
	bool opened;		/* run_open() went well: drives may be written to */
	enum engine engine;
	char no_uring[160];	/* why ENGINE_THREADS */
	struct figures phases[PHASES];
	struct latency latency[DIRECTIONS];	/* of the copy */
};

const char *phase_name(enum phase phase);

/* "sync", "io_uring" or "threads". */
const char *engine_name(enum engine engine);

/* The drives that an opened run writes to, at most two; NULL at the end. */
#define WRITTEN 3
void run_written(const struct run *run, const struct drive **drives);

/* Open and validate everything; nothing is written yet. */
int run_open(struct run *run, const struct options *opt, struct outcome *out);
int run_phases(struct run *run, struct outcome *out);
void run_close(struct run *run);

#endif
