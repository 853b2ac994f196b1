// SPDX-License-Identifier: GPL-2.0-only
/*
 * Holders: a process that has the file open, has a mapping with all pages
 * touched, or has a transfer into a mapping in flight, while the host lets
 * something happen to the device. On SIGTERM it tells what it is left with.
 *
 *	hold file|mapping|dma OUT MEMORY DRIVE		prints the process id
 *	end PID SECONDS OUT				prints what it told
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lifecycle.h"

#define HELD		(2 * MIB)
#define KEY		0x686f6c6465723031ULL
#define GONE_POLL_MS	1

struct holder {
	struct place place;
	const char *kind;
	int fd;
	unsigned char *memory;
	struct transfer transfer;
};

static bool is(const struct holder *holder, const char *kind)
{
	return !strcmp(holder->kind, kind);
}

static void take(struct holder *holder)
{
	holder->fd = memory_open(&holder->place);
	if (is(holder, "file"))
		return;
	holder->memory = memory_map(holder->fd, HELD);
	paint(holder->memory, HELD, KEY);
	if (is(holder, "mapping"))
		return;
	holder->transfer = (struct transfer){
		.drive = holder->place.drive,
		.address = holder->memory,
		.length = HELD,
		.offset = PATTERN_START,
	};
	transfer_start(&holder->transfer);
}

/* In words: what came of the pages of the mapping. */
static const char *content(const struct holder *holder)
{
	size_t page, faulted = 0, pages = HELD / PAGE;
	long wrong;

	for (page = 0; page < pages; page++)
		faulted += load_signal(holder->memory + page * PAGE) == SIGBUS;
	if (faulted)
		return faulted == pages ? "sigbus" : "mixed";
	wrong = is(holder, "mapping") ?
		damaged(holder->memory, HELD, KEY) :
		pattern_damaged(holder->memory, HELD, PATTERN_START);
	return wrong < 0 ? "kept" : "lost";
}

static void tell(struct holder *holder)
{
	struct transfer *transfer = &holder->transfer;

	if (is(holder, "dma")) {
		transfer_join(transfer);
		printf("transfer %lld %lld %s\n", (long long)transfer->begun,
		       (long long)transfer->ended,
		       transfer->result < 0 ?
		       errno_name((int)-transfer->result) :
		       transfer->result == (ssize_t)HELD ? "whole" : "short");
	}
	if (holder->memory)
		printf("content %s\n", content(holder));
	printf("mmap %s\n",
	       errno_name(map_error(holder->fd, PAGE, PROT_READ | PROT_WRITE,
				    MAP_SHARED, 0)));
	fflush(stdout);
}

/* The child: tells @ready when it holds all, then waits for SIGTERM. */
static void hold(struct holder *holder, const char *out, int ready)
{
	sigset_t term;
	int number;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	setsid();
	if (!freopen(out, "w", stdout) || dup2(STDOUT_FILENO, STDERR_FILENO) < 0)
		die("%s: %s", out, strerror(errno));
	take(holder);
	if (write(ready, "r", 1) != 1)
		die("the parent has gone");
	close(ready);
	sigwait(&term, &number);
	tell(holder);
	_exit(0);
}

int command_hold(int argc, char **argv)
{
	struct holder holder = { 0 };
	int ready[2];
	pid_t pid;
	char byte;

	if (argc != 5)
		die("usage: hold file|mapping|dma OUT MEMORY DRIVE");
	holder.kind = argv[1];
	holder.place.memory = argv[3];
	holder.place.drive = argv[4];
	if (pipe2(ready, O_CLOEXEC))
		die("pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (pid == 0)
		hold(&holder, argv[2], ready[1]);
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1) {
		char text[512];

		read_file(argv[2], text, sizeof(text));
		die("the holder failed: %s", text);
	}
	printf("%d\n", pid);
	return 0;
}

int command_end(int argc, char **argv)
{
	char text[4096];
	int64_t limit;
	pid_t pid;

	if (argc != 4)
		die("usage: end PID SECONDS OUT");
	pid = atoi(argv[1]);
	limit = now_ns() + (int64_t)(atof(argv[2]) * 1e9);
	if (kill(pid, SIGTERM) && errno != ESRCH)
		die("kill %d: %s", pid, strerror(errno));
	while (!process_gone(pid)) {
		if (now_ns() > limit)
			die("the holder, process %d, did not end", pid);
		sleep_ms(GONE_POLL_MS);
	}
	read_file(argv[3], text, sizeof(text));
	fputs(text, stdout);
	return 0;
}
