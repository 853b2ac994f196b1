// SPDX-License-Identifier: GPL-2.0-only
#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "block.h"

static void sysfs_path(char *path, size_t size, dev_t dev, const char *below)
{
	snprintf(path, size, "/sys/dev/block/%u:%u/%s", major(dev), minor(dev),
		 below);
}

void block_text(dev_t dev, const char *attribute, char *text, size_t size)
{
	char path[PATH_MAX], line[256] = "";
	size_t length;
	char *begin;
	FILE *file;

	*text = '\0';
	sysfs_path(path, sizeof(path), dev, attribute);
	file = fopen(path, "re");
	if (!file)
		return;
	if (fgets(line, sizeof(line), file)) {
		begin = line + strspn(line, " \t");
		length = strlen(begin);
		while (length && isspace((unsigned char)begin[length - 1]))
			begin[--length] = '\0';
		snprintf(text, size, "%s", begin);
	}
	fclose(file);
}

uint64_t block_number(dev_t dev, const char *attribute)
{
	unsigned long long value;
	char text[32];

	block_text(dev, attribute, text, sizeof(text));
	return sscanf(text, "%llu", &value) == 1 ? value : 0;
}

/* The device whose number is in an attribute; @otherwise if none is. */
static dev_t block_device(dev_t dev, const char *attribute, dev_t otherwise)
{
	unsigned int dev_major, dev_minor;
	char text[32];

	block_text(dev, attribute, text, sizeof(text));
	if (sscanf(text, "%u:%u", &dev_major, &dev_minor) != 2)
		return otherwise;
	return makedev(dev_major, dev_minor);
}

dev_t block_whole(dev_t dev)
{
	if (!block_number(dev, "partition"))
		return dev;
	return block_device(dev, "../dev", dev);
}

/* The kernel's own, as "sda1"; "" if sysfs does not tell. */
#define KERNEL_NAME 65
static void kernel_name(dev_t dev, char *name)
{
	char path[PATH_MAX], target[PATH_MAX];
	ssize_t length;
	char *slash;

	sysfs_path(path, sizeof(path), dev, "");
	path[strlen(path) - 1] = '\0';
	length = readlink(path, target, sizeof(target) - 1);
	target[length < 0 ? 0 : length] = '\0';
	slash = strrchr(target, '/');
	snprintf(name, KERNEL_NAME, "%s", slash ? slash + 1 : "");
}

void block_name(dev_t dev, char *name)
{
	char kernel[KERNEL_NAME];

	kernel_name(dev, kernel);
	if (*kernel)
		snprintf(name, BLOCK_NAME, "/dev/%s", kernel);
	else
		snprintf(name, BLOCK_NAME, "block device %u:%u", major(dev),
			 minor(dev));
}

/* Those in @folder of a device whose name begins with @prefix. */
static void each(dev_t dev, const char *folder, const char *prefix,
		 void (*found)(void *context, dev_t below), void *context)
{
	char path[PATH_MAX], attribute[PATH_MAX];
	const struct dirent *entry;
	dev_t below;
	DIR *dir;

	sysfs_path(path, sizeof(path), dev, folder);
	dir = opendir(path);
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		if (*entry->d_name == '.' || entry->d_type == DT_REG ||
		    strncmp(entry->d_name, prefix, strlen(prefix)))
			continue;
		snprintf(attribute, sizeof(attribute), "%s/%s/dev", folder,
			 entry->d_name);
		below = block_device(dev, attribute, dev);
		if (below != dev)
			found(context, below);
	}
	closedir(dir);
}

void block_each_partition(dev_t dev,
			  void (*found)(void *context, dev_t partition),
			  void *context)
{
	char disk[KERNEL_NAME];

	/* block/partitions/core.c:add_partition() puts a number after it. */
	kernel_name(dev, disk);
	each(dev, ".", disk, found, context);
}

void block_each_holder(dev_t dev, void (*found)(void *context, dev_t holder),
		       void *context)
{
	each(dev, "holders", "", found, context);
}
