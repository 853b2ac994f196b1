// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "access.h"
#include "check.h"
#include "clock.h"
#include "copy.h"
#include "live.h"
#include "report.h"
#include "ring.h"
#include "run.h"
#include "stop.h"

static int open_read(struct run *run, struct outcome *out)
{
	const struct options *opt = run->opt;
	const struct drive_access access = {
		.mode = opt->check ? O_RDWR : O_RDONLY,
		/* One claim is enough; a second one would meet the first. */
		.claim = opt->check &&
			 !drive_is_same(opt->read_path, opt->write_path) &&
			 !drive_is_part_of(opt->read_path, opt->write_path),
		.forced = opt->forced,
	};

	if (opt->skip_read)
		return 0;
	return drive_open(&run->read_drive, opt->read_path, &access, out);
}

static int open_write(struct run *run, struct outcome *out)
{
	const struct options *opt = run->opt;
	const struct drive_access access = {
		.mode = opt->check ? O_RDWR : O_WRONLY,
		/* With --check, the claim on a whole disk covers this part. */
		.claim = !opt->check ||
			 !drive_is_part_of(opt->write_path, opt->read_path),
		.forced = opt->forced,
	};

	if (opt->skip_write)
		return 0;
	return drive_open(&run->write_drive, opt->write_path, &access, out);
}

static int open_drives(struct run *run, struct outcome *out)
{
	return open_read(run, out) || open_write(run, out) ? -1 : 0;
}

void run_written(const struct run *run, const struct drive **drives)
{
	if (run->opened && run->opt->check)
		*drives++ = &run->read_drive;
	if (run->opened && run->write_drive.path)
		*drives++ = &run->write_drive;
	*drives = NULL;
}

static const char *explain_no_uring(int error)
{
	switch (error) {
	case ENOSYS:
		return ": this kernel is built without it";
	case EPERM:
	case EACCES:
		return ": the sysctl kernel.io_uring_disabled or a seccomp filter forbids it";
	case ENOMEM:
		return ": the limit of locked memory (ulimit -l) is too low";
	default:
		return "";
	}
}

static void choose_engine(struct run *run)
{
	uint64_t depth = run->opt->geo.iodepth;
	struct ring ring;
	int error;

	if (depth == 1)
		return;
	error = ring_open(&ring, (unsigned int)depth);
	if (!error) {
		ring_close(&ring);
		run->engine = ENGINE_URING;
		return;
	}
	run->engine = ENGINE_THREADS;
	snprintf(run->no_uring, sizeof(run->no_uring), "%s%s", strerror(error),
		 explain_no_uring(error));
	fprintf(stderr,
		"p2pmem-test: warning: no io_uring (%s); %ju threads with one chunk each instead\n",
		run->no_uring, (uintmax_t)geometry_slices(&run->opt->geo));
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

/* A buffer that is the drive as well would be neither a copy nor a check. */
static int check_memory(const struct run *run, struct outcome *out)
{
	const struct drive *drives[] = { &run->read_drive, &run->write_drive };
	const char *path = run->opt->mem_path;

	for (size_t i = 0; path && i < sizeof(drives) / sizeof(*drives); i++) {
		if (drives[i]->path && drive_is_same(path, drives[i]->path))
			return fail(out, STATUS_USAGE,
				    "%s is P2PMEM and a drive (%s) at once: the buffer has to be another file",
				    path, drives[i]->path);
	}
	return 0;
}

int run_open(struct run *run, const struct options *opt, struct outcome *out)
{
	*run = (struct run){ .opt = opt };
	if (open_drives(run, out) || check_drives(run, out) ||
	    check_memory(run, out))
		return -1;
	if (region_open(&run->region, opt->mem_path,
			geometry_buffer(&opt->geo), out))
		return -1;
	choose_engine(run);
	run->opened = true;
	return 0;
}

void run_close(struct run *run)
{
	region_close(&run->region);
	drive_close(&run->read_drive);
	drive_close(&run->write_drive);
}

static int run_init(struct run *run, _Atomic uint64_t *bytes,
		    struct outcome *out)
{
	return access_init(&run->region, &run->opt->init, bytes, out);
}

static int run_host_access(struct run *run, _Atomic uint64_t *bytes,
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

static int run_seed(struct run *run, _Atomic uint64_t *bytes,
		    struct outcome *out)
{
	if (check_seed(&run->read_drive, &run->opt->geo, run->opt->seed, bytes,
		       out))
		return -1;
	return flush(&run->read_drive, out);
}

static int run_copy(struct run *run, _Atomic uint64_t *bytes,
		    struct outcome *out)
{
	const struct options *opt = run->opt;
	struct copy copy = {
		.from = opt->skip_read ? NULL : &run->read_drive,
		.to = opt->skip_write ? NULL : &run->write_drive,
		.region = &run->region,
		.geo = opt->geo,
		.uring = run->engine == ENGINE_URING,
		.duration = opt->duration,
		.whole_pass = opt->check,
		.wrap = opt->overlap,
	};

	if (run->engine == ENGINE_THREADS) {
		copy.geo.threads = geometry_slices(&opt->geo);
		copy.geo.iodepth = 1;
	}
	if (copy_run(&copy, bytes, run->latency, out))
		return -1;
	return flush(&run->write_drive, out);
}

static int run_verify(struct run *run, _Atomic uint64_t *bytes,
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

typedef int phase_function(struct run *run, _Atomic uint64_t *bytes,
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

const char *engine_name(enum engine engine)
{
	static const char * const names[] = {
		[ENGINE_SYNC] = "sync",
		[ENGINE_URING] = "io_uring",
		[ENGINE_THREADS] = "threads",
	};

	return names[engine];
}

/* How much a phase has to do, 0 if only it knows itself. */
static uint64_t total_of(const struct options *opt, enum phase phase)
{
	if (phase == PHASE_INIT || phase == PHASE_HOST_ACCESS)
		return 0;
	if (phase == PHASE_COPY && opt->duration)
		return 0;
	return geometry_bytes(&opt->geo);
}

static int run_phase(struct run *run, enum phase phase, struct outcome *out)
{
	struct figures *figures = &run->phases[phase];
	uint64_t start = clock_now();
	struct live live;
	int ret;

	live_start(&live, phase_name(phase), &figures->bytes,
		   total_of(run->opt, phase));
	ret = phase_table[phase].function(run, &figures->bytes, out);
	live_end(&live);
	figures->ran = true;
	figures->seconds = (double)(clock_now() - start) / (double)SECOND;
	if (ret)
		return -1;
	report_phase(run, phase);
	return stop_wanted() ? fail_stopped(out) : 0;
}

int run_phases(struct run *run, struct outcome *out)
{
	for (enum phase phase = 0; phase < PHASES; phase++) {
		if (wanted(run->opt, phase) && run_phase(run, phase, out))
			return -1;
	}
	return 0;
}
