// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events: what the kernel is told to do to the device. Each runs in a process
 * of its own in the background, for it may hang.
 *
 *	event OUT write PATH TEXT	write to a file of sysfs
 *	event OUT gone PATH		wait until a file of sysfs is no more
 *	event OUT surprise PORT PATH	cut the power of a slot, then write to a
 *					file of sysfs that tells the kernel
 *	event OUT rmmod NAME		unload a module
 *	event OUT kill PID		kill a process, and wait until it is gone
 *	power PORT on|off		of the slot below a port
 *	await OUT SECONDS		prints OUT when the event has ended
 *
 * OUT gets "begin NS PID" and "end NS ERRNO", times of CLOCK_MONOTONIC.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lifecycle.h"

static int kill_and_wait(pid_t pid)
{
	if (kill(pid, SIGKILL))
		return errno;
	while (!process_gone(pid))
		sleep_ms(1);
	return 0;
}

static int wait_until_gone(const char *path)
{
	while (!access(path, F_OK))
		sleep_ms(1);
	return 0;
}

static int act(char **words)
{
	int error;

	if (!strcmp(words[0], "write"))
		return write_file(words[1], words[2]);
	if (!strcmp(words[0], "gone"))
		return wait_until_gone(words[1]);
	if (!strcmp(words[0], "surprise")) {
		error = slot_power(words[1], false);
		return error ? error : write_file(words[2], "1");
	}
	if (!strcmp(words[0], "rmmod"))
		return syscall(SYS_delete_module, words[1], O_NONBLOCK) ?
		       errno : 0;
	if (!strcmp(words[0], "kill"))
		return kill_and_wait(atoi(words[1]));
	return EINVAL;
}

int command_event(int argc, char **argv)
{
	FILE *out;
	pid_t pid;
	int error;
	bool two = argc > 3 && (!strcmp(argv[2], "write") ||
				!strcmp(argv[2], "surprise"));

	if (argc != (two ? 5 : 4))
		die("usage: event OUT KIND ARGUMENT..., see event.c");
	out = fopen(argv[1], "we");
	if (!out)
		die("%s: %s", argv[1], strerror(errno));
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (pid)
		return 0;
	setsid();
	fprintf(out, "begin %lld %d\n", (long long)now_ns(), getpid());
	fflush(out);
	error = act(argv + 2);
	fprintf(out, "end %lld %s\n", (long long)now_ns(), errno_name(error));
	fclose(out);
	_exit(0);
}

int command_power(int argc, char **argv)
{
	int error;

	if (argc != 3)
		die("usage: power PORT on|off");
	error = slot_power(argv[1], !strcmp(argv[2], "on"));
	if (error)
		die("%s: %s", argv[1], strerror(error));
	return 0;
}

int command_await(int argc, char **argv)
{
	char text[512];
	int64_t limit;

	if (argc != 3)
		die("usage: await OUT SECONDS");
	limit = now_ns() + (int64_t)(atof(argv[2]) * 1e9);
	while (read_file(argv[1], text, sizeof(text)),
	       !strstr(text, "\nend ") || text[strlen(text) - 1] != '\n') {
		if (now_ns() > limit) {
			fputs(text, stdout);
			return 3;
		}
		sleep_ms(1);
	}
	fputs(text, stdout);
	return 0;
}
