// SPDX-License-Identifier: GPL-2.0-only
/*
 * Feeds p2pmem-test's parsers: the input is words that each end with a zero
 * byte. Each word is parsed as a size, all of them as a command line. What
 * comes out is held against a size parser of another make, and against what
 * the tool relies on later.
 *
 * "SEED RUNS" as arguments: random command lines, the same for the same seed.
 * With -DLIBFUZZER and clang's -fsanitize=fuzzer, libFuzzer finds its own.
 */
#include <ctype.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "pattern.h"
#include "size.h"

#define MOST_WORDS 24

typedef unsigned __int128 wide;

static char *words[MOST_WORDS + 2];
static int count;

#define REQUIRE(condition) require(condition, #condition)

static void require(bool condition, const char *text)
{
	if (condition)
		return;
	fprintf(stderr, "not so: %s, with", text);
	for (int i = 1; i < count; i++) {
		fputs(" '", stderr);
		for (const char *c = words[i]; *c; c++)
			fprintf(stderr, isprint((unsigned char)*c) ? "%c" :
				"\\x%02x", (unsigned char)*c);
		fputc('\'', stderr);
	}
	fputc('\n', stderr);
	abort();
}

/* False for what is no size, or none of 64 bits. */
static bool size_of(const char *text, wide *value)
{
	static const char letters[] = "kKmMgGtT";
	size_t digits = strspn(text, "0123456789");
	const char *letter;

	*value = 0;
	for (size_t i = 0; i < digits; i++) {
		*value = *value * 10 + (wide)(text[i] - '0');
		if (*value >> 64)
			return false;
	}
	text += digits;
	if (!digits || !*text)
		return digits;
	letter = strchr(letters, *text);
	if (!letter || text[1])
		return false;
	for (long i = (letter - letters) / 2; i >= 0; i--)
		*value *= 1024;
	return !(*value >> 64);
}

static void check_size(const char *text)
{
	uint64_t value = 0;
	wide expected;
	const char *wrong = parse_size(text, &value);

	REQUIRE(size_of(text, &expected) == !wrong);
	REQUIRE(wrong || value == expected);
	wrong = parse_number(text, &value);
	REQUIRE((size_of(text, &expected) &&
		 isdigit((unsigned char)text[strlen(text) - 1])) == !wrong);
	REQUIRE(wrong || value == expected);
}

/* What is taken for granted once options_parse() said nothing. */
static void check_options(const struct options *opt)
{
	const struct geometry *geo = &opt->geo;
	wide end = (wide)geo->chunks * geo->chunk_size + geo->offset;
	wide slice = ((wide)geo->chunk_size + 4095) / 4096 * 4096;

	REQUIRE(opt->read_path && *opt->read_path);
	REQUIRE(opt->write_path && *opt->write_path);
	REQUIRE(geo->chunks && geo->chunk_size);
	REQUIRE(!(geo->chunk_size % PATTERN_BLOCK));
	REQUIRE(!(geo->offset % PATTERN_BLOCK));
	REQUIRE(geo->threads && geo->threads <= 1024);
	REQUIRE(geo->iodepth && geo->iodepth <= 1024);
	REQUIRE(geo->threads * geo->iodepth <= geo->chunks);
	REQUIRE(end <= INT64_MAX);
	REQUIRE(geometry_buffer(geo) ==
		slice * (wide)geo->threads * geo->iodepth);
	REQUIRE(geometry_buffer(geo) <= INT64_MAX);
	REQUIRE(!opt->init.width ||
		(opt->init.count % opt->init.width == 0 &&
		 opt->init.count <= geometry_buffer(geo)));
	REQUIRE(strchr("\1\2\4\10", (int)opt->host_access.width) ||
		!opt->host_access.width);
	REQUIRE(opt->duration <= UINT32_MAX);
	REQUIRE(!(opt->check && (opt->skip_read || opt->skip_write)));
}

static void check_words(void)
{
	struct outcome out = { .status = STATUS_OK };
	struct options opt;
	enum action action;

	for (int i = 1; i < count; i++)
		check_size(words[i]);
	optind = 0;	/* getopt_long() begins anew, glibc */
	action = options_parse(&opt, count, words, &out);
	REQUIRE(out.status == STATUS_OK || out.status == STATUS_USAGE);
	REQUIRE(!*out.message == (out.status == STATUS_OK));
	REQUIRE(!strpbrk(out.message, "\n\r\033"));
	if (action == ACTION_RUN && !out.status)
		check_options(&opt);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Each word in a block of its own: ASan sees who reads past its end. */
	const uint8_t *end = data + size;

	words[0] = strdup("p2pmem-test");
	for (count = 1; data < end && count <= MOST_WORDS; count++) {
		words[count] = strndup((const char *)data,
				       (size_t)(end - data));
		data += strlen(words[count]) + 1;
	}
	words[count] = NULL;
	check_words();
	/* getopt_long() sorts the words; all are still there. */
	for (int i = 0; i < count; i++)
		free(words[i]);
	return 0;
}

#ifndef LIBFUZZER
static uint64_t state;

static uint64_t chosen(uint64_t below)
{
	return pattern_mix(state++) % below;
}

static const char * const options[] = {
	"-c", "-s", "-t", "-o", "-D", "--chunks", "--chunk_size", "--threads",
	"--iodepth", "--offset", "--duration", "--seed", "--init",
	"--host_access", "--force",
};

static const char * const flags[] = {
	"-h", "--", "--chunk-size=", "--iodepth=", "--check", "--overlap",
	"--skip-read", "--skip_write", "--init=", "--host-access=", "--force=",
	"--json", "--help", "--version", "--c", "a", "b", "mem",
};

static const char * const values[] = {
	"0", "1", "2", "3", "-1", "8", "8:", "8:12", "4:512", "-8:3", "512",
	"4k", "64K", "1M", "3g", "1T", "16777216T", "1024", "1025", "4096",
	"18446744073709551615", "18446744073709551616", "9223372036854775807",
	"99999999999999999999999", "9223372036854775296", "8388607T", "17179869184G", "k", "=", ":", " ",
	"-", ",", "root", "swap,held", "\n", "\033[2J", "\377",
};

#define ANY(array) ((array)[chosen(sizeof(array) / sizeof(*(array)))])

static size_t add(char *text, size_t length, const char *piece)
{
	memcpy(text + length, piece, strlen(piece));
	return length + strlen(piece);
}

/* Mostly what a user types, sometimes anything. */
static size_t add_words(char *text, size_t length)
{
	switch (chosen(8)) {
	case 0:
		length = add(text, length, ANY(flags));
		length = add(text, length, ANY(values));
		break;
	case 1:
		length = add(text, length, ANY(flags));
		break;
	case 2:
		for (uint64_t n = chosen(6); n; n--)
			text[length++] = (char)(1 + chosen(255));
		break;
	default:
		length = add(text, length, ANY(options));
		text[length++] = '\0';
		length = add(text, length, ANY(values));
	}
	text[length++] = '\0';
	return length;
}

static size_t random_input(char *text)
{
	size_t length = 0;

	/* Most lines have what every line needs, or all would end there. */
	if (chosen(8))
		length = (size_t)sprintf(text, "a%cb", 0) + 1;
	for (uint64_t n = chosen(8); n; n--)
		length = add_words(text, length);
	return length;
}

int main(int argc, char **argv)
{
	static char text[4096];
	uint64_t runs;

	if (argc != 3 || parse_number(argv[1], &state) ||
	    parse_number(argv[2], &runs))
		return 2;
	state = pattern_mix(state);
	for (; runs; runs--)
		LLVMFuzzerTestOneInput((uint8_t *)text, random_input(text));
	return 0;
}
#endif
