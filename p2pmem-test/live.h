/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef P2PMEM_TEST_LIVE_H
#define P2PMEM_TEST_LIVE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * A line on standard error that is written anew each second, if that is a
 * terminal; it is gone again afterwards.
 */
struct live {
	const char *phase;
	const _Atomic uint64_t *bytes;
	uint64_t total;		/* 0: there is no telling */
	bool on;
	bool ended;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t end;
};

void live_start(struct live *live, const char *phase,
		const _Atomic uint64_t *bytes, uint64_t total);
void live_end(struct live *live);

#endif
