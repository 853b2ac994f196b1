// SPDX-License-Identifier: GPL-2.0-only
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
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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
/* Each thread makes the ring that it uses. */
static _Thread_local struct io_uring_params ring_params;
static _Thread_local char *ring;
static _Thread_local struct io_uring_sqe *ring_entries;

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
	if (is(rule, "signal"))
		raise((int)rule->value);
	return is(rule, "errno");
}

static bool is_peer(const char *buf, size_t length)
{
	return mapping && buf >= mapping &&
	       buf + length <= mapping + mapping_length;
}

static void note(const char *call, const char *name, long long offset,
		 size_t length, const char *buf)
{
	if (log_fd >= 0)
		dprintf(log_fd, "%s %s %lld %zu %s\n", call, name, offset,
			length, is_peer(buf, length) ? "p2pmem" : "host");
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
		if (offset == IORING_OFF_SQ_RING)
			ring = base;
		else
			ring_entries = base;
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

static const char *moved(const char *path, char *other)
{
	static const char * const prefixes[] = {
		"/proc/self/mountinfo", "/proc/swaps", "/sys/dev/block",
	};
	const char *root = getenv("P2PMEM_SHIM_ROOT");

	for (size_t i = 0; root && i < sizeof(prefixes) / sizeof(*prefixes); i++) {
		if (strncmp(path, prefixes[i], strlen(prefixes[i])))
			continue;
		snprintf(other, PATH_MAX, "%s%s", root, path);
		return other;
	}
	return path;
}

FILE *fopen64(const char *path, const char *mode)
{
	FILE *(*real)(const char *path, const char *mode) = next("fopen");
	char other[PATH_MAX];

	return real(moved(path, other), mode);
}

DIR *opendir(const char *path)
{
	DIR *(*real)(const char *path) = next("opendir");
	char other[PATH_MAX];

	return real(moved(path, other));
}

ssize_t readlink(const char *path, char *target, size_t size)
{
	ssize_t (*real)(const char *path, char *target, size_t size) =
		next("readlink");
	char other[PATH_MAX];

	return real(moved(path, other), target, size);
}

int stat64(const char *path, struct stat64 *st)
{
	int (*real)(const char *path, struct stat64 *st) = next("stat64");
	const struct rule *rule = match("stat", base_name(path));
	int ret = real(path, st);

	if (!ret && is(rule, "block")) {
		st->st_mode = S_IFBLK | 0600;
		st->st_rdev = (dev_t)rule->value;
	}
	return ret;
}

/* As stat64() would of the same name; counts as a call of it. */
int fstat64(int fd, struct stat64 *st)
{
	int (*real)(int fd, struct stat64 *st) = next("fstat64");
	char path[PATH_MAX];
	const struct rule *rule = match("stat", name_of(fd, path));
	int ret = real(fd, st);

	if (!ret && is(rule, "block")) {
		st->st_mode = S_IFBLK | 0600;
		st->st_rdev = (dev_t)rule->value;
	}
	return ret;
}

int ioctl(int fd, unsigned long request, ...)
{
	int (*size_of)(int fd, struct stat *st) = next("fstat64");
	char path[PATH_MAX];
	const struct rule *rule = match("ioctl", name_of(fd, path));
	struct stat st;
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (!is(rule, "block") || size_of(fd, &st))
		return ((int (*)(int, unsigned long, ...))next("ioctl"))(
			fd, request, arg);
	if (request == BLKGETSIZE64)
		*(uint64_t *)arg = (uint64_t)st.st_size;
	else
		*(int *)arg = SECTOR;
	return 0;
}

static unsigned int *ring_word(unsigned int offset)
{
	return (unsigned int *)(ring + offset);
}

static void note_entries(unsigned int count)
{
	unsigned int head = *ring_word(ring_params.sq_off.head);
	char path[PATH_MAX];

	for (unsigned int i = head; i != head + count; i++) {
		const struct io_uring_sqe *sqe =
			&ring_entries[i & (ring_params.sq_entries - 1)];

		note(sqe->opcode == IORING_OP_READ ? "read" : "write",
		     name_of(sqe->fd, path), (long long)sqe->off, sqe->len,
		     (const char *)(uintptr_t)sqe->addr);
	}
}

/* Only what comes while the tool waits is seen; it never takes anything else. */
static void change_completions(unsigned int from)
{
	unsigned int tail = *ring_word(ring_params.cq_off.tail);
	struct io_uring_cqe *cqes =
		(struct io_uring_cqe *)(ring + ring_params.cq_off.cqes);

	for (; from != tail; from++) {
		struct io_uring_cqe *cqe =
			&cqes[from & (ring_params.cq_entries - 1)];
		const struct rule *rule = match("cqe", "*");

		if (is(rule, "errno"))
			cqe->res = -(int)rule->value;
		if (is(rule, "short") && cqe->res > rule->value)
			cqe->res = (int)rule->value;
	}
}

long syscall(long number, ...)
{
	long (*real)(long number, ...) = next("syscall");
	long word[6], ret;
	va_list args;

	va_start(args, number);
	for (size_t i = 0; i < 6; i++)
		word[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_io_uring_enter) {
		unsigned int seen = *ring_word(ring_params.cq_off.head);

		if (fails(match("io_uring_enter", "*")))
			return -1;
		note_entries((unsigned int)word[1]);
		ret = real(number, word[0], word[1], word[2], word[3], word[4],
			   word[5]);
		change_completions(seen);
		return ret;
	}
	if (number == SYS_io_uring_setup && fails(match("io_uring_setup", "*")))
		return -1;
	ret = real(number, word[0], word[1], word[2], word[3], word[4], word[5]);
	if (number == SYS_io_uring_setup)
		ring_params = *(struct io_uring_params *)word[1];
	return ret;
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
