// SPDX-License-Identifier: GPL-2.0-only
/*
 * Preloaded below p2pmem-test: logs what it asks of the kernel, and plays the
 * kernel that fails.
 *
 * P2PMEM_SHIM_LOG	file; gets a line "CALL FILE OFFSET LENGTH MEMORY" per
 *			pread and pwrite, MEMORY being p2pmem or host
 * P2PMEM_SHIM		rules "CALL,FILE,NTH,ACTION,VALUE", separated by ';'.
 *			FILE is a base name or *, NTH counts from 1, 0 is each
 *
 * CALL		ACTION and VALUE
 * any		errno N: fail with errno N
 * pread, pwrite	short N: transfer the whole sectors in N, return N
 *			flip N: invert the byte at offset N of the file
 *			lose 0: succeed without a transfer
 *			delay N: wait for N milliseconds before
 * mmap		truncate N: succeed, then cut the file to N bytes
 *		fold N: let each N bytes be the same memory
 * statx	align N: O_DIRECT needs offsets that are multiples of N
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512

struct rule {
	char call[16], file[64], action[16];
	long nth, value;
	atomic_long seen;
};

static struct rule rules[8];
static size_t rule_count;
static int log_fd = -1;
static char *mapping;
static size_t mapping_length;

static void *next(const char *symbol)
{
	return dlsym(RTLD_NEXT, symbol);
}

__attribute__((constructor)) static void setup(void)
{
	const char *text = getenv("P2PMEM_SHIM");
	const char *log = getenv("P2PMEM_SHIM_LOG");

	while (text && *text) {
		struct rule *rule = &rules[rule_count++];

		if (sscanf(text, "%15[^,],%63[^,],%ld,%15[^,],%ld", rule->call,
			   rule->file, &rule->nth, rule->action,
			   &rule->value) != 5)
			abort();
		text = strchr(text, ';');
		text = text ? text + 1 : NULL;
	}
	if (log)
		log_fd = creat(log, 0600);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static const char *name_of(int fd, char *path)
{
	char link[64];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, PATH_MAX - 1);
	path[length < 0 ? 0 : length] = '\0';
	return base_name(path);
}

/* The rule that applies to this very call. */
static const struct rule *match(const char *call, const char *file)
{
	for (size_t i = 0; i < rule_count; i++) {
		struct rule *rule = &rules[i];

		if (strcmp(rule->call, call) ||
		    (strcmp(rule->file, "*") && strcmp(rule->file, file)))
			continue;
		if (++rule->seen == rule->nth || !rule->nth)
			return rule;
	}
	return NULL;
}

static bool is(const struct rule *rule, const char *action)
{
	return rule && !strcmp(rule->action, action);
}

static bool fails(const struct rule *rule)
{
	if (is(rule, "errno"))
		errno = (int)rule->value;
	return is(rule, "errno");
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
	bool peer = mapping && (char *)buf >= mapping &&
		    (char *)buf + length <= mapping + mapping_length;

	if (log_fd >= 0)
		dprintf(log_fd, "%s %s %lld %zu %s\n", call, name,
			(long long)offset, length, peer ? "p2pmem" : "host");
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

/* Only O_DIRECT is ever refused: the point is the fall-back without. */
int open64(const char *path, int flags, ...)
{
	int (*real)(const char *path, int flags, ...) = next("open");

	if (flags & O_DIRECT && fails(match("open", base_name(path))))
		return -1;
	return real(path, flags);
}

int statx(int fd, const char *restrict path, int flags, unsigned int mask,
	  struct statx *restrict stx)
{
	int (*real)(int fd, const char *path, int flags, unsigned int mask,
		    struct statx *stx) = next("statx");
	char link[PATH_MAX];
	const struct rule *rule = match("statx", name_of(fd, link));
	int ret = real(fd, path, flags, mask, stx);

	if (is(rule, "align")) {
		stx->stx_mask |= STATX_DIOALIGN;
		stx->stx_dio_offset_align = (__u32)rule->value;
	}
	return ret;
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
