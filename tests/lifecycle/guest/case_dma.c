// SPDX-License-Identifier: GPL-2.0-only
/*
 * Transfers. For those in flight the host has slowed the drive down, so that
 * they last for about two seconds.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lifecycle.h"

#define SHORT	(64 * KIB)
#define LONG	(2 * MIB)
#define REST	(1 * MIB)

void case_dma_readonly(const struct place *place)
{
	int fd = memory_open(place);
	void *memory = memory_map(fd, SHORT);
	ssize_t got;

	paint(memory, SHORT, place->seed);
	mprotect(memory, SHORT, PROT_READ);
	got = drive_read(place->drive, memory, SHORT, PATTERN_START);
	check(got == -EFAULT, "a drive does not write to a read-only mapping: %s",
	      errno_name(got < 0 ? (int)-got : 0));
	check(damaged(memory, SHORT, place->seed) < 0, "the content is kept");
	munmap(memory, SHORT);
	close(fd);
}

void case_dma_moved(const struct place *place)
{
	int fd = memory_open(place);
	unsigned char *memory = memory_map(fd, 4 * SHORT), *moved;
	ssize_t got;

	/* A part of it, elsewhere, not touched before the drive does. */
	moved = mmap(NULL, SHORT, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		     0);
	moved = mremap(memory + SHORT, SHORT, SHORT,
		       MREMAP_MAYMOVE | MREMAP_FIXED, moved);
	if (!check(moved != MAP_FAILED, "a part is moved"))
		return;
	paint(memory, SHORT, place->seed);
	got = drive_read(place->drive, moved, SHORT, PATTERN_START);
	check(got == (ssize_t)SHORT, "the drive writes to it: %zd", got);
	check(pattern_damaged(moved, SHORT, PATTERN_START) < 0,
	      "the data is right");
	check(damaged(memory, SHORT, place->seed) < 0,
	      "the part before it is untouched");
	munmap(memory, 4 * SHORT);
	munmap(moved, SHORT);
	close(fd);
}

/*
 * Unmap while the drive still writes. The pages must not be given to anybody
 * else before it has ended: whoever got them would find the drive's data in
 * its memory.
 */
void case_dma_unmapped(const struct place *place)
{
	size_t before = available(place), left;
	int fd = memory_open(place);
	struct transfer transfer = {
		.drive = place->drive,
		.address = memory_map(fd, LONG),
		.length = LONG,
		.offset = PATTERN_START,
	};
	void *others;

	transfer_start(&transfer);
	munmap(transfer.address, LONG);
	left = available(place);
	if (!in_flight(place->drive))
		die("the transfer was over too early to tell anything");
	check(left == before - LONG, "its %zu bytes are held: %zd are free",
	      LONG, left);
	/* What is free lies right behind, or is what must not be free. */
	others = memory_map(fd, LONG);
	paint(others, LONG, place->seed);
	transfer_join(&transfer);
	check(transfer.result == (ssize_t)LONG, "the transfer is whole: %zd",
	      transfer.result);
	check(damaged(others, LONG, place->seed) < 0,
	      "it left the memory of others alone");
	check(available_becomes(place, before - LONG),
	      "its memory came back with its end");
	munmap(others, LONG);
	close(fd);
}

static void leave(void *data)
{
	(void)data;
}

void case_dma_forked(const struct place *place)
{
	int fd = memory_open(place);
	struct transfer transfer = {
		.drive = place->drive,
		.address = memory_map(fd, REST),
		.length = REST,
		.offset = PATTERN_START,
	};

	transfer_start(&transfer);
	check(reap(spawn(leave, NULL)) == 0, "a child comes and goes");
	if (!in_flight(place->drive))
		die("the transfer was over too early to tell anything");
	transfer_join(&transfer);
	check(transfer.result == (ssize_t)REST, "the transfer is whole: %zd",
	      transfer.result);
	check(pattern_damaged(transfer.address, REST, PATTERN_START) < 0,
	      "the data is right");
	munmap(transfer.address, REST);
	close(fd);
}
