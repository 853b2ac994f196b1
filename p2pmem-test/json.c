// SPDX-License-Identifier: GPL-2.0-only
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "report.h"
#include "version.h"

/* Length of the UTF-8 sequence at @text (RFC 3629), 0 if it is none. */
static size_t utf8_length(const unsigned char *text)
{
	static const struct {
		unsigned char mask, lead, low, high;
		size_t length;
	} forms[] = {
		{ 0x80, 0x00, 0x00, 0x00, 1 },
		{ 0xe0, 0xc0, 0x80, 0xbf, 2 },
		{ 0xf0, 0xe0, 0x80, 0xbf, 3 },
		{ 0xf8, 0xf0, 0x80, 0xbf, 4 },
	};
	unsigned char lead = text[0], low, high;

	if (lead == 0xc0 || lead == 0xc1 || lead > 0xf4)
		return 0;
	for (size_t form = 0; form < sizeof(forms) / sizeof(*forms); form++) {
		if ((lead & forms[form].mask) != forms[form].lead)
			continue;
		/* Overlong forms, surrogates and what is past U+10FFFF. */
		low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : forms[form].low;
		high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : forms[form].high;
		for (size_t i = 1; i < forms[form].length; i++) {
			if (text[i] < low || text[i] > high)
				return 0;
			low = 0x80;
			high = 0xbf;
		}
		return forms[form].length;
	}
	return 0;
}

/* Paths may be any bytes; those that are no UTF-8 become U+DC80 ... U+DCFF. */
static void print_string(const char *string)
{
	const unsigned char *text = (const unsigned char *)string;

	if (!string) {
		fputs("null", stdout);
		return;
	}
	putchar('"');
	while (*text) {
		size_t length = utf8_length(text);

		if (!length) {
			printf("\\udc%02x", *text);
			length = 1;
		} else if (*text == '"' || *text == '\\') {
			printf("\\%c", *text);
		} else if (*text < 0x20 || *text == 0x7f) {
			printf("\\u%04x", *text);
		} else {
			fwrite(text, 1, length, stdout);
		}
		text += length;
	}
	putchar('"');
}

static void member_string(const char *name, const char *value)
{
	printf(", \"%s\": ", name);
	print_string(value);
}

static void member_bool(const char *name, bool value)
{
	printf(", \"%s\": %s", name, value ? "true" : "false");
}

static void member_number(const char *name, uint64_t value)
{
	printf(", \"%s\": %" PRIu64, name, value);
}

static void member_access(const char *name, const struct access_spec *spec)
{
	if (!spec->width) {
		printf(", \"%s\": null", name);
		return;
	}
	printf(", \"%s\": {\"width\": %u", name, spec->width);
	if (spec->count)
		member_number("count", spec->count);
	else
		printf(", \"count\": null");
	member_bool("read_only", spec->read_only);
	putchar('}');
}

static void print_arguments(const struct options *opt)
{
	printf(", \"arguments\": {\"read_dev\": ");
	print_string(opt->read_path);
	member_string("write_dev", opt->write_path);
	member_string("p2pmem", opt->mem_path);
	member_number("chunks", opt->geo.chunks);
	member_number("chunk_size", opt->geo.chunk_size);
	member_number("threads", opt->geo.threads);
	member_number("iodepth", opt->geo.iodepth);
	member_number("offset", opt->geo.offset);
	if (opt->duration)
		member_number("duration", opt->duration);
	else
		printf(", \"duration\": null");
	member_number("seed", opt->seed);
	member_bool("check", opt->check);
	member_bool("overlap", opt->overlap);
	member_bool("skip_read", opt->skip_read);
	member_bool("skip_write", opt->skip_write);
	member_access("init", &opt->init);
	member_access("host_access", &opt->host_access);
	putchar('}');
}

static void print_direct(const struct run *run)
{
	const struct drive *drives[] = { &run->read_drive, &run->write_drive };
	static const char * const names[] = { "read_dev", "write_dev" };

	printf(", \"direct_io\": {");
	for (size_t i = 0; i < 2; i++) {
		const char *direct = drives[i]->direct ? "true" : "false";

		printf("%s\"%s\": %s", i ? ", " : "", names[i],
		       drives[i]->path ? direct : "null");
	}
	putchar('}');
}

static void print_phases(const struct run *run)
{
	const struct figures *copy = &run->phases[PHASE_COPY];

	member_number("bytes", copy->bytes);
	printf(", \"seconds\": {");
	for (enum phase phase = 0; phase < PHASES; phase++) {
		printf("%s\"%s\": ", phase ? ", " : "", phase_name(phase));
		if (run->phases[phase].ran)
			printf("%.6f", run->phases[phase].seconds);
		else
			printf("null");
	}
	putchar('}');
	if (copy->ran && copy->seconds > 0)
		printf(", \"throughput\": %.0f",
		       (double)copy->bytes / copy->seconds);
	else
		printf(", \"throughput\": null");
}

static void member_latency(const char *name, const struct latency *latency)
{
	if (!latency->count) {
		printf("\"%s\": null", name);
		return;
	}
	printf("\"%s\": {\"count\": %" PRIu64, name, latency->count);
	member_number("p50", latency_percentile(latency, 500));
	member_number("p99", latency_percentile(latency, 990));
	member_number("p99_9", latency_percentile(latency, 999));
	member_number("max", latency->max);
	putchar('}');
}

static void print_latencies(const struct run *run)
{
	printf(", \"latency_ns\": {");
	member_latency("read", &run->latency[IO_READ]);
	printf(", ");
	member_latency("write", &run->latency[IO_WRITE]);
	putchar('}');
}

static void print_written(const struct run *run)
{
	const struct drive *drives[WRITTEN];
	const struct options *opt = run->opt;

	printf(", \"overwrites\": [");
	run_written(run, drives);
	for (const struct drive **drive = drives; *drive; drive++) {
		printf("%s{\"drive\": ", drive > drives ? ", " : "");
		print_string((*drive)->path);
		member_number("first_byte", opt->geo.offset);
		member_number("last_byte", drive_range_end(*drive, &opt->geo,
							   opt->overlap) - 1);
		member_string("model", *(*drive)->model ? (*drive)->model : NULL);
		member_string("serial", *(*drive)->serial ? (*drive)->serial :
							    NULL);
		putchar('}');
	}
	putchar(']');
}

static void member_hex(const char *name, const uint8_t *bytes, size_t count)
{
	printf(", \"%s\": \"", name);
	for (size_t i = 0; i < count; i++)
		printf("%02x", bytes[i]);
	putchar('"');
}

static void print_difference(const struct outcome *out)
{
	const struct difference *diff = &out->diff;

	if (!out->differs) {
		printf(", \"first_difference\": null");
		return;
	}
	printf(", \"first_difference\": {\"where\": ");
	print_string(diff->where);
	member_number("offset", diff->offset);
	member_hex("expected", diff->expected, diff->shown);
	member_hex("found", diff->found, diff->shown);
	member_number("different_bytes", diff->count);
	putchar('}');
}

static void print_error(const struct outcome *out)
{
	if (out->error)
		printf(", \"errno\": %d", out->error);
	else
		printf(", \"errno\": null");
	member_string("errno_name",
		      out->error ? strerrorname_np(out->error) : NULL);
	member_string("message", *out->message ? out->message : NULL);
}

void json_report(const struct run *run, const struct outcome *out)
{
	printf("{\"tool\": \"p2pmem-test\", \"version\": \"%s\"",
	       P2PMEM_TEST_VERSION);
	print_arguments(run->opt);
	print_direct(run);
	print_phases(run);
	print_latencies(run);
	member_string("engine", engine_name(run->engine));
	member_string("no_io_uring", *run->no_uring ? run->no_uring : NULL);
	print_written(run);
	member_string("result", result_name(run, out));
	member_number("exit_code", (uint64_t)exit_code(out));
	print_error(out);
	print_difference(out);
	printf("}\n");
}
