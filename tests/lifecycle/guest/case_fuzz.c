// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random operations on many mappings in several processes. Each mapping has a
 * content of its own, compared again and again: whoever gets a page that is
 * still somebody else's is found out.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lifecycle.h"

#define RW		(PROT_READ | PROT_WRITE)
#define WORKERS		3
#define SLOTS		12
#define MOST_PAGES	64
#define MOST_DMA	(64 * KIB)
#define REVOCATIONS	4
#define REVOKED		77	/* exit status: the device went away */

struct slot {
	unsigned char *memory;
	size_t length;		/* 0: free */
	uint64_t key;
	bool split;		/* into several VMAs, perhaps */
};

struct worker {
	const struct place *place;
	uint64_t state;
	unsigned long left;	/* operations to do */
	bool revocable;		/* SIGBUS and ENODEV are no faults */
	struct slot slots[SLOTS];
};

static void give_up(struct worker *worker, const char *what, int error)
{
	if (worker->revocable && (error == ENODEV || error == ENXIO ||
				  error == ENOENT))
		_exit(REVOKED);
	check(false, "%s: %s", what, strerror(error));
	_exit(1);
}

static void on_sigbus(int number)
{
	(void)number;
	_exit(REVOKED);
}

static void require(struct worker *worker, const struct slot *slot,
		    const char *after)
{
	long page = damaged(slot->memory, slot->length, slot->key);

	if (page < 0)
		return;
	check(false, "after %s: page %ld of %zu at %p is not what was written",
	      after, page, slot->length / PAGE, (void *)slot->memory);
	note("worker state %llu", (unsigned long long)worker->state);
	_exit(1);
}

static void op_map(struct worker *worker, struct slot *slot)
{
	size_t length = PAGE * (1 + random_below(&worker->state, MOST_PAGES));
	int flags = random_below(&worker->state, 4) ? 0 : MAP_POPULATE;
	int fd;

	if (slot->length)
		return;
	fd = open(worker->place->memory, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		give_up(worker, "open", errno);
	slot->memory = mmap(NULL, length, RW, MAP_SHARED | flags, fd, 0);
	close(fd);
	if (slot->memory == MAP_FAILED) {
		if (errno != ENOMEM)
			give_up(worker, "mmap", errno);
		return;
	}
	slot->length = length;
	slot->split = false;
	slot->key = random_next(&worker->state);
	paint(slot->memory, length, slot->key);
}

static void op_unmap(struct worker *worker, struct slot *slot)
{
	require(worker, slot, "a while");
	munmap(slot->memory, slot->length);
	slot->length = 0;
}

static void op_trim(struct worker *worker, struct slot *slot)
{
	size_t keep = PAGE * (1 + random_below(&worker->state,
					       slot->length / PAGE));

	if (keep < slot->length)
		munmap(slot->memory + keep, slot->length - keep);
	slot->length = keep;
	require(worker, slot, "unmapping its end");
}

static void op_drop(struct worker *worker, struct slot *slot)
{
	madvise(slot->memory, slot->length, MADV_DONTNEED);
	require(worker, slot, "MADV_DONTNEED");
}

static void op_move(struct worker *worker, struct slot *slot)
{
	void *place = mmap(NULL, slot->length, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *moved = mremap(slot->memory, slot->length, slot->length,
			     MREMAP_MAYMOVE | MREMAP_FIXED, place);

	if (moved == MAP_FAILED) {
		/* Before 6.17 mremap() takes one VMA at a time. */
		if (errno != EFAULT || !slot->split)
			give_up(worker, "mremap", errno);
		munmap(place, slot->length);
		return;
	}
	slot->memory = moved;
	require(worker, slot, "mremap");
}

static void op_protect(struct worker *worker, struct slot *slot)
{
	size_t part = PAGE * random_below(&worker->state, slot->length / PAGE);

	mprotect(slot->memory + part, PAGE, PROT_NONE);
	mprotect(slot->memory, slot->length, PROT_READ);
	require(worker, slot, "mprotect");
	mprotect(slot->memory, slot->length, RW);
	slot->split = true;
}

static void op_grow(struct worker *worker, struct slot *slot)
{
	if (mremap(slot->memory, slot->length, slot->length + PAGE,
		   MREMAP_MAYMOVE) == MAP_FAILED)
		return;
	note("worker state %llu", (unsigned long long)worker->state);
	check(false, "a mapping of %zu pages could grow", slot->length / PAGE);
	_exit(1);
}

static void op_fork(struct worker *worker, struct slot *slot)
{
	uint64_t key = random_next(&worker->state);
	pid_t pid = fork();

	if (pid < 0)
		give_up(worker, "fork", errno);
	if (pid == 0) {
		require(worker, slot, "fork, in the child");
		paint(slot->memory, slot->length, key);
		_exit(0);
	}
	if (reap(pid) == REVOKED)
		_exit(REVOKED);
	slot->key = key;
	require(worker, slot, "the child's end");
}

static void op_transfer(struct worker *worker, struct slot *slot)
{
	size_t length = slot->length < MOST_DMA ? slot->length : MOST_DMA;
	off_t offset = (off_t)(PATTERN_START +
			       PAGE * random_below(&worker->state, 1024));
	ssize_t got = drive_read(worker->place->drive, slot->memory, length,
				 offset);

	if (got != (ssize_t)length) {
		if (worker->revocable)
			_exit(REVOKED);
		give_up(worker, "a read by the drive", got < 0 ? (int)-got : 0);
	}
	if (pattern_damaged(slot->memory, length, offset) >= 0 &&
	    !worker->revocable) {
		check(false, "a drive's %zu bytes at %p are not right", length,
		      (void *)slot->memory);
		_exit(1);
	}
	paint(slot->memory, slot->length, slot->key);
}

static void (*const operations[])(struct worker *, struct slot *) = {
	op_unmap, op_trim, op_drop, op_move, op_protect, op_grow,
	op_fork, op_transfer,
};

static void work(void *data)
{
	struct worker *worker = data;
	struct slot *slot;
	size_t choice;

	if (worker->revocable)
		signal(SIGBUS, on_sigbus);
	while (worker->left--) {
		slot = worker->slots + random_below(&worker->state, SLOTS);
		choice = random_below(&worker->state, LENGTH(operations));
		if (slot->length)
			operations[choice](worker, slot);
		else
			op_map(worker, slot);
	}
	for (slot = worker->slots; slot < worker->slots + SLOTS; slot++)
		if (slot->length)
			require(worker, slot, "all operations");
}

static pid_t start(const struct place *place, uint64_t seed, bool revocable)
{
	struct worker worker = {
		.place = place,
		.state = seed,
		.left = place->rounds,
		.revocable = revocable,
	};

	return spawn(work, &worker);
}

void case_fuzz(const struct place *place)
{
	pid_t pids[WORKERS], victim;
	uint64_t state = place->seed;
	int i, status, bad = 0;

	note("seed %llu", (unsigned long long)place->seed);
	for (i = 0; i < WORKERS; i++)
		pids[i] = start(place, random_next(&state), false);
	/* One more, which is killed at some point. */
	victim = start(place, random_next(&state), false);
	sleep_ms((unsigned int)random_below(&state, 200));
	kill(victim, SIGKILL);
	status = reap(victim);
	bad += status != 128 + SIGKILL && status != 0;
	for (i = 0; i < WORKERS; i++)
		bad += reap(pids[i]) != 0;
	check(!bad, "%d processes of %lu operations, %d of them failed",
	      WORKERS + 1, place->rounds, bad);
}

/* Workers that lose their memory again and again, and are replaced. */
void case_fuzz_revoke(const struct place *place)
{
	uint64_t state = place->seed;
	int i, status, bad = 0, revoked = 0;
	pid_t pids[WORKERS];

	note("seed %llu", (unsigned long long)place->seed);
	for (unsigned long round = 0; round < REVOCATIONS; round++) {
		for (i = 0; i < WORKERS; i++)
			pids[i] = start(place, random_next(&state), true);
		sleep_ms((unsigned int)random_below(&state, 100));
		rebind(place);
		for (i = 0; i < WORKERS; i++) {
			status = reap(pids[i]);
			revoked += status == REVOKED;
			bad += status != REVOKED && status != 0;
		}
	}
	check(!bad, "%d of the processes failed", bad);
	check(revoked, "%d of them lost their memory", revoked);
}
