// SPDX-License-Identifier: GPL-2.0-only
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "size.h"

static const char too_large[] = "too large: it does not fit in 64 bits";

static const char *parse_digits(const char **text, uint64_t *value)
{
	const char *c = *text;

	if (!*c)
		return "empty, a number is needed";
	if (*c == '-')
		return "negative";
	if (!isdigit((unsigned char)*c))
		return "not a number";

	for (*value = 0; isdigit((unsigned char)*c); c++) {
		if (__builtin_mul_overflow(*value, 10, value) ||
		    __builtin_add_overflow(*value, (uint64_t)(*c - '0'), value))
			return too_large;
	}
	*text = c;
	return NULL;
}

const char *parse_number(const char *text, uint64_t *value)
{
	const char *wrong = parse_digits(&text, value);

	if (wrong)
		return wrong;
	return *text ? "not a plain number: something follows the digits" :
		       NULL;
}

const char *parse_size(const char *text, uint64_t *value)
{
	static const char suffixes[] = "kmgt";
	const char *wrong = parse_digits(&text, value);
	const char *suffix;

	if (wrong)
		return wrong;
	if (!*text)
		return NULL;

	suffix = strchr(suffixes, tolower((unsigned char)*text));
	if (!suffix || text[1])
		return "not a size: only one of k, M, G, T may follow the digits";
	if (__builtin_mul_overflow(*value,
				   UINT64_C(1024) << (10 * (suffix - suffixes)),
				   value))
		return too_large;
	return NULL;
}

const char *format_size(char *text, double bytes)
{
	static const char * const units[] = {
		"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB",
	};
	size_t unit = 0;

	while (bytes >= 1024 && unit < sizeof(units) / sizeof(*units) - 1) {
		bytes /= 1024;
		unit++;
	}
	snprintf(text, SIZE_TEXT, "%.4g %s", bytes, units[unit]);
	return text;
}
