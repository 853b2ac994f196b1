// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "access.h"
#include "pattern.h"
#include "stop.h"

#define DEFAULT_ACCESSES 64

struct access_job {
	const struct region *region;
	struct access_spec spec;
	uint64_t seed;
	_Atomic uint64_t *bytes;
	struct outcome *out;
};

/*
 * Where to go on after SIGBUS; only set while the CPU touches the mapping.
 * volatile, since a signal handler reads it.
 */
static _Thread_local sigjmp_buf *volatile bus_error;

static void on_sigbus(int signal_number)
{
	if (bus_error)
		siglongjmp(*bus_error, 1);
	/* Not ours: return, fault again and die of it. */
	signal(signal_number, SIG_DFL);
}

static int guarded(int (*touch)(const struct access_job *),
		   const struct access_job *job)
{
	struct sigaction action = { .sa_handler = on_sigbus }, old;
	sigjmp_buf here;
	int ret;

	sigaction(SIGBUS, &action, &old);
	if (sigsetjmp(here, 1)) {
		ret = fail_errno(job->out, STATUS_ERROR, EFAULT,
				 "SIGBUS on access to %s: the memory is gone, its provider was unbound or removed; look whether the device is still bound to its driver, and in dmesg",
				 job->region->path ? job->region->path :
				 "host memory");
	} else {
		bus_error = &here;
		ret = touch(job);
	}
	bus_error = NULL;
	sigaction(SIGBUS, &old, NULL);
	return ret;
}

static void store(void *base, uint64_t index, unsigned int width,
		  uint64_t value)
{
	switch (width) {
	case 1:
		((volatile uint8_t *)base)[index] = (uint8_t)value;
		break;
	case 2:
		((volatile uint16_t *)base)[index] = (uint16_t)value;
		break;
	case 4:
		((volatile uint32_t *)base)[index] = (uint32_t)value;
		break;
	default:
		((volatile uint64_t *)base)[index] = value;
	}
}

static uint64_t load(const void *base, uint64_t index, unsigned int width)
{
	switch (width) {
	case 1:
		return ((const volatile uint8_t *)base)[index];
	case 2:
		return ((const volatile uint16_t *)base)[index];
	case 4:
		return ((const volatile uint32_t *)base)[index];
	default:
		return ((const volatile uint64_t *)base)[index];
	}
}

/* Only this thread counts, others look on: no locked instruction is needed. */
static void count(const struct access_job *job)
{
	uint64_t bytes = atomic_load_explicit(job->bytes, memory_order_relaxed);

	atomic_store_explicit(job->bytes, bytes + job->spec.width,
			      memory_order_relaxed);
}

static int touch_init(const struct access_job *job)
{
	uint64_t words = job->spec.count / job->spec.width;

	for (uint64_t i = 0; i < words && !stop_wanted(); i++) {
		store(job->region->base, i, job->spec.width, 0);
		count(job);
	}
	return 0;
}

static uint64_t place_of(const struct access_job *job, uint64_t access)
{
	return pattern_mix(job->seed ^ pattern_mix(access)) %
	       (job->region->length / job->spec.width);
}

/* Depends on the place alone: two accesses of one place store the same. */
static uint64_t value_at(const struct access_job *job, uint64_t place)
{
	uint64_t value = pattern_mix(job->seed + place);

	return value >> (64 - 8 * job->spec.width);
}

/* As the word lies in memory. */
static void show_word(uint8_t *bytes, uint64_t value, unsigned int width)
{
	uint64_t word = 0;

	store(&word, 0, width, value);
	memcpy(bytes, &word, width);
}

static void note_difference(const struct access_job *job, uint64_t place,
			    uint64_t expected, uint64_t found)
{
	struct difference *diff = &job->out->diff;
	unsigned int width = job->spec.width, first = width;
	uint8_t wanted[8], got[8];

	*diff = (struct difference){
		.where = job->region->path ? job->region->path : "host memory",
	};
	show_word(wanted, expected, width);
	show_word(got, found, width);
	for (unsigned int at = width; at-- > 0;) {
		if (wanted[at] == got[at])
			continue;
		first = at;
		diff->count++;
	}
	diff->offset = place * width + first;
	diff->shown = width - first;
	memcpy(diff->expected, wanted + first, diff->shown);
	memcpy(diff->found, got + first, diff->shown);
	job->out->differs = true;
}

static int check_word(const struct access_job *job, uint64_t access)
{
	uint64_t place = place_of(job, access);
	uint64_t expected = value_at(job, place);
	uint64_t found = load(job->region->base, place, job->spec.width);

	count(job);
	if (job->spec.read_only || found == expected)
		return 0;
	note_difference(job, place, expected, found);
	return fail(job->out, STATUS_MISMATCH,
		    "%s differs at byte %ju from what the CPU stored there",
		    job->out->diff.where, (uintmax_t)job->out->diff.offset);
}

static int touch_access(const struct access_job *job)
{
	uint64_t stores = job->spec.read_only ? 0 : job->spec.count;

	for (uint64_t i = 0; i < stores && !stop_wanted(); i++) {
		uint64_t place = place_of(job, i);

		store(job->region->base, place, job->spec.width,
		      value_at(job, place));
		count(job);
	}
	/* What was not stored any more cannot be compared. */
	for (uint64_t i = 0; i < job->spec.count && !stop_wanted(); i++) {
		if (check_word(job, i))
			return -1;
	}
	return 0;
}

int access_init(const struct region *region, const struct access_spec *spec,
		_Atomic uint64_t *bytes, struct outcome *out)
{
	struct access_job job = {
		.region = region, .spec = *spec, .bytes = bytes, .out = out,
	};

	if (!job.spec.count)
		job.spec.count = region->length;
	return guarded(touch_init, &job);
}

int access_check(const struct region *region, const struct access_spec *spec,
		 uint64_t seed, _Atomic uint64_t *bytes, struct outcome *out)
{
	struct access_job job = {
		.region = region, .spec = *spec, .seed = seed,
		.bytes = bytes, .out = out,
	};

	if (!job.spec.count)
		job.spec.count = DEFAULT_ACCESSES;
	return guarded(touch_access, &job);
}
