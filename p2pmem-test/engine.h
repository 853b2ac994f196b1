/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef P2PMEM_TEST_ENGINE_H
#define P2PMEM_TEST_ENGINE_H

#include "team.h"

/*
 * How one worker copies its chunks until there are no more, or it fails:
 * with pread(2) and pwrite(2), one after the other; or with io_uring, as many
 * at a time as the depth says. Nothing is in flight any more afterwards.
 */
void engine_sync(struct worker *worker);
void engine_uring(struct worker *worker);

#endif
