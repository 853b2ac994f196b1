// SPDX-License-Identifier: GPL-2.0-only
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "live.h"
#include "size.h"

/* To the first column, and clear the line (ECMA-48). */
#define ANEW "\r\033[K"

static void show(const struct live *live, uint64_t bytes, uint64_t rate)
{
	char done[SIZE_TEXT], total[SIZE_TEXT], second[SIZE_TEXT];

	fprintf(stderr, ANEW "%-11s %s%s%s, %s/s", live->phase,
		format_size(done, (double)bytes), live->total ? " of " : "",
		live->total ? format_size(total, (double)live->total) : "",
		format_size(second, (double)rate));
}

/* Wait for a second; return false if the phase ended before. */
static bool tick(struct live *live)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec++;
	while (!live->ended &&
	       !pthread_cond_timedwait(&live->end, &live->lock, &until))
		;
	return !live->ended;
}

static void *write_lines(void *arg)
{
	struct live *live = arg;
	uint64_t before = 0;
	bool shown = false;

	pthread_mutex_lock(&live->lock);
	while (tick(live)) {
		uint64_t bytes = atomic_load_explicit(live->bytes,
						      memory_order_relaxed);

		show(live, bytes, bytes - before);
		before = bytes;
		shown = true;
	}
	pthread_mutex_unlock(&live->lock);
	if (shown)
		fputs(ANEW, stderr);
	return NULL;
}

void live_start(struct live *live, const char *phase,
		const _Atomic uint64_t *bytes, uint64_t total)
{
	pthread_condattr_t attr;

	*live = (struct live){ .phase = phase, .bytes = bytes, .total = total };
	if (!isatty(STDERR_FILENO))
		return;
	pthread_mutex_init(&live->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&live->end, &attr);
	pthread_condattr_destroy(&attr);
	/* A run without the line is better than none. */
	live->on = !pthread_create(&live->thread, NULL, write_lines, live);
}

void live_end(struct live *live)
{
	if (!live->on)
		return;
	pthread_mutex_lock(&live->lock);
	live->ended = true;
	pthread_cond_signal(&live->end);
	pthread_mutex_unlock(&live->lock);
	pthread_join(live->thread, NULL);
	live->on = false;
}
