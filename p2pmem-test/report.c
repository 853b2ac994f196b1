// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>

#include "json.h"
#include "report.h"
#include "size.h"

/* Whether anything was compared, once all went well. */
static bool compared(const struct options *opt)
{
	bool copied = !(opt->skip_read && opt->skip_write);

	return opt->check ||
	       (!copied && opt->host_access.width &&
		!opt->host_access.read_only);
}

const char *result_name(const struct run *run, const struct outcome *out)
{
	switch (out->status) {
	case STATUS_OK:
		return compared(run->opt) ? "match" : "copied";
	case STATUS_MISMATCH:
		return "mismatch";
	case STATUS_REFUSED:
		return "refused";
	case STATUS_IN_USE:
		return "in_use";
	case STATUS_STOPPED:
		return "stopped";
	default:
		return "error";
	}
}

/* A file in place of device memory keeps what was its buffer. */
static void print_memory(const struct run *run)
{
	const struct region *region = &run->region;
	const struct options *opt = run->opt;
	bool stored = opt->init.width ||
		      (opt->host_access.width && !opt->host_access.read_only);

	if (region->file && (stored || !opt->skip_read))
		printf("overwriting bytes 0 to %zu of %s, the buffer\n",
		       region->length - 1, region->path);
}

static void print_written(const struct run *run)
{
	const struct drive *drives[WRITTEN];
	const struct options *opt = run->opt;

	run_written(run, drives);
	for (const struct drive **drive = drives; *drive; drive++) {
		const char *model = (*drive)->model, *serial = (*drive)->serial;
		uint64_t end = drive_range_end(*drive, &opt->geo, opt->overlap);

		printf("overwriting bytes %ju to %ju of %s",
		       (uintmax_t)opt->geo.offset, (uintmax_t)end - 1,
		       (*drive)->path);
		if (*model || *serial)
			printf(" (%s%s%s%s)", model, *model && *serial ? ", " : "",
			       *serial ? "serial " : "", serial);
		putchar('\n');
	}
}

void report_start(const struct run *run)
{
	const struct options *opt = run->opt;
	const struct geometry *geo = &opt->geo;
	char chunk[SIZE_TEXT], total[SIZE_TEXT];

	if (opt->json)
		return;
	printf("%s -> %s through %s%s%s\n",
	       opt->skip_read ? "(nothing read)" : opt->read_path,
	       opt->skip_write ? "(nothing written)" : opt->write_path,
	       opt->mem_path ? opt->mem_path : "host memory",
	       opt->overlap ? ", overlap allowed" : "",
	       opt->check ? ", both drives are overwritten" : "");
	printf("%ju x %s = %s from byte %ju, threads %ju, ",
	       (uintmax_t)geo->chunks,
	       format_size(chunk, (double)geo->chunk_size),
	       format_size(total, (double)geometry_bytes(geo)),
	       (uintmax_t)geo->offset, (uintmax_t)geo->threads);
	if (geo->iodepth > 1)
		printf("iodepth %ju (%s), ", (uintmax_t)geo->iodepth,
		       engine_name(run->engine));
	printf("seed %ju\n", (uintmax_t)opt->seed);
	print_written(run);
	print_memory(run);
	fflush(stdout);
}

static void print_latency(const char *name, const struct latency *latency)
{
	static const struct {
		const char *name;
		unsigned int mille;
	} shown[] = { { "p50", 500 }, { "p99", 990 }, { "p99.9", 999 } };

	if (!latency->count)
		return;
	printf("%-11s", name);
	for (size_t i = 0; i < sizeof(shown) / sizeof(*shown); i++)
		printf(" %s %.1f,", shown[i].name,
		       (double)latency_percentile(latency, shown[i].mille) /
		       1000);
	printf(" max %.1f us\n", (double)latency->max / 1000);
}

void report_phase(const struct run *run, enum phase phase)
{
	const struct figures *figures = &run->phases[phase];
	char bytes[SIZE_TEXT], rate[SIZE_TEXT];
	double seconds = figures->seconds > 0 ? figures->seconds : 1e-9;

	if (run->opt->json)
		return;
	printf("%-11s %s in %.3f s, %s/s\n", phase_name(phase),
	       format_size(bytes, (double)figures->bytes), figures->seconds,
	       format_size(rate, (double)figures->bytes / seconds));
	if (phase == PHASE_COPY) {
		print_latency("  read", &run->latency[IO_READ]);
		print_latency("  write", &run->latency[IO_WRITE]);
	}
	fflush(stdout);
}

static void print_bytes(const char *name, const uint8_t *bytes, size_t count)
{
	printf("  %-8s", name);
	for (size_t i = 0; i < count; i++)
		printf(" %02x", bytes[i]);
	putchar('\n');
}

static void print_verdict(const struct run *run, const struct outcome *out)
{
	const struct difference *diff = &out->diff;
	char size[SIZE_TEXT];

	if (out->differs) {
		printf("MISMATCH on data check: %s, first difference at byte %ju\n",
		       diff->where, (uintmax_t)diff->offset);
		print_bytes("expected", diff->expected, diff->shown);
		print_bytes("found", diff->found, diff->shown);
	}
	if (!out->status && run->opt->check)
		printf("MATCH on data check: %s\n",
		       format_size(size, (double)run->phases[PHASE_VERIFY].bytes));
}

void report_end(const struct run *run, const struct outcome *out)
{
	if (run->opt->json)
		json_report(run, out);
	else
		print_verdict(run, out);
	if (*out->message)
		fprintf(stderr, "p2pmem-test: %s\n", out->message);
}
