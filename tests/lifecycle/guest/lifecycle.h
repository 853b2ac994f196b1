/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the cases of the life-cycle suite share. Each case is a function that
 * gets a place to work in and makes checks; a check prints a line "ok N - ..."
 * or "not ok N - ...", as the kernel's own tests do.
 */
#ifndef LIFECYCLE_H
#define LIFECYCLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define KIB		((size_t)1024)
#define MIB		(1024 * KIB)
#define PAGE		(4 * KIB)
#define LENGTH(array)	(sizeof(array) / sizeof((array)[0]))
#define PRINTF(at)	__attribute__((format(printf, at, at + 1)))
#define NORETURN	__attribute__((noreturn))

/*
 * From here on each drive holds a pattern: every 8-byte word is its own offset,
 * exclusive-or PATTERN_KEY. The host writes it, tests/lifecycle/drives.py.
 */
#define PATTERN_START	(8 * MIB)
#define PATTERN_LENGTH	(8 * MIB)
#define PATTERN_KEY	0x70326c616221c0deULL
#define SCRATCH_START	(32 * MIB)	/* cases may write here */

/**
 * struct place - what a case works with
 * @memory: /dev/p2pmemN
 * @drive: a block device that can do DMA to it
 * @seed: of everything random
 * @rounds: how often, for cases that repeat something
 */
struct place {
	const char *memory;
	const char *drive;
	uint64_t seed;
	unsigned long rounds;
};

/* check.c */
bool check(bool passed, const char *fmt, ...) PRINTF(2);
void note(const char *fmt, ...) PRINTF(1);
void die(const char *fmt, ...) PRINTF(1) NORETURN;
int checks_failed(void);
void checks_of_child(void);
const char *errno_name(int error);

/* process.c */
int64_t now_ns(void);
void sleep_ms(unsigned int milliseconds);
pid_t spawn(void (*body)(void *), void *data);
int reap(pid_t pid);
bool process_gone(pid_t pid);
int write_file(const char *path, const char *text);
size_t read_file(const char *path, char *text, size_t size);

/* memory.c */
int memory_open(const struct place *place);
void *memory_map(int fd, size_t length);
int map_error(int fd, size_t length, int prot, int flags, off_t offset);
int load_signal(const void *address);
int store_signal(void *address, uint64_t value);
uint64_t load_word(const void *address);
void paint(void *address, size_t length, uint64_t key);
long part_damaged(const void *start, size_t from, size_t length, uint64_t key);
long damaged(const void *address, size_t length, uint64_t key);
size_t available(const struct place *place);
bool available_becomes(const struct place *place, size_t size);
void function_path(const struct place *place, char *path, size_t size);

/* dma.c */

/**
 * struct transfer - one read from a drive into memory, by a thread of its own
 * @result: bytes, or a negative errno
 * @begun, @ended: CLOCK_MONOTONIC, in ns
 */
struct transfer {
	const char *drive;
	void *address;
	size_t length;
	off_t offset;
	pthread_t thread;
	ssize_t result;
	int64_t begun;
	int64_t ended;
};

int drive_open(const char *drive);
ssize_t drive_read(const char *drive, void *address, size_t length,
		   off_t offset);
void transfer_start(struct transfer *transfer);
void transfer_join(struct transfer *transfer);
unsigned int in_flight(const char *drive);
long pattern_damaged(const void *address, size_t length, off_t offset);

/* slot.c */
int slot_power(const char *port, bool on);

/* rebind.c */
void rebind(const struct place *place);

/* random.c: the same numbers for the same seed, on every libc */
uint64_t random_next(uint64_t *state);
uint64_t random_below(uint64_t *state, uint64_t limit);

/* hold.c, event.c, state.c: what the host drives */
int command_hold(int argc, char **argv);
int command_end(int argc, char **argv);
int command_event(int argc, char **argv);
int command_power(int argc, char **argv);
int command_await(int argc, char **argv);
int command_state(int argc, char **argv);
int command_settle(int argc, char **argv);

/* case_*.c */
void case_map_private(const struct place *place);
void case_map_offset(const struct place *place);
void case_map_exec(const struct place *place);
void case_mprotect_exec(const struct place *place);
void case_map_readonly_file(const struct place *place);
void case_file_operations(const struct place *place);
void case_mremap_grow(const struct place *place);
void case_mremap_move(const struct place *place);
void case_mremap_shrink(const struct place *place);
void case_munmap_split(const struct place *place);
void case_madvise_dontneed(const struct place *place);
void case_mprotect(const struct place *place);
void case_populate(const struct place *place);
void case_fork_parent_first(const struct place *place);
void case_fork_child_first(const struct place *place);
void case_exec_program(const struct place *place);
void case_processes(const struct place *place);
void case_dup(const struct place *place);
void case_pass_fd(const struct place *place);
void case_exhaustion(const struct place *place);
void case_too_long(const struct place *place);
void case_pin_refused(const struct place *place);
void case_dma_readonly(const struct place *place);
void case_dma_moved(const struct place *place);
void case_dma_unmapped(const struct place *place);
void case_dma_forked(const struct place *place);
void case_race_fault(const struct place *place);
void case_race_map(const struct place *place);
void case_fuzz(const struct place *place);
void case_fuzz_revoke(const struct place *place);

#endif
