/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef P2PMEM_TEST_OUTCOME_H
#define P2PMEM_TEST_OUTCOME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The process's exit codes; the man page promises them. */
enum status {
	STATUS_OK = 0,
	STATUS_MISMATCH = 1,
	STATUS_USAGE = 2,
	STATUS_REFUSED = 3,
	STATUS_ERROR = 4,
	STATUS_IN_USE = 5,
	STATUS_STOPPED = 128,	/* plus the number of the signal */
};

#define DIFFERENCE_BYTES 16

struct difference {
	const char *where;	/* path of the drive or memory that differs */
	uint64_t offset;	/* of the first byte that differs, in @where */
	uint64_t count;		/* how many bytes that were compared differ */
	size_t shown;		/* how many bytes of the two arrays are set */
	uint8_t expected[DIFFERENCE_BYTES];
	uint8_t found[DIFFERENCE_BYTES];
};

/* How a run, or a part of it, ended. All zero: nothing went wrong (yet). */
struct outcome {
	enum status status;
	int error;		/* errno value, 0 when none was involved */
	int signal;		/* that stopped the run, 0 if none did */
	char message[1024];	/* one line, empty when all is well */
	bool differs;		/* @diff is set */
	struct difference diff;
};

/* Both return -1, so that a caller can fail in one statement. */
int fail(struct outcome *out, enum status status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int fail_errno(struct outcome *out, enum status status, int error,
	       const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* What the process is to end with. */
int exit_code(const struct outcome *out);

#endif
