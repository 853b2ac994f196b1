// SPDX-License-Identifier: GPL-2.0-only
/* Opening, mapping, reading, writing, syncing; and the threads that do it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shim.h"

static char *mapping;
static size_t mapping_length;

bool is_peer(const char *buf, size_t length)
{
	return mapping && buf >= mapping &&
	       buf + length <= mapping + mapping_length;
}

typedef ssize_t io_function(int fd, void *buf, size_t length, off_t offset);

static ssize_t flipped(io_function *real, bool write, int fd, char *buf,
		       size_t length, off_t offset, long place)
{
	char *copy = aligned_alloc(4096, (length + 4095) / 4096 * 4096);
	ssize_t count;

	memcpy(copy, buf, length);
	if (write && place >= offset && place < offset + (off_t)length)
		copy[place - offset] ^= (char)0xff;
	count = real(fd, copy, length, offset);
	if (!write) {
		memcpy(buf, copy, length);
		if (place >= offset && place < offset + count)
			buf[place - offset] ^= (char)0xff;
	}
	free(copy);
	return count;
}

static ssize_t shortened(io_function *real, int fd, void *buf, size_t length,
			 off_t offset, size_t most)
{
	size_t whole = most / SECTOR * SECTOR;

	if (most >= length)
		return real(fd, buf, length, offset);
	if (whole && real(fd, buf, whole, offset) != (ssize_t)whole)
		abort();
	return (ssize_t)most;
}

static ssize_t io(const char *call, int fd, void *buf, size_t length,
		  off_t offset)
{
	io_function *real = (io_function *)next(call);
	char path[PATH_MAX];
	const char *name = name_of(fd, path);
	const struct rule *rule = match(call, name);

	note(call, name, (long long)offset, length, buf);
	if (fails(rule))
		return -1;
	if (is(rule, "delay"))
		usleep((useconds_t)rule->value * 1000);
	if (is(rule, "lose"))
		return (ssize_t)length;
	if (is(rule, "short"))
		return shortened(real, fd, buf, length, offset,
				 (size_t)rule->value);
	if (is(rule, "flip"))
		return flipped(real, *call == 'p' && call[1] == 'w', fd, buf,
			       length, offset, rule->value);
	return real(fd, buf, length, offset);
}

ssize_t pread64(int fd, void *buf, size_t length, off_t offset)
{
	return io("pread", fd, buf, length, offset);
}

ssize_t pwrite64(int fd, const void *buf, size_t length, off_t offset)
{
	return io("pwrite", fd, (void *)buf, length, offset);
}

void *mmap64(void *addr, size_t length, int prot, int flags, int fd,
	     off_t offset)
{
	void *(*real)(void *addr, size_t length, int prot, int flags, int fd,
		      off_t offset) = next("mmap");
	char path[PATH_MAX];
	const struct rule *rule;
	void *base;

	if (!(flags & MAP_SHARED))
		return real(addr, length, prot, flags, fd, offset);
	if (strstr(name_of(fd, path), "[io_uring]")) {
		base = real(addr, length, prot, flags, fd, offset);
		ring_mapped(offset, base);
		return base;
	}
	rule = match("mmap", name_of(fd, path));
	if (fails(rule))
		return MAP_FAILED;
	base = real(addr, length, prot, flags, fd, offset);
	mapping = base;
	mapping_length = length;
	if (is(rule, "truncate") && ftruncate(fd, rule->value))
		abort();
	for (size_t at = 0; is(rule, "fold") && at < length;
	     at += (size_t)rule->value)
		real((char *)base + at, (size_t)rule->value, prot,
		     flags | MAP_FIXED, fd, 0);
	return base;
}

/* Only O_DIRECT and O_EXCL are ever refused: the point is what comes then. */
int open64(const char *path, int flags, ...)
{
	int (*real)(const char *path, int flags, ...) = next("open");

	if (flags & O_EXCL && fails(match("excl", base_name(path))))
		return -1;
	if (flags & O_DIRECT && fails(match("open", base_name(path))))
		return -1;
	return real(path, flags);
}

int fdatasync(int fd)
{
	int (*real)(int fd) = next("fdatasync");
	char path[PATH_MAX];

	return fails(match("fdatasync", name_of(fd, path))) ? -1 : real(fd);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr,
		   void *(*start)(void *), void *arg)
{
	int (*real)(pthread_t *thread, const pthread_attr_t *attr,
		    void *(*start)(void *arg), void *arg) =
		next("pthread_create");

	return fails(match("pthread_create", "")) ? errno :
	       real(thread, attr, start, arg);
}
