// SPDX-License-Identifier: GPL-2.0-only
/* What a process may do with the range of addresses of a mapping. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lifecycle.h"

#define RW	(PROT_READ | PROT_WRITE)
#define SIZE	(64 * PAGE)

struct mapped {
	int fd;
	unsigned char *memory;
	size_t before;		/* bytes that were available */
	uint64_t key;
};

static struct mapped begin(const struct place *place)
{
	struct mapped mapped = {
		.fd = memory_open(place),
		.before = available(place),
		.key = place->seed,
	};

	mapped.memory = memory_map(mapped.fd, SIZE);
	paint(mapped.memory, SIZE, mapped.key);
	return mapped;
}

static void kept(const struct mapped *mapped, const char *when)
{
	check(damaged(mapped->memory, SIZE, mapped->key) < 0,
	      "the content is kept %s", when);
}

static void finish(const struct mapped *mapped)
{
	munmap(mapped->memory, SIZE);
	close(mapped->fd);
}

static int remap_error(void *memory, size_t from, size_t to, int flags)
{
	return mremap(memory, from, to, flags) == MAP_FAILED ? errno : 0;
}

void case_mremap_grow(const struct place *place)
{
	struct mapped mapped = begin(place);
	int error;

	error = remap_error(mapped.memory, SIZE, 2 * SIZE, 0);
	check(error == EFAULT || error == ENOMEM,
	      "growing in place is refused: %s", errno_name(error));
	error = remap_error(mapped.memory, SIZE, 2 * SIZE, MREMAP_MAYMOVE);
	if (!check(error == EFAULT, "growing by moving is refused: %s",
		   errno_name(error)))
		return;		/* the mapping is no longer where it was */
	error = remap_error(mapped.memory, 0, SIZE, MREMAP_MAYMOVE);
	check(error == EFAULT, "a second mapping of the same is refused: %s",
	      errno_name(error));
	kept(&mapped, "throughout");
	finish(&mapped);
}

void case_mremap_move(const struct place *place)
{
	struct mapped mapped = begin(place);
	unsigned char *old = mapped.memory, *new;

	new = mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (new == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	mapped.memory = mremap(old, SIZE, SIZE,
			       MREMAP_MAYMOVE | MREMAP_FIXED, new);
	if (!check(mapped.memory == new, "the mapping moves"))
		return;
	kept(&mapped, "at the new place");
	check(load_signal(old) == SIGSEGV, "nothing is left at the old place");
	check(available(place) == mapped.before - SIZE,
	      "no memory was taken or given back");
	finish(&mapped);
}

void case_mremap_shrink(const struct place *place)
{
	struct mapped mapped = begin(place);

	check(!remap_error(mapped.memory, SIZE, PAGE, 0), "it shrinks");
	check(damaged(mapped.memory, PAGE, mapped.key) < 0,
	      "the content of what is left is kept");
	check(load_signal(mapped.memory + PAGE) == SIGSEGV,
	      "the rest is not mapped");
	check(remap_error(mapped.memory, PAGE, 2 * PAGE, MREMAP_MAYMOVE) ==
	      EFAULT, "it does not grow again");
	finish(&mapped);
}

void case_munmap_split(const struct place *place)
{
	struct mapped mapped = begin(place);
	size_t middle = SIZE / 2, part = 4 * PAGE;

	check(!munmap(mapped.memory + middle, part), "unmapped the middle");
	check(damaged(mapped.memory, middle, mapped.key) < 0,
	      "the content below is kept");
	check(part_damaged(mapped.memory, middle + part, SIZE - middle - part,
			   mapped.key) < 0, "the content above is kept");
	check(load_signal(mapped.memory + middle) == SIGSEGV,
	      "the middle is not mapped");
	check(available(place) == mapped.before - SIZE,
	      "the buffer is held by what is left of it");
	munmap(mapped.memory, middle);
	check(!load_signal(mapped.memory + middle + part),
	      "the upper part outlives the lower");
	check(available(place) == mapped.before - SIZE,
	      "the buffer is held by its upper part");
	finish(&mapped);
}

void case_madvise_dontneed(const struct place *place)
{
	struct mapped mapped = begin(place);
	int round;

	for (round = 0; round < 3; round++) {
		check(!madvise(mapped.memory, SIZE, MADV_DONTNEED),
		      "MADV_DONTNEED");
		kept(&mapped, "when it is touched again");
	}
	check(available(place) == mapped.before - SIZE,
	      "no memory was taken or given back");
	finish(&mapped);
}

void case_mprotect(const struct place *place)
{
	struct mapped mapped = begin(place);

	check(!mprotect(mapped.memory, SIZE, PROT_READ), "made read only");
	check(store_signal(mapped.memory, 1) == SIGSEGV,
	      "a store raises SIGSEGV");
	kept(&mapped, "after the store");
	check(!mprotect(mapped.memory, SIZE, PROT_NONE), "made inaccessible");
	check(load_signal(mapped.memory) == SIGSEGV, "a load raises SIGSEGV");
	/* Makes three VMAs of it. */
	check(!mprotect(mapped.memory + PAGE, PAGE, RW),
	      "the second page made writable");
	check(!store_signal(mapped.memory + PAGE, load_word(mapped.memory +
							     PAGE)),
	      "a store to it works");
	check(!mprotect(mapped.memory, SIZE, RW), "all made writable again");
	kept(&mapped, "throughout");
	finish(&mapped);
}

void case_populate(const struct place *place)
{
	int fd = memory_open(place);
	void *memory = mmap(NULL, SIZE, RW, MAP_SHARED | MAP_POPULATE, fd, 0);

	if (check(memory != MAP_FAILED, "MAP_POPULATE is no reason to fail")) {
		paint(memory, SIZE, place->seed);
		check(damaged(memory, SIZE, place->seed) < 0,
		      "the memory works");
		munmap(memory, SIZE);
	}
	close(fd);
}
