// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is there right now:
 *
 *	node p2pmemN PCI-ADDRESS AVAILABLE-BYTES
 *	drive SERIAL PCI-ADDRESS NAME
 *
 * "settle SECONDS LINE..." waits until all these lines are among it, and then
 * prints it; it prints what there is when that does not come true in time. A
 * line may be the beginning of one: a drive can come back with another name.
 */
#include <dirent.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lifecycle.h"

#define NODES	"/sys/class/p2pmem_device"
#define DRIVES	"/sys/class/nvme"
#define POLL_MS	20

static void read_word(const char *path, char *word, size_t size)
{
	read_file(path, word, size);
	word[strcspn(word, " \n")] = '\0';
}

static void show_node(FILE *out, const char *name)
{
	char path[PATH_MAX], real[PATH_MAX], text[64];

	snprintf(path, sizeof(path), NODES "/%s/device", name);
	if (!realpath(path, real))
		return;
	snprintf(path, sizeof(path), NODES "/%s/device/p2pmem/available", name);
	read_word(path, text, sizeof(text));
	snprintf(path, sizeof(path), "/dev/%s", name);
	if (!access(path, F_OK))
		fprintf(out, "node %s %s %s\n", name, basename(real), text);
}

/* A namespace is a directory of the controller's, nvmeXnY. */
static void show_drive(FILE *out, const char *name)
{
	char path[PATH_MAX], serial[64], address[64];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), DRIVES "/%s/serial", name);
	read_word(path, serial, sizeof(serial));
	snprintf(path, sizeof(path), DRIVES "/%s/address", name);
	read_word(path, address, sizeof(address));
	snprintf(path, sizeof(path), DRIVES "/%s", name);
	dir = opendir(path);
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		if (strncmp(entry->d_name, "nvme", 4))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
		if (!access(path, F_OK))
			fprintf(out, "drive %s %s %s\n", serial, address,
				entry->d_name);
	}
	closedir(dir);
}

static void each(FILE *out, const char *folder,
		 void (*show)(FILE *, const char *))
{
	struct dirent *entry;
	DIR *dir = opendir(folder);

	if (!dir)
		return;		/* the module is not loaded */
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			show(out, entry->d_name);
	closedir(dir);
}

static void show_all(FILE *out)
{
	each(out, NODES, show_node);
	each(out, DRIVES, show_drive);
}

int command_state(int argc, char **argv)
{
	(void)argv;
	if (argc != 1)
		die("usage: state");
	show_all(stdout);
	return 0;
}

static bool has_line(const char *text, const char *line)
{
	const char *at = text;

	while ((at = strstr(at, line))) {
		if (at == text || at[-1] == '\n')
			return true;
		at++;
	}
	return false;
}

static bool has_all(const char *text, char **lines)
{
	while (*lines)
		if (!has_line(text, *lines++))
			return false;
	return true;
}

int command_settle(int argc, char **argv)
{
	int64_t limit;
	char *text = NULL;
	size_t size;
	FILE *out;

	if (argc < 3)
		die("usage: settle SECONDS LINE...");
	limit = now_ns() + (int64_t)(atof(argv[1]) * 1e9);
	do {
		if (text)
			sleep_ms(POLL_MS);
		free(text);
		out = open_memstream(&text, &size);
		if (!out)
			die("no memory");
		show_all(out);
		fclose(out);
	} while (!has_all(text, argv + 2) && now_ns() < limit);
	fputs(text, stdout);
	free(text);
	return 0;
}
