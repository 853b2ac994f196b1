// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ring.h"

/*
 * The kernel then does the work that completes a transfer when the thread
 * waits for it, instead of interrupting it. From Linux 6.1 on.
 */
#if defined(IORING_SETUP_SINGLE_ISSUER) && defined(IORING_SETUP_DEFER_TASKRUN)
#define ONE_THREAD (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN)
#else
#define ONE_THREAD 0
#endif

/*
 * From three entries in one system call on, the kernel plugs the block queue
 * (io_uring.c:io_submit_state_start) and merges what are neighbours on the
 * drive. But a chunk is to be one command: that is what is measured, and a
 * command with buffers from several places is more than some controllers can
 * do with their own memory.
 */
#define UNMERGED 2

static int setup(unsigned int entries, unsigned int flags,
		 struct io_uring_params *params)
{
	*params = (struct io_uring_params){ .flags = flags };
	return (int)syscall(SYS_io_uring_setup, entries, params);
}

static void *at(const struct ring *ring, unsigned int offset)
{
	return (char *)ring->queues + offset;
}

static void *map(const struct ring *ring, size_t length, off_t what)
{
	void *base = mmap(NULL, length, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_POPULATE, ring->fd, what);

	return base == MAP_FAILED ? NULL : base;
}

static int map_queues(struct ring *ring, const struct io_uring_params *params)
{
	const struct io_sqring_offsets *sq = &params->sq_off;
	const struct io_cqring_offsets *cq = &params->cq_off;
	size_t sq_end = sq->array + params->sq_entries * sizeof(unsigned int);
	size_t cq_end = cq->cqes + params->cq_entries * sizeof(*ring->cqes);

	ring->queues_length = sq_end > cq_end ? sq_end : cq_end;
	ring->sqes_length = params->sq_entries * sizeof(*ring->sqes);
	ring->queues = map(ring, ring->queues_length, IORING_OFF_SQ_RING);
	if (!ring->queues)
		return errno;
	ring->sqes = map(ring, ring->sqes_length, (off_t)IORING_OFF_SQES);
	if (!ring->sqes)
		return errno;

	ring->sq_tail = at(ring, sq->tail);
	ring->sq_mask = *(unsigned int *)at(ring, sq->ring_mask);
	ring->sq_array = at(ring, sq->array);
	ring->cq_head = at(ring, cq->head);
	ring->cq_tail = at(ring, cq->tail);
	ring->cq_mask = *(unsigned int *)at(ring, cq->ring_mask);
	ring->cqes = at(ring, cq->cqes);
	return 0;
}

int ring_open(struct ring *ring, unsigned int entries)
{
	struct io_uring_params params;
	int error;

	*ring = (struct ring){ .fd = setup(entries, ONE_THREAD, &params) };
	if (ring->fd < 0 && errno == EINVAL)
		ring->fd = setup(entries, 0, &params);
	if (ring->fd < 0)
		return errno;
	/* One mapping for both queues, since Linux 5.4. */
	error = params.features & IORING_FEAT_SINGLE_MMAP ?
		map_queues(ring, &params) : ENOSYS;
	if (error)
		ring_close(ring);
	return error;
}

void ring_close(struct ring *ring)
{
	if (ring->sqes)
		munmap(ring->sqes, ring->sqes_length);
	if (ring->queues)
		munmap(ring->queues, ring->queues_length);
	if (ring->fd >= 0)
		close(ring->fd);
	*ring = (struct ring){ .fd = -1 };
}

struct io_uring_sqe *ring_prepare(struct ring *ring)
{
	unsigned int tail = *ring->sq_tail;
	unsigned int index = tail & ring->sq_mask;
	struct io_uring_sqe *sqe = &ring->sqes[index];

	memset(sqe, 0, sizeof(*sqe));
	ring->sq_array[index] = index;
	/* The kernel only looks when it is told to, by ring_wait(). */
	__atomic_store_n(ring->sq_tail, tail + 1, __ATOMIC_RELEASE);
	ring->prepared++;
	return sqe;
}

/* Hand on some of what was prepared; wait for @completions. */
static int enter(struct ring *ring, unsigned int entries,
		 unsigned int completions)
{
	long taken = syscall(SYS_io_uring_enter, ring->fd, entries, completions,
			     completions ? IORING_ENTER_GETEVENTS : 0, NULL, 0);

	if (taken < 0)
		return errno;
	ring->prepared -= (unsigned int)taken;
	return 0;
}

int ring_wait(struct ring *ring)
{
	int error = 0;

	while (!error && ring->prepared > UNMERGED)
		error = enter(ring, UNMERGED, 0);
	return error ? error : enter(ring, ring->prepared, 1);
}

bool ring_take(struct ring *ring, uint64_t *user_data, int *result)
{
	unsigned int head = *ring->cq_head;
	const struct io_uring_cqe *cqe = &ring->cqes[head & ring->cq_mask];

	if (head == __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE))
		return false;
	*user_data = cqe->user_data;
	*result = cqe->res;
	__atomic_store_n(ring->cq_head, head + 1, __ATOMIC_RELEASE);
	return true;
}
