/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef P2PMEM_TEST_REPORT_H
#define P2PMEM_TEST_REPORT_H

#include "outcome.h"
#include "run.h"

/* Text goes to stdout as it comes, unless --json; errors go to stderr. */
void report_start(const struct run *run);
void report_phase(const struct run *run, enum phase phase);
void report_end(const struct run *run, const struct outcome *out);

/* "match", "copied", "mismatch", "refused", "in_use", "stopped" or "error". */
const char *result_name(const struct run *run, const struct outcome *out);

#endif
