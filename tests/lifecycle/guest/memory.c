// SPDX-License-Identifier: GPL-2.0-only
/* Peer-to-peer memory: open, map, touch with signals caught, fill and compare. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lifecycle.h"

#define WORDS_PER_PAGE	(PAGE / sizeof(uint64_t))
#define WORDS_SEEN	4
#define SETTLE_MS	5000	/* for a transfer that still holds pages */

int memory_open(const struct place *place)
{
	int fd = open(place->memory, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die("open %s: %s", place->memory, strerror(errno));
	return fd;
}

void *memory_map(int fd, size_t length)
{
	void *address = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED,
			     fd, 0);

	if (address == MAP_FAILED)
		die("mmap of %zu bytes: %s", length, strerror(errno));
	return address;
}

/* Returns the errno of an mmap(), 0 if it works; leaves nothing mapped. */
int map_error(int fd, size_t length, int prot, int flags, off_t offset)
{
	void *address = mmap(NULL, length, prot, flags, fd, offset);

	if (address == MAP_FAILED)
		return errno;
	munmap(address, length);
	return 0;
}

static __thread sigjmp_buf landing;
static __thread volatile sig_atomic_t flying;

static void on_fault(int number)
{
	if (flying)
		siglongjmp(landing, number);
	signal(number, SIG_DFL);
	raise(number);
}

static void catch_faults(void)
{
	struct sigaction action = { .sa_handler = on_fault };

	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
}

/* Returns 0, or the signal that the access raised. */
static int access_signal(volatile uint64_t *word, bool store, uint64_t value)
{
	int number;

	catch_faults();
	number = sigsetjmp(landing, 1);
	if (!number) {
		flying = 1;
		if (store)
			*word = value;
		else
			(void)*word;
	}
	flying = 0;
	return number;
}

int load_signal(const void *address)
{
	return access_signal((volatile uint64_t *)(uintptr_t)address, false, 0);
}

int store_signal(void *address, uint64_t value)
{
	return access_signal(address, true, value);
}

uint64_t load_word(const void *address)
{
	return *(const volatile uint64_t *)address;
}

/* Words that differ from page to page, so that all columns are met. */
static size_t word_of_page(size_t page, size_t number)
{
	static const size_t columns[WORDS_SEEN] = { 0, 97, 211, 400 };

	return page * WORDS_PER_PAGE +
	       (columns[number] + 31 * page) % WORDS_PER_PAGE;
}

/* Scalar stores only: the memory is that of a device. */
void paint(void *address, size_t length, uint64_t key)
{
	volatile uint64_t *words = address;
	size_t page, number, at;

	for (page = 0; page < length / PAGE; page++)
		for (number = 0; number < WORDS_SEEN; number++) {
			at = word_of_page(page, number);
			words[at] = key ^ at;
		}
}

/*
 * Compare a part of what was painted from @start on. Returns the number of the
 * first page that is not as painted, or -1.
 */
long part_damaged(const void *start, size_t from, size_t length, uint64_t key)
{
	const volatile uint64_t *words = start;
	size_t page, number, at;

	for (page = from / PAGE; page < (from + length) / PAGE; page++)
		for (number = 0; number < WORDS_SEEN; number++) {
			at = word_of_page(page, number);
			if (words[at] != (key ^ at))
				return (long)page;
		}
	return -1;
}

long damaged(const void *address, size_t length, uint64_t key)
{
	return part_damaged(address, 0, length, key);
}

static const char *node_name(const struct place *place)
{
	const char *slash = strrchr(place->memory, '/');

	return slash ? slash + 1 : place->memory;
}

/* Where sysfs has the PCI function of the memory. */
void function_path(const struct place *place, char *path, size_t size)
{
	char link[PATH_MAX], real[PATH_MAX];

	snprintf(link, sizeof(link), "/sys/class/p2pmem_device/%s/device",
		 node_name(place));
	if (!realpath(link, real))
		die("%s: %s", link, strerror(errno));
	snprintf(path, size, "%s", real);
}

/* Bytes that the pool has left. */
size_t available(const struct place *place)
{
	char path[PATH_MAX], text[32];

	snprintf(path, sizeof(path),
		 "/sys/class/p2pmem_device/%s/device/p2pmem/available",
		 node_name(place));
	if (!read_file(path, text, sizeof(text)))
		die("%s cannot be read", path);
	return strtoull(text, NULL, 10);
}

/* Pages come back with their last reference, which may take a moment. */
bool available_becomes(const struct place *place, size_t size)
{
	int64_t limit = now_ns() + SETTLE_MS * 1000000LL;

	while (available(place) != size) {
		if (now_ns() > limit)
			return false;
		sleep_ms(1);
	}
	return true;
}
