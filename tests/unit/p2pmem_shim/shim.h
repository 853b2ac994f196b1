/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Preloaded below p2pmem-test: logs what it asks of the kernel, and plays the
 * kernel that fails.
 *
 * P2PMEM_SHIM_LOG	file; gets a line "CALL FILE OFFSET LENGTH MEMORY" per
 *			pread and pwrite, MEMORY being p2pmem or host
 *			and per transfer of io_uring
 * P2PMEM_SHIM_ROOT	folder; stands before /proc/self/mountinfo, /proc/swaps
 *			and /sys/dev/block
 * P2PMEM_SHIM		rules "CALL,FILE,NTH,ACTION,VALUE", separated by ';'.
 *			FILE is a base name or *, NTH counts from 1, 0 is each
 *
 * CALL		ACTION and VALUE
 * any		errno N: fail with errno N
 *			signal N: raise signal N before
 * pread, pwrite	short N: transfer the whole sectors in N, return N
 *			flip N: invert the byte at offset N of the file
 *			lose 0: succeed without a transfer
 *			delay N: wait for N milliseconds before
 * cqe		errno N, short N: what io_uring tells of a transfer; FILE is *
 * mmap		truncate N: succeed, then cut the file to N bytes
 *		fold N: let each N bytes be the same memory
 * statx	align N: O_DIRECT needs offsets that are multiples of N
 * stat, ioctl	block N: the file is a block device of number N (fstat, too)
 * excl		errno N: opening with O_EXCL fails
 * io_uring_setup, io_uring_enter	errno N; FILE is *
 */
#ifndef P2PMEM_SHIM_H
#define P2PMEM_SHIM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define SECTOR 512

struct rule {
	char call[16], file[64], action[16];
	long nth, value;
	atomic_long seen;
};

/* Only what takes the place of a function of libc is to be seen outside. */
#pragma GCC visibility push(hidden)

/* rules.c */
void *next(const char *symbol);
const char *base_name(const char *path);
const char *name_of(int fd, char *path);
const struct rule *match(const char *call, const char *file);
bool is(const struct rule *rule, const char *action);
bool fails(const struct rule *rule);
void note(const char *call, const char *name, long long offset, size_t length,
	  const char *buf);

/* transfer.c: whether this is memory that the tool has mapped from a file */
bool is_peer(const char *buf, size_t length);

/* ring.c: the tool has mapped a part of its ring */
void ring_mapped(off_t offset, void *base);

#pragma GCC visibility pop

#endif
