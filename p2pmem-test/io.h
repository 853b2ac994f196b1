/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef P2PMEM_TEST_IO_H
#define P2PMEM_TEST_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "drive.h"
#include "outcome.h"

enum direction {
	IO_READ,
	IO_WRITE,
	DIRECTIONS,
};

/* One transfer between a drive and memory, and how far it has come. */
struct io {
	enum direction direction;
	const struct drive *drive;
	void *buf;
	size_t length;
	uint64_t offset;
	const char *mem_path;	/* P2PMEM that @buf is in; NULL: host memory */
	size_t done;
	unsigned int stalls;	/* system calls in a row without a whole block */
};

enum io_state {
	IO_DONE,
	IO_UNFINISHED,		/* the rest needs another system call */
	IO_FAILED,
};

/* Note what a system call for the rest of @io gave: a count, or -errno. */
enum io_state io_advance(struct io *io, ssize_t result, struct outcome *out);

/* Transfer all of it, whatever the kernel does in one system call. */
int io_run(struct io *io, struct outcome *out);

#endif
