/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef P2PMEM_TEST_OPTIONS_H
#define P2PMEM_TEST_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "geometry.h"
#include "outcome.h"

/* Argument of --init and --host_access: SIZE[:COUNT]. */
struct access_spec {
	unsigned int width;	/* bytes per access: 1, 2, 4 or 8; 0: not wanted */
	bool read_only;
	uint64_t count;		/* 0: the default of the option */
};

struct options {
	const char *read_path;
	const char *write_path;
	const char *mem_path;	/* NULL: host memory */
	struct geometry geo;
	struct access_spec init;	/* count is in bytes */
	struct access_spec host_access;
	uint64_t duration;	/* seconds; 0: one pass */
	uint64_t seed;
	unsigned int forced;	/* bits of enum use_reason */
	bool check;
	bool overlap;
	bool skip_read;
	bool skip_write;
	bool json;
};

enum action {
	ACTION_RUN,
	ACTION_HELP,
	ACTION_VERSION,
};

/*
 * Parse and validate the command line. A mistake is left in @out; @opt->json
 * is right even then, so that the mistake can be reported as asked for.
 */
enum action options_parse(struct options *opt, int argc, char **argv,
			  struct outcome *out);

void options_usage(void);

#endif
