// SPDX-License-Identifier: GPL-2.0-only
#include <signal.h>
#include <string.h>

#include "stop.h"

atomic_int stop_signal;

_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "a signal handler stores it");

static void on_signal(int number)
{
	atomic_store(&stop_signal, number);
}

void stop_on_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	/* Not SA_RESTART: what waits, for a ring for instance, has to look up. */
	const struct sigaction action = {
		.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND,
	};

	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		struct sigaction old;

		if (!sigaction(signals[i], NULL, &old) &&
		    old.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
	}
}

int fail_stopped(struct outcome *out)
{
	int number = atomic_load(&stop_signal);

	out->signal = number;
	return fail(out, STATUS_STOPPED,
		    "stopped by SIG%s; the figures are of what was done until then",
		    sigabbrev_np(number));
}
