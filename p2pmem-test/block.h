/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef P2PMEM_TEST_BLOCK_H
#define P2PMEM_TEST_BLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What sysfs tells about block devices, below /sys/dev/block/MAJOR:MINOR/. */

/* A number in an attribute, 0 if the device has no such attribute. */
uint64_t block_number(dev_t dev, const char *attribute);

/* One line of text without the blanks around it, "" if there is none. */
void block_text(dev_t dev, const char *attribute, char *text, size_t size);

/* The disk that a partition is on; the device itself if it is none. */
dev_t block_whole(dev_t dev);

/* "/dev/sda1" by the kernel's own name, or "block device 8:1". */
#define BLOCK_NAME 80
void block_name(dev_t dev, char *name);

/* Call @found for each partition of a disk. */
void block_each_partition(dev_t dev,
			  void (*found)(void *context, dev_t partition),
			  void *context);

/* Call @found for each block device that is made of this one. */
void block_each_holder(dev_t dev, void (*found)(void *context, dev_t holder),
		       void *context);

#endif
