/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef P2PMEM_TEST_ACCESS_H
#define P2PMEM_TEST_ACCESS_H

#include <stdint.h>

#include "options.h"
#include "outcome.h"
#include "region.h"

/*
 * Accesses by the CPU. They are single loads and stores of 1 to 8 bytes: wide
 * (SSE, AVX) accesses to a device's BAR fault in a virtual machine.
 *
 * access_init() zeroes the first spec->count bytes (0: all); access_check()
 * stores spec->count words at pseudo-random places, loads and compares them,
 * or only loads them. *@bytes is what was stored and loaded. Both end early,
 * without an error, when a signal asks to stop.
 */
int access_init(const struct region *region, const struct access_spec *spec,
		_Atomic uint64_t *bytes, struct outcome *out);
int access_check(const struct region *region, const struct access_spec *spec,
		 uint64_t seed, _Atomic uint64_t *bytes, struct outcome *out);

#endif
