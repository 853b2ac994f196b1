/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef P2PMEM_TEST_SIZE_H
#define P2PMEM_TEST_SIZE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Parse a decimal number; parse_size() also takes one of the suffixes
 * k, M, G, T (either case, powers of 1024). Return NULL and set *@value, or
 * return what is wrong with @text, worded to follow "is".
 */
const char *parse_number(const char *text, uint64_t *value);
const char *parse_size(const char *text, uint64_t *value);

/* "4096 B", "64 KiB", "1.5 GiB"; @text holds at least SIZE_TEXT bytes. */
#define SIZE_TEXT 32
const char *format_size(char *text, double bytes);

#endif
