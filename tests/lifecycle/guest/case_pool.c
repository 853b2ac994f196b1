// SPDX-License-Identifier: GPL-2.0-only
/* The pool at its end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lifecycle.h"

#define RW	(PROT_READ | PROT_WRITE)
#define PIECES	4096

struct piece {
	unsigned char *memory;
	size_t length;
};

/* Takes pieces of one size until the pool has none; returns the last errno. */
static int take_all(int fd, size_t length, struct piece *pieces, size_t *count)
{
	while (*count < PIECES) {
		void *memory = mmap(NULL, length, RW, MAP_SHARED, fd, 0);

		if (memory == MAP_FAILED)
			return errno;
		paint(memory, length, *count);
		pieces[*count] = (struct piece){ memory, length };
		++*count;
	}
	return 0;
}

static size_t count_damaged(const struct piece *pieces, size_t count)
{
	size_t i, bad = 0;

	for (i = 0; i < count; i++)
		bad += damaged(pieces[i].memory, pieces[i].length, i) >= 0;
	return bad;
}

void case_exhaustion(const struct place *place)
{
	static const size_t lengths[] = { 4 * MIB, MIB, 64 * KIB, PAGE };
	struct piece *pieces = calloc(PIECES, sizeof(*pieces));
	size_t i, count = 0;
	int error, fd = memory_open(place);

	for (i = 0; i < LENGTH(lengths); i++) {
		error = take_all(fd, lengths[i], pieces, &count);
		check(error == ENOMEM, "no more pieces of %zu KiB: %s",
		      lengths[i] / KIB, errno_name(error));
	}
	check(available(place) == 0, "the pool is empty");
	check(count_damaged(pieces, count) == 0,
	      "each of the %zu pieces has its own content", count);
	error = map_error(fd, PAGE, RW, MAP_SHARED, 0);
	check(error == ENOMEM, "one page more: %s", errno_name(error));
	munmap(pieces[0].memory, pieces[0].length);
	check(available_becomes(place, pieces[0].length),
	      "what is unmapped is there again");
	error = map_error(fd, pieces[0].length, RW, MAP_SHARED, 0);
	check(!error, "and can be taken again: %s", errno_name(error));
	for (i = 1; i < count; i++)
		munmap(pieces[i].memory, pieces[i].length);
	free(pieces);
	close(fd);
}

void case_too_long(const struct place *place)
{
	size_t before = available(place);
	int error, fd = memory_open(place);

	error = map_error(fd, before + PAGE, RW, MAP_SHARED, 0);
	check(error == ENOMEM, "a page more than there is: %s",
	      errno_name(error));
	error = map_error(fd, 1024 * 1024 * MIB, RW, MAP_SHARED, 0);
	check(error == ENOMEM, "a tebibyte: %s", errno_name(error));
	error = map_error(fd, 1, RW, MAP_SHARED, 0);
	check(!error, "a byte, which is a page: %s", errno_name(error));
	check(available_becomes(place, before), "nothing was taken");
	close(fd);
}
