/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef P2PMEM_TEST_CHECK_H
#define P2PMEM_TEST_CHECK_H

#include <stdint.h>

#include "drive.h"
#include "geometry.h"
#include "outcome.h"

/*
 * Write the pattern to the range of @drive, from host memory. Both this and
 * check_verify() end early, without an error, when a signal asks to stop.
 */
int check_seed(const struct drive *drive, const struct geometry *geo,
	       uint64_t seed, _Atomic uint64_t *bytes, struct outcome *out);

/*
 * Read the range of @drive to host memory and compare it with the pattern.
 * All of it is read, so that out->diff tells how much differs.
 */
int check_verify(const struct drive *drive, const struct geometry *geo,
		 uint64_t seed, _Atomic uint64_t *bytes, struct outcome *out);

#endif
