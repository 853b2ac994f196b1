/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef P2PMEM_TEST_IO_H
#define P2PMEM_TEST_IO_H

#include <stddef.h>
#include <stdint.h>

#include "drive.h"
#include "outcome.h"

enum direction {
	IO_READ,
	IO_WRITE,
};

/* One transfer between a drive and memory. */
struct io {
	enum direction direction;
	const struct drive *drive;
	void *buf;
	size_t length;
	uint64_t offset;
	const char *mem_path;	/* P2PMEM that @buf is in; NULL: host memory */
};

/* Transfer all of it, whatever the kernel does in one system call. */
int io_run(const struct io *io, struct outcome *out);

#endif
