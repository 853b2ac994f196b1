// SPDX-License-Identifier: GPL-2.0-only
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

#include "outcome.h"

static int vfail(struct outcome *out, enum status status, int error,
		 const char *fmt, va_list args)
	__attribute__((format(printf, 4, 0)));

static int vfail(struct outcome *out, enum status status, int error,
		 const char *fmt, va_list args)
{
	out->status = status;
	out->error = error;
	vsnprintf(out->message, sizeof(out->message), fmt, args);
	/* A line break or an escape sequence may be part of a path. */
	for (char *c = out->message; *c; c++) {
		if (iscntrl((unsigned char)*c))
			*c = '?';
	}
	return -1;
}

int fail(struct outcome *out, enum status status, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vfail(out, status, 0, fmt, args);
	va_end(args);
	return -1;
}

int fail_errno(struct outcome *out, enum status status, int error,
	       const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vfail(out, status, error, fmt, args);
	va_end(args);
	return -1;
}

int exit_code(const struct outcome *out)
{
	return (int)out->status + out->signal;
}
