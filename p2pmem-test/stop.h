/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef P2PMEM_TEST_STOP_H
#define P2PMEM_TEST_STOP_H

#include <stdatomic.h>
#include <stdbool.h>

#include "outcome.h"

/* Number of the signal that asked to stop, 0 as long as none did. */
extern atomic_int stop_signal;

/*
 * Let SIGINT, SIGTERM and SIGHUP end the run at the next chunk; a second one
 * ends the process at once. What is ignored stays so (nohup, shell's &).
 */
void stop_on_signals(void);

/* Return -1, as fail() does. */
int fail_stopped(struct outcome *out);

/* Inline, since it is asked between accesses to device memory. */
static inline bool stop_wanted(void)
{
	return atomic_load_explicit(&stop_signal, memory_order_relaxed);
}

#endif
