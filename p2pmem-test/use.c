// SPDX-License-Identifier: GPL-2.0-only
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "block.h"
#include "use.h"

#define MOST_DEVICES 512

static const char * const names[USE_REASONS] = {
	[USE_ROOT] = "root",
	[USE_MOUNTED] = "mounted",
	[USE_SWAP] = "swap",
	[USE_HELD] = "held",
	[USE_BUSY] = "busy",
};

/* The device, and all that lies on the same bytes. */
struct stack {
	struct use *use;
	const struct stat *st;	/* of the drive */
	size_t count;
	dev_t devices[MOST_DEVICES];
};

static void note(struct use *use, enum use_reason reason, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* One example is enough for each reason. */
static void note(struct use *use, enum use_reason reason, const char *fmt, ...)
{
	va_list args;

	if (use->reasons & 1u << reason)
		return;
	use->reasons |= 1u << reason;
	va_start(args, fmt);
	vsnprintf(use->what[reason], USE_TEXT, fmt, args);
	va_end(args);
}

static bool in_stack(const struct stack *stack, dev_t dev)
{
	for (size_t i = 0; i < stack->count; i++) {
		if (stack->devices[i] == dev)
			return true;
	}
	return false;
}

static bool push(struct stack *stack, dev_t dev)
{
	if (in_stack(stack, dev) || stack->count == MOST_DEVICES)
		return false;
	stack->devices[stack->count++] = dev;
	return true;
}

static void add_holder(void *context, dev_t holder)
{
	struct stack *stack = context;
	char name[BLOCK_NAME];

	if (!push(stack, holder))
		return;
	block_name(holder, name);
	note(stack->use, USE_HELD, "%s is made of it", name);
}

static void add_partition(void *context, dev_t partition)
{
	push(context, partition);
}

/* What is found is looked at as well: a disk, its md, the md's partitions. */
static void fill(struct stack *stack, dev_t dev)
{
	dev_t disk = block_whole(dev);

	push(stack, dev);
	for (size_t i = 0; i < stack->count; i++) {
		block_each_partition(stack->devices[i], add_partition, stack);
		block_each_holder(stack->devices[i], add_holder, stack);
	}
	/* But not the disk's other partitions. */
	if (push(stack, disk))
		block_each_holder(disk, add_holder, stack);
}

/*
 * Blanks and backslashes of a path stand there as \ooo (fs/seq_file.c). What was
 * read may have been cut off in the middle of one: only a whole one is one.
 */
static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; to++) {
		unsigned int code;

		if (*from == '\\' && strspn(from + 1, "01234567") >= 3 &&
		    sscanf(from + 1, "%3o", &code) == 1) {
			*to = (char)code;
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

static bool is_boot_place(const char *point)
{
	return !strcmp(point, "/") || !strcmp(point, "/usr") ||
	       !strcmp(point, "/boot") || !strncmp(point, "/boot/", 6) ||
	       !strcmp(point, "/efi");
}

/* The number of the device that a path names, 0 if it names none. */
static dev_t number_of(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISBLK(st.st_mode) ? st.st_rdev : 0;
}

/*
 * ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAG...] - TYPE SOURCE OPTIONS
 * (proc_pid_mountinfo(5)). A file system of several devices, as btrfs, has a
 * number that is none of theirs; then the source tells at least one.
 */
static void look_at_mount(struct stack *stack, char *line)
{
	const char *rest = strstr(line, " - ");
	unsigned int dev_major, dev_minor;
	char point[512], source[512], name[BLOCK_NAME];
	dev_t dev;

	if (!rest || sscanf(rest, " - %*s %511s", source) != 1 ||
	    sscanf(line, "%*s %*s %u:%u %*s %511s", &dev_major, &dev_minor,
		   point) != 3)
		return;
	unescape(point);
	unescape(source);
	dev = makedev(dev_major, dev_minor);
	if (!in_stack(stack, dev))
		dev = number_of(source);
	if (!dev || !in_stack(stack, dev))
		return;
	block_name(dev, name);
	note(stack->use, is_boot_place(point) ? USE_ROOT : USE_MOUNTED,
	     "%s is mounted on %.80s", name, point);
}

static bool is_swap(const struct stack *stack, const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return false;
	if (S_ISBLK(st.st_mode))
		return in_stack(stack, st.st_rdev);
	return st.st_dev == stack->st->st_dev && st.st_ino == stack->st->st_ino;
}

/* PATH TYPE SIZE USED PRIORITY, below a line of titles. */
static void look_at_swap(struct stack *stack, char *line)
{
	char *end = strpbrk(line, " \t");

	if (end)
		*end = '\0';
	unescape(line);
	if (is_swap(stack, line))
		note(stack->use, USE_SWAP, "%.80s is swap space", line);
}

/* Without /proc there is still O_EXCL, which asks the kernel itself. */
static void each_line(const char *path, struct stack *stack,
		      void (*look)(struct stack *stack, char *line))
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;

	if (!file)
		return;
	while (getline(&line, &size, file) > 0)
		look(stack, line);
	free(line);
	fclose(file);
}

void use_find(struct use *use, const struct stat *st)
{
	struct stack stack = { .use = use, .st = st };

	*use = (struct use){ .reasons = 0 };
	if (S_ISBLK(st->st_mode)) {
		fill(&stack, st->st_rdev);
		each_line("/proc/self/mountinfo", &stack, look_at_mount);
	}
	each_line("/proc/swaps", &stack, look_at_swap);
}

void use_busy(struct use *use)
{
	note(use, USE_BUSY,
	     "another program, or the kernel, has it for itself (O_EXCL)");
}

const char *use_parse(const char *text, unsigned int *reasons)
{
	for (;;) {
		size_t length = strcspn(text, ",");
		unsigned int i = 0;

		while (i < USE_REASONS && (strlen(names[i]) != length ||
					   strncmp(names[i], text, length)))
			i++;
		if (i == USE_REASONS)
			return "not a list of root, mounted, swap, held, busy";
		*reasons |= 1u << i;
		if (!text[length])
			return NULL;
		text += length + 1;
	}
}

int use_check(const struct use *use, unsigned int forced, const char *path,
	      struct outcome *out)
{
	unsigned int missing = use->reasons & ~forced;
	char reasons[USE_REASONS * (USE_TEXT + 2)] = "", list[64] = "";

	if (!missing)
		return 0;
	for (unsigned int i = 0; i < USE_REASONS; i++) {
		const char *comma = *list ? "," : "", *semicolon = *list ? "; " : "";

		if (!(missing & 1u << i))
			continue;
		strcat(strcat(reasons, semicolon), use->what[i]);
		strcat(strcat(list, comma), names[i]);
	}
	return fail(out, STATUS_IN_USE,
		    "%s is in use, nothing was written: %s (--force=%s overwrites it all the same)",
		    path, reasons, list);
}
