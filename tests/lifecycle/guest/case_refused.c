// SPDX-License-Identifier: GPL-2.0-only
/* What must not be possible, and must say so with the documented errno. */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lifecycle.h"

#define RW	(PROT_READ | PROT_WRITE)
#define SIZE	(16 * PAGE)

static void refused(const char *what, int got, int wanted)
{
	check(got == wanted, "%s: %s (wanted %s)", what, errno_name(got),
	      errno_name(wanted));
}

void case_map_private(const struct place *place)
{
	int fd = memory_open(place);

	refused("MAP_PRIVATE", map_error(fd, SIZE, RW, MAP_PRIVATE, 0),
		EINVAL);
	refused("MAP_PRIVATE, read only",
		map_error(fd, SIZE, PROT_READ, MAP_PRIVATE, 0), EINVAL);
	refused("MAP_SHARED", map_error(fd, SIZE, RW, MAP_SHARED, 0), 0);
	close(fd);
}

void case_map_offset(const struct place *place)
{
	int fd = memory_open(place);

	refused("an offset of one page",
		map_error(fd, SIZE, RW, MAP_SHARED, PAGE), EINVAL);
	refused("an offset of 2^40",
		map_error(fd, SIZE, RW, MAP_SHARED, 1LL << 40), EINVAL);
	close(fd);
}

void case_map_exec(const struct place *place)
{
	int fd = memory_open(place);

	refused("PROT_EXEC", map_error(fd, SIZE, PROT_READ | PROT_EXEC,
				       MAP_SHARED, 0), EPERM);
	refused("PROT_EXEC and PROT_WRITE",
		map_error(fd, SIZE, RW | PROT_EXEC, MAP_SHARED, 0), EPERM);
	close(fd);
}

void case_mprotect_exec(const struct place *place)
{
	int fd = memory_open(place);
	void *memory = memory_map(fd, SIZE);

	paint(memory, SIZE, place->seed);
	refused("mprotect to PROT_EXEC",
		mprotect(memory, SIZE, PROT_READ | PROT_EXEC) ? errno : 0,
		EACCES);
	check(damaged(memory, SIZE, place->seed) < 0, "the content is kept");
	munmap(memory, SIZE);
	close(fd);
}

void case_map_readonly_file(const struct place *place)
{
	int fd = open(place->memory, O_RDONLY | O_CLOEXEC);
	void *memory;

	if (!check(fd >= 0, "opened for reading only"))
		return;
	refused("a writable mapping", map_error(fd, SIZE, RW, MAP_SHARED, 0),
		EACCES);
	memory = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
	if (check(memory != MAP_FAILED, "a mapping to read is allowed")) {
		refused("mprotect to PROT_WRITE",
			mprotect(memory, SIZE, RW) ? errno : 0, EACCES);
		check(store_signal(memory, 1) == SIGSEGV,
		      "a store raises SIGSEGV");
		munmap(memory, SIZE);
	}
	close(fd);
}

void case_file_operations(const struct place *place)
{
	int fd = memory_open(place);
	char bytes[8] = "";

	refused("read", read(fd, bytes, sizeof(bytes)) < 0 ? errno : 0, EINVAL);
	refused("write", write(fd, bytes, sizeof(bytes)) < 0 ? errno : 0,
		EINVAL);
	refused("lseek", lseek(fd, 0, SEEK_END) < 0 ? errno : 0, ESPIPE);
	refused("ftruncate", ftruncate(fd, 0) ? errno : 0, EINVAL);
	refused("fallocate", fallocate(fd, 0, 0, PAGE) ? errno : 0, ENODEV);
	close(fd);
}

/*
 * Who pins pages for long would block an unbind for ever: the kernel must not
 * let anybody do that with this memory.
 */
static int register_buffer(void *memory, size_t length)
{
	struct io_uring_params params = { 0 };
	struct iovec vector = { .iov_base = memory, .iov_len = length };
	int ring = (int)syscall(SYS_io_uring_setup, 4, &params);
	int error;

	if (ring < 0)
		die("io_uring_setup: %s", strerror(errno));
	error = syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS,
			&vector, 1) ? errno : 0;
	close(ring);
	return error;
}

static int splice_pages(void *memory, size_t length)
{
	struct iovec vector = { .iov_base = memory, .iov_len = length };
	int pipes[2], error;

	if (pipe(pipes))
		die("pipe: %s", strerror(errno));
	error = vmsplice(pipes[1], &vector, 1, SPLICE_F_NONBLOCK) < 0 ? errno :
									0;
	close(pipes[0]);
	close(pipes[1]);
	return error;
}

static int read_by_proc(void *memory, size_t length)
{
	int self = open("/proc/self/mem", O_RDWR | O_CLOEXEC), error;
	uint64_t word;

	(void)length;
	if (self < 0)
		die("/proc/self/mem: %s", strerror(errno));
	error = pread(self, &word, sizeof(word), (off_t)(uintptr_t)memory) < 0 ?
		errno : 0;
	close(self);
	return error;
}

static const struct {
	const char *what;
	int (*pin)(void *memory, size_t length);
} pins[] = {
	{ "io_uring registers it as a buffer", register_buffer },
	{ "vmsplice puts its pages into a pipe", splice_pages },
	{ "/proc/self/mem reads it", read_by_proc },
};

void case_pin_refused(const struct place *place)
{
	int fd = memory_open(place), error;
	void *memory = memory_map(fd, SIZE);
	void *ordinary = mmap(NULL, SIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			      0);
	size_t i;

	if (ordinary == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	paint(memory, SIZE, place->seed);
	paint(ordinary, SIZE, place->seed);
	for (i = 0; i < LENGTH(pins); i++) {
		/* Else it would be refused whatever the memory is. */
		error = pins[i].pin(ordinary, SIZE);
		check(!error, "ordinary memory: %s: %s", pins[i].what,
		      errno_name(error));
		error = pins[i].pin(memory, SIZE);
		check(error, "must not be: %s: %s", pins[i].what,
		      errno_name(error));
	}
	check(damaged(memory, SIZE, place->seed) < 0, "the content is kept");
	munmap(ordinary, SIZE);
	munmap(memory, SIZE);
	close(fd);
}
