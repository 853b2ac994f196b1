/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef P2PMEM_TEST_RING_H
#define P2PMEM_TEST_RING_H

#include <linux/io_uring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * io_uring by its system calls, io_uring_setup(2) and io_uring_enter(2), so
 * that the tool needs no library. One thread uses a ring.
 */
struct ring {
	int fd;
	unsigned int prepared;	/* entries that the kernel has not seen yet */
	unsigned int sq_mask, cq_mask;
	unsigned int *sq_tail, *sq_array;
	unsigned int *cq_head, *cq_tail;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	void *queues;
	size_t queues_length, sqes_length;
};

/* 0, or the errno of what went wrong; @entries is the most in flight. */
int ring_open(struct ring *ring, unsigned int entries);
void ring_close(struct ring *ring);

/* An empty entry; never more than were asked for are in flight. */
struct io_uring_sqe *ring_prepare(struct ring *ring);

/* Hand on what was prepared, wait for at least one to complete; 0 or errno. */
int ring_wait(struct ring *ring);

/* Take the next completion, if there is one. */
bool ring_take(struct ring *ring, uint64_t *user_data, int *result);

#endif
