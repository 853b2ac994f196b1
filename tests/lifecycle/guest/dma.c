// SPDX-License-Identifier: GPL-2.0-only
/* Transfers between a drive and the memory, perhaps in flight for a while. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lifecycle.h"

#define START_MS	5000	/* for a transfer to be seen in flight */

int drive_open(const char *drive)
{
	int fd = open(drive, O_RDWR | O_DIRECT | O_CLOEXEC);

	if (fd < 0)
		die("open %s: %s", drive, strerror(errno));
	return fd;
}

/* Returns bytes, or a negative errno. */
ssize_t drive_read(const char *drive, void *address, size_t length,
		   off_t offset)
{
	int fd = drive_open(drive);
	ssize_t got = pread(fd, address, length, offset);

	if (got < 0)
		got = -errno;
	close(fd);
	return got;
}

static void *transfer_body(void *data)
{
	struct transfer *transfer = data;

	transfer->result = drive_read(transfer->drive, transfer->address,
				      transfer->length, transfer->offset);
	__atomic_store_n(&transfer->ended, now_ns(), __ATOMIC_RELEASE);
	return NULL;
}

/* Requests that the drive has not answered yet. */
unsigned int in_flight(const char *drive)
{
	char path[128], text[64];
	unsigned int reads = 0, writes = 0;

	snprintf(path, sizeof(path), "/sys/class/block/%s/inflight",
		 strrchr(drive, '/') + 1);
	read_file(path, text, sizeof(text));
	sscanf(text, "%u %u", &reads, &writes);
	return reads + writes;
}

/* Returns when the drive has the request: the pages are pinned from then on. */
void transfer_start(struct transfer *transfer)
{
	int64_t limit = now_ns() + START_MS * 1000000LL;
	int error;

	transfer->begun = now_ns();
	transfer->ended = 0;
	error = pthread_create(&transfer->thread, NULL, transfer_body,
			       transfer);
	if (error)
		die("pthread_create: %s", strerror(error));
	while (!in_flight(transfer->drive)) {
		if (__atomic_load_n(&transfer->ended, __ATOMIC_ACQUIRE))
			die("the transfer was over before it was seen: %zd",
			    transfer->result);
		if (now_ns() > limit)
			die("the transfer did not start");
		sleep_ms(1);
	}
}

void transfer_join(struct transfer *transfer)
{
	pthread_join(transfer->thread, NULL);
}

/* Returns the number of the first page without the drive's pattern, or -1. */
long pattern_damaged(const void *address, size_t length, off_t offset)
{
	const volatile uint64_t *word = address;
	size_t i;

	for (i = 0; i < length / sizeof(*word); i += 7)
		if (word[i] != (((uint64_t)offset + i * sizeof(*word)) ^
				PATTERN_KEY))
			return (long)(i * sizeof(*word) / PAGE);
	return -1;
}
