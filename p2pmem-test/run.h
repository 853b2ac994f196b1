/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef P2PMEM_TEST_RUN_H
#define P2PMEM_TEST_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "drive.h"
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
	uint64_t bytes;
};

struct run {
	const struct options *opt;
	struct drive read_drive;	/* path is NULL if not needed */
	struct drive write_drive;
	struct region region;
	struct figures phases[PHASES];
};

const char *phase_name(enum phase phase);

/* Open and validate everything; nothing is written yet. */
int run_open(struct run *run, const struct options *opt, struct outcome *out);
int run_phases(struct run *run, struct outcome *out);
void run_close(struct run *run);

#endif
