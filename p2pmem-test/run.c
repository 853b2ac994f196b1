// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "access.h"
#include "check.h"
#include "copy.h"
#include "report.h"
#include "run.h"

static int open_drives(struct run *run, struct outcome *out)
{
	const struct options *opt = run->opt;

	if (!opt->skip_read &&
	    drive_open(&run->read_drive, opt->read_path,
		       opt->check ? O_RDWR : O_RDONLY, out))
		return -1;
	if (opt->skip_write)
		return 0;
	return drive_open(&run->write_drive, opt->write_path,
			  opt->check ? O_RDWR : O_WRONLY, out);
}

static int check_drives(const struct run *run, struct outcome *out)
{
	const struct options *opt = run->opt;
	const struct drive *from = &run->read_drive, *to = &run->write_drive;

	if (from->path && drive_check_range(from, &opt->geo, opt->overlap, out))
		return -1;
	if (to->path && drive_check_range(to, &opt->geo, opt->overlap, out))
		return -1;
	if (from->path && to->path && !opt->overlap &&
	    drives_overlap(from, to, &opt->geo))
		return fail(out, STATUS_USAGE,
			    "%s and %s are the same place: the range would be copied onto itself (use --overlap if that is meant)",
			    from->path, to->path);
	return 0;
}

int run_open(struct run *run, const struct options *opt, struct outcome *out)
{
	*run = (struct run){ .opt = opt };
	if (open_drives(run, out) || check_drives(run, out))
		return -1;
	return region_open(&run->region, opt->mem_path,
			   geometry_buffer(&opt->geo), out);
}

void run_close(struct run *run)
{
	region_close(&run->region);
	drive_close(&run->read_drive);
	drive_close(&run->write_drive);
}

static int run_init(const struct run *run, uint64_t *bytes, struct outcome *out)
{
	return access_init(&run->region, &run->opt->init, bytes, out);
}

static int run_host_access(const struct run *run, uint64_t *bytes,
			   struct outcome *out)
{
	return access_check(&run->region, &run->opt->host_access,
			    run->opt->seed, bytes, out);
}

/* Without O_DIRECT a failed write only shows when the data is flushed. */
static int flush(const struct drive *drive, struct outcome *out)
{
	if (!drive->path || drive->direct || !fdatasync(drive->fd))
		return 0;
	return fail_errno(out, STATUS_ERROR, errno, "cannot flush %s: %s",
			  drive->path, strerror(errno));
}

static int run_seed(const struct run *run, uint64_t *bytes, struct outcome *out)
{
	if (check_seed(&run->read_drive, &run->opt->geo, run->opt->seed, bytes,
		       out))
		return -1;
	return flush(&run->read_drive, out);
}

static int run_copy(const struct run *run, uint64_t *bytes, struct outcome *out)
{
	const struct options *opt = run->opt;
	const struct copy copy = {
		.from = opt->skip_read ? NULL : &run->read_drive,
		.to = opt->skip_write ? NULL : &run->write_drive,
		.region = &run->region,
		.geo = opt->geo,
		.duration = opt->duration,
		.whole_pass = opt->check,
		.wrap = opt->overlap,
	};

	if (copy_run(&copy, bytes, out))
		return -1;
	return flush(&run->write_drive, out);
}

static int run_verify(const struct run *run, uint64_t *bytes,
		      struct outcome *out)
{
	return check_verify(&run->write_drive, &run->opt->geo, run->opt->seed,
			    bytes, out);
}

static bool wanted(const struct options *opt, enum phase phase)
{
	switch (phase) {
	case PHASE_INIT:
		return opt->init.width;
	case PHASE_HOST_ACCESS:
		return opt->host_access.width;
	case PHASE_SEED:
	case PHASE_VERIFY:
		return opt->check;
	default:
		return !(opt->skip_read && opt->skip_write);
	}
}

typedef int phase_function(const struct run *run, uint64_t *bytes,
			   struct outcome *out);

static const struct {
	const char *name;
	phase_function *function;
} phase_table[PHASES] = {
	[PHASE_INIT] = { "init", run_init },
	[PHASE_HOST_ACCESS] = { "host_access", run_host_access },
	[PHASE_SEED] = { "seed", run_seed },
	[PHASE_COPY] = { "copy", run_copy },
	[PHASE_VERIFY] = { "verify", run_verify },
};

const char *phase_name(enum phase phase)
{
	return phase_table[phase].name;
}

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int run_phases(struct run *run, struct outcome *out)
{
	for (enum phase phase = 0; phase < PHASES; phase++) {
		struct figures *figures = &run->phases[phase];
		double start = seconds_now();
		int ret;

		if (!wanted(run->opt, phase))
			continue;
		ret = phase_table[phase].function(run, &figures->bytes, out);
		figures->ran = true;
		figures->seconds = seconds_now() - start;
		if (ret)
			return -1;
		report_phase(run, phase);
	}
	return 0;
}
