// SPDX-License-Identifier: GPL-2.0-only
/* File descriptors: copied, passed on, closed before the mapping. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lifecycle.h"

#define SIZE	(16 * PAGE)
#define OTHER	0x6f74686572000000ULL

void case_dup(const struct place *place)
{
	size_t before = available(place);
	int fd = memory_open(place), copy = dup(fd);
	void *first = memory_map(fd, SIZE), *second;

	paint(first, SIZE, place->seed);
	close(fd);
	second = memory_map(copy, SIZE);
	paint(second, SIZE, OTHER);
	close(copy);
	check(damaged(first, SIZE, place->seed) < 0,
	      "the first mapping outlives its file");
	check(damaged(second, SIZE, OTHER) < 0,
	      "the second, by the copy, is a buffer of its own");
	check(available(place) == before - 2 * SIZE, "both are taken");
	munmap(first, SIZE);
	check(available(place) == before - SIZE, "the first came back");
	munmap(second, SIZE);
}

struct message {
	struct msghdr head;
	struct iovec vector;
	char byte;
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
};

static void message_init(struct message *message)
{
	memset(message, 0, sizeof(*message));
	message->vector.iov_base = &message->byte;
	message->vector.iov_len = 1;
	message->head.msg_iov = &message->vector;
	message->head.msg_iovlen = 1;
	message->head.msg_control = message->control.space;
	message->head.msg_controllen = sizeof(message->control.space);
}

static void send_fd(int socket, int fd)
{
	struct message message;
	struct cmsghdr *control;

	message_init(&message);
	control = CMSG_FIRSTHDR(&message.head);
	control->cmsg_level = SOL_SOCKET;
	control->cmsg_type = SCM_RIGHTS;
	control->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(control), &fd, sizeof(fd));
	if (sendmsg(socket, &message.head, 0) != 1)
		die("sendmsg: %s", strerror(errno));
}

static int receive_fd(int socket)
{
	struct message message;
	struct cmsghdr *control;
	int fd = -1;

	message_init(&message);
	if (recvmsg(socket, &message.head, MSG_CMSG_CLOEXEC) != 1)
		die("recvmsg: %s", strerror(errno));
	control = CMSG_FIRSTHDR(&message.head);
	if (control)
		memcpy(&fd, CMSG_DATA(control), sizeof(fd));
	return fd;
}

struct receiver {
	const struct place *place;
	int sockets[2];		/* -1: this kernel has none */
	int sender_fd;
	size_t before;
};

/* Kernels without CONFIG_UNIX: take it out of the sender, as a debugger does. */
static int fetch_fd(int number)
{
	int sender = (int)syscall(SYS_pidfd_open, getppid(), 0);
	int fd = (int)syscall(SYS_pidfd_getfd, sender, number, 0);

	if (fd < 0)
		die("pidfd_getfd: %s", strerror(errno));
	close(sender);
	return fd;
}

static void receive(void *data)
{
	struct receiver *receiver = data;
	int fd = receiver->sockets[1] < 0 ? fetch_fd(receiver->sender_fd) :
					    receive_fd(receiver->sockets[1]);
	void *memory;

	if (!check(fd >= 0, "the file arrives"))
		return;
	memory = memory_map(fd, SIZE);
	paint(memory, SIZE, OTHER);
	check(damaged(memory, SIZE, OTHER) < 0, "the receiver may map it");
	check(available(receiver->place) == receiver->before - 2 * SIZE,
	      "and gets a buffer of its own");
}

static void connect_pair(struct receiver *receiver)
{
	if (!socketpair(AF_UNIX, SOCK_STREAM, 0, receiver->sockets))
		return;
	if (errno != ENOSYS && errno != EAFNOSUPPORT)
		die("socketpair: %s", strerror(errno));
	note("no unix sockets in this kernel; passed by pidfd_getfd() instead");
	receiver->sockets[0] = -1;
	receiver->sockets[1] = -1;
}

void case_pass_fd(const struct place *place)
{
	struct receiver receiver = {
		.place = place,
		.before = available(place),
		.sender_fd = memory_open(place),
	};
	void *memory = memory_map(receiver.sender_fd, SIZE);
	pid_t pid;

	paint(memory, SIZE, place->seed);
	connect_pair(&receiver);
	pid = spawn(receive, &receiver);
	if (receiver.sockets[0] >= 0) {
		/* In flight in the socket, it is the only one left. */
		send_fd(receiver.sockets[0], receiver.sender_fd);
		close(receiver.sender_fd);
	}
	check(reap(pid) == 0, "the receiver's checks passed");
	check(damaged(memory, SIZE, place->seed) < 0,
	      "the sender's buffer is untouched");
	check(available(place) == receiver.before - SIZE,
	      "the receiver's buffer came back");
	munmap(memory, SIZE);
}
