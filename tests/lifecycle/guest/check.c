// SPDX-License-Identifier: GPL-2.0-only
/* Results in the form of the Test Anything Protocol. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lifecycle.h"

static int made, failed;
static bool quiet;

bool check(bool passed, const char *fmt, ...)
{
	va_list args;

	made++;
	failed += !passed;
	if (passed && quiet)
		return true;
	printf("%sok %d - ", passed ? "" : "not ", made);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
	return passed;
}

void note(const char *fmt, ...)
{
	va_list args;

	printf("# ");
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

void die(const char *fmt, ...)
{
	va_list args;

	printf("Bail out! ");
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
	_exit(2);
}

int checks_failed(void)
{
	return failed;
}

/*
 * For a child: what its parent has found is not its own. It only tells what is
 * wrong, for a serial console is slow and there may be a thousand children.
 */
void checks_of_child(void)
{
	failed = 0;
	quiet = true;
}

const char *errno_name(int error)
{
	const char *name = error ? strerrorname_np(error) : "0";

	return name ? name : "unknown";
}
