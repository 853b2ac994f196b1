// SPDX-License-Identifier: GPL-2.0-only
/* Processes that share a mapping, inherit it, or come and go. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lifecycle.h"

#define SIZE		(64 * PAGE)
#define CHILD_KEY	0x6368696c64000000ULL
#define AT_ONCE		4	/* processes that run side by side */

struct family {
	const struct place *place;
	int gate[2];		/* closed by the parent when it is gone */
	unsigned char *memory;
	size_t before;
};

static void wait_for_gate(const struct family *family)
{
	char byte;

	close(family->gate[1]);
	while (read(family->gate[0], &byte, 1) > 0)
		;
}

/* Runs after its parent has gone. */
static void orphan(void *data)
{
	struct family *family = data;

	wait_for_gate(family);
	check(damaged(family->memory, SIZE, family->place->seed) < 0,
	      "the content outlives the parent");
	check(available(family->place) == family->before - SIZE,
	      "the memory is still taken");
	paint(family->memory, SIZE, CHILD_KEY);
	check(damaged(family->memory, SIZE, CHILD_KEY) < 0,
	      "the child may write");
}

static void parent(void *data)
{
	struct family *family = data;
	int fd = memory_open(family->place);

	family->memory = memory_map(fd, SIZE);
	paint(family->memory, SIZE, family->place->seed);
	close(fd);
	spawn(orphan, family);
}

void case_fork_parent_first(const struct place *place)
{
	struct family family = {
		.place = place,
		.before = available(place),
	};
	int status;

	/* The orphan becomes our child. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (pipe(family.gate))
		die("pipe failed");
	check(reap(spawn(parent, &family)) == 0, "the parent ends");
	close(family.gate[0]);
	close(family.gate[1]);
	check(wait(&status) > 0 && !status, "the child ends, its checks passed");
	check(available_becomes(place, family.before),
	      "the memory comes back with the child's end");
}

static void heir(void *data)
{
	struct family *family = data;

	check(damaged(family->memory, SIZE, family->place->seed) < 0,
	      "the child sees the content");
	paint(family->memory, SIZE, CHILD_KEY);
}

void case_fork_child_first(const struct place *place)
{
	struct family family = {
		.place = place,
		.before = available(place),
	};
	int fd = memory_open(place);

	family.memory = memory_map(fd, SIZE);
	paint(family.memory, SIZE, place->seed);
	check(reap(spawn(heir, &family)) == 0, "the child ends");
	check(damaged(family.memory, SIZE, CHILD_KEY) < 0,
	      "the parent sees what the child wrote");
	check(available(place) == family.before - SIZE,
	      "the memory is still taken");
	munmap(family.memory, SIZE);
	close(fd);
}

/*
 * The gate is closed by exec: what comes before it tells that there was a
 * mapping, its end that there is another program now.
 */
static void become_another_program(void *data)
{
	struct family *family = data;
	int fd = memory_open(family->place);
	void *memory = memory_map(fd, SIZE);

	paint(memory, SIZE, family->place->seed);
	if (available(family->place) == family->before - SIZE &&
	    write(family->gate[1], "m", 1) == 1)
		execl("/bin/sleep", "sleep", "30", NULL);
	_exit(127);
}

void case_exec_program(const struct place *place)
{
	struct family family = {
		.place = place,
		.before = available(place),
	};
	char byte = 0;
	pid_t pid;

	if (pipe2(family.gate, O_CLOEXEC))
		die("pipe failed");
	pid = spawn(become_another_program, &family);
	close(family.gate[1]);
	check(read(family.gate[0], &byte, 1) == 1 && byte == 'm',
	      "a process has a mapping");
	check(read(family.gate[0], &byte, 1) == 0, "it runs another program");
	check(available_becomes(place, family.before),
	      "which does not inherit the memory");
	kill(pid, SIGKILL);
	check(reap(pid) == 128 + SIGKILL, "and which was still running");
	close(family.gate[0]);
}

/* Some unmap and close, most leave that to the kernel. */
static void short_lived(void *data)
{
	struct family *family = data;
	uint64_t state = family->place->seed + (uint64_t)getpid();
	size_t length = PAGE * (1 + random_below(&state, 16));
	int fd = memory_open(family->place);
	void *memory = memory_map(fd, length);

	paint(memory, length, state);
	check(damaged(memory, length, state) < 0, "its memory is its own");
	if (random_below(&state, 4) == 0) {
		munmap(memory, length);
		close(fd);
	}
}

void case_processes(const struct place *place)
{
	struct family family = { .place = place };
	unsigned long begun, ended, bad = 0;
	int status;

	for (begun = ended = 0; ended < place->rounds; ended++) {
		while (begun < place->rounds && begun < ended + AT_ONCE) {
			spawn(short_lived, &family);
			begun++;
		}
		if (wait(&status) < 0)
			die("wait failed");
		bad += status != 0;
	}
	check(!bad, "%lu short-lived processes, %lu of them failed", ended, bad);
}
