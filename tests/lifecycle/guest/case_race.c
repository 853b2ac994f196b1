// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that fault pages in, or map and unmap, while the driver is unbound
 * from under them and bound again.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lifecycle.h"

#define SIZE		(16 * PAGE)
#define THREADS		2
#define START_MS	10000	/* for the threads to do a first turn */

struct racer {
	const struct place *place;
	unsigned char *memory;
	unsigned long turns;	/* that met memory which works */
	bool stop;
	const char *wrong;
};

/* Faults one page after the other in, until there are no more to be had. */
static void *fault_in(void *data)
{
	struct racer *racer = data;
	int number = 0;

	while (!number) {
		for (size_t page = 0; page < SIZE / PAGE && !number; page++)
			number = load_signal(racer->memory + page * PAGE);
		if (!number)
			__atomic_add_fetch(&racer->turns, 1, __ATOMIC_RELAXED);
		madvise(racer->memory, SIZE, MADV_DONTNEED);
	}
	if (number != SIGBUS)
		racer->wrong = "another signal than SIGBUS";
	return NULL;
}

/* Maps and unmaps; what it may meet is a device that goes, and nothing else. */
static void *map_and_unmap(void *data)
{
	struct racer *racer = data;
	void *memory;
	int fd, number;

	while (!__atomic_load_n(&racer->stop, __ATOMIC_ACQUIRE)) {
		fd = open(racer->place->memory, O_RDWR | O_CLOEXEC);
		if (fd < 0) {
			if (errno != ENOENT && errno != ENXIO &&
			    errno != ENODEV)
				racer->wrong = strerror(errno);
			continue;
		}
		memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			      fd, 0);
		if (memory != MAP_FAILED) {
			number = store_signal(memory, 1);
			if (number && number != SIGBUS)
				racer->wrong = "another signal than SIGBUS";
			if (!number)
				__atomic_add_fetch(&racer->turns, 1,
						   __ATOMIC_RELAXED);
			munmap(memory, SIZE);
		} else if (errno != ENODEV) {
			racer->wrong = strerror(errno);
		}
		close(fd);
	}
	return NULL;
}

static void start(struct racer *racer, pthread_t *threads,
		  void *(*body)(void *))
{
	unsigned long turns = __atomic_load_n(&racer->turns, __ATOMIC_RELAXED);
	int64_t limit = now_ns() + START_MS * 1000000LL;

	for (int i = 0; i < THREADS; i++)
		if (pthread_create(threads + i, NULL, body, racer))
			die("no more threads");
	/* The race has begun when somebody has done a turn. */
	while (__atomic_load_n(&racer->turns, __ATOMIC_RELAXED) == turns) {
		if (now_ns() > limit)
			die("no thread got anywhere: %s",
			    racer->wrong ? racer->wrong : "no reason known");
		sleep_ms(1);
	}
}

static void join(pthread_t *threads)
{
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

void case_race_fault(const struct place *place)
{
	struct racer racer = { .place = place };
	pthread_t threads[THREADS];
	uint64_t state = place->seed;
	unsigned long round;
	int fd;

	for (round = 0; round < place->rounds; round++) {
		fd = memory_open(place);
		racer.memory = memory_map(fd, SIZE);
		close(fd);
		start(&racer, threads, fault_in);
		sleep_ms((unsigned int)random_below(&state, 5));
		rebind(place);
		join(threads);
		munmap(racer.memory, SIZE);
	}
	check(!racer.wrong, "%lu unbinds against %d threads that fault: %s",
	      round, THREADS, racer.wrong ? racer.wrong : "each met SIGBUS");
	note("%lu turns", racer.turns);
}

void case_race_map(const struct place *place)
{
	struct racer racer = { .place = place };
	pthread_t threads[THREADS];
	uint64_t state = place->seed;
	unsigned long round;

	start(&racer, threads, map_and_unmap);
	for (round = 0; round < place->rounds; round++) {
		sleep_ms((unsigned int)random_below(&state, 10));
		rebind(place);
	}
	__atomic_store_n(&racer.stop, true, __ATOMIC_RELEASE);
	join(threads);
	check(!racer.wrong, "%lu unbinds against %d threads that map: %s",
	      round, THREADS, racer.wrong ? racer.wrong : "nothing unexpected");
	note("%lu turns", racer.turns);
}
