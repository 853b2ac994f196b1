// SPDX-License-Identifier: GPL-2.0-only
/* io_uring, which has no functions of its own to take the place of. */
#include <limits.h>
#include <linux/io_uring.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "shim.h"

/* Each thread makes the ring that it uses. */
static _Thread_local struct io_uring_params ring_params;
static _Thread_local char *ring;
static _Thread_local struct io_uring_sqe *ring_entries;

void ring_mapped(off_t offset, void *base)
{
	if (offset == IORING_OFF_SQ_RING)
		ring = base;
	else
		ring_entries = base;
}

static unsigned int *ring_word(unsigned int offset)
{
	return (unsigned int *)(ring + offset);
}

static void note_entries(unsigned int count)
{
	unsigned int head = *ring_word(ring_params.sq_off.head);
	char path[PATH_MAX];

	for (unsigned int i = head; i != head + count; i++) {
		const struct io_uring_sqe *sqe =
			&ring_entries[i & (ring_params.sq_entries - 1)];

		note(sqe->opcode == IORING_OP_READ ? "read" : "write",
		     name_of(sqe->fd, path), (long long)sqe->off, sqe->len,
		     (const char *)(uintptr_t)sqe->addr);
	}
}

/* Only what comes while the tool waits is seen; it never takes anything else. */
static void change_completions(unsigned int from)
{
	unsigned int tail = *ring_word(ring_params.cq_off.tail);
	struct io_uring_cqe *cqes =
		(struct io_uring_cqe *)(ring + ring_params.cq_off.cqes);

	for (; from != tail; from++) {
		struct io_uring_cqe *cqe =
			&cqes[from & (ring_params.cq_entries - 1)];
		const struct rule *rule = match("cqe", "*");

		if (is(rule, "errno"))
			cqe->res = -(int)rule->value;
		if (is(rule, "short") && cqe->res > rule->value)
			cqe->res = (int)rule->value;
	}
}

long syscall(long number, ...)
{
	long (*real)(long number, ...) = next("syscall");
	long word[6], ret;
	va_list args;

	va_start(args, number);
	for (size_t i = 0; i < 6; i++)
		word[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_io_uring_enter) {
		unsigned int seen = *ring_word(ring_params.cq_off.head);

		if (fails(match("io_uring_enter", "*")))
			return -1;
		note_entries((unsigned int)word[1]);
		ret = real(number, word[0], word[1], word[2], word[3], word[4],
			   word[5]);
		change_completions(seen);
		return ret;
	}
	if (number == SYS_io_uring_setup && fails(match("io_uring_setup", "*")))
		return -1;
	ret = real(number, word[0], word[1], word[2], word[3], word[4], word[5]);
	if (number == SYS_io_uring_setup)
		ring_params = *(struct io_uring_params *)word[1];
	return ret;
}
