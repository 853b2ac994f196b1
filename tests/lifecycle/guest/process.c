// SPDX-License-Identifier: GPL-2.0-only
/* Time, children, and small files of sysfs and proc. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lifecycle.h"

int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

void sleep_ms(unsigned int milliseconds)
{
	struct timespec span = {
		.tv_sec = milliseconds / 1000,
		.tv_nsec = milliseconds % 1000 * 1000000L,
	};

	nanosleep(&span, NULL);
}

/* A child that runs @body; it ends with 1 if a check in it failed. */
pid_t spawn(void (*body)(void *), void *data)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (pid == 0) {
		checks_of_child();
		body(data);
		_exit(checks_failed() ? 1 : 0);
	}
	return pid;
}

/* Returns the exit status, or 128 and the signal that killed it. */
int reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("waitpid: %s", strerror(errno));
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) :
				     WEXITSTATUS(status);
}

/*
 * Whether a process that is no child has ended. Nobody may have reaped it yet,
 * and its first thread ends before one that waits for a transfer does.
 */
bool process_gone(pid_t pid)
{
	char path[64], text[256];
	const char *name_end;
	struct stat status;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	if (stat(path, &status))
		return true;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	read_file(path, text, sizeof(text));
	name_end = strrchr(text, ')');
	/* Links of the directory: two, and one for each thread. */
	return !name_end || (name_end[2] == 'Z' && status.st_nlink <= 3);
}

/* Returns 0 or an errno. */
int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int error = 0;

	if (fd < 0)
		return errno;
	if (write(fd, text, strlen(text)) < 0)
		error = errno;
	close(fd);
	return error;
}

/* Returns how much was read, 0 on failure; @text is always terminated. */
size_t read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = -1;

	if (fd >= 0) {
		got = read(fd, text, size - 1);
		close(fd);
	}
	if (got < 0)
		got = 0;
	text[got] = '\0';
	return (size_t)got;
}
