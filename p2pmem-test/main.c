// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "options.h"
#include "outcome.h"
#include "report.h"
#include "run.h"
#include "stop.h"
#include "version.h"

static void run_all(const struct options *opt, struct outcome *out)
{
	struct run run = { .opt = opt };

	if (!out->status && !run_open(&run, opt, out)) {
		report_start(&run);
		run_phases(&run, out);
	}
	report_end(&run, out);
	run_close(&run);
}

/* A result that could not be told is no success. */
static int finish(int code)
{
	if (!fflush(stdout) && !ferror(stdout))
		return code;
	fprintf(stderr, "p2pmem-test: cannot write to standard output: %s\n",
		strerror(errno));
	return code ? code : STATUS_ERROR;
}

int main(int argc, char **argv)
{
	struct outcome out = { .status = STATUS_OK };
	struct options opt;

	switch (options_parse(&opt, argc, argv, &out)) {
	case ACTION_HELP:
		options_usage();
		return finish(STATUS_OK);
	case ACTION_VERSION:
		puts("p2pmem-test " P2PMEM_TEST_VERSION);
		return finish(STATUS_OK);
	case ACTION_RUN:
		stop_on_signals();
		run_all(&opt, &out);
		break;
	}
	return finish(exit_code(&out));
}
