/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef P2PMEM_TEST_JSON_H
#define P2PMEM_TEST_JSON_H

#include "outcome.h"
#include "run.h"

/* One object on stdout; the man page describes its members. */
void json_report(const struct run *run, const struct outcome *out);

#endif
