// SPDX-License-Identifier: GPL-2.0-only
/*
 * p2pmem-lifecycle: the guest's part of the life-cycle suite.
 *
 *	case NAME MEMORY DRIVE SEED ROUNDS	run one case
 *	cases					list them
 *	hold, end				see hold.c
 *	event, power, await			see event.c
 *	state, settle				see state.c
 *
 * Exit status: 0 all checks passed, 1 a check failed, 2 could not be run,
 * 3 a wait was in vain.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lifecycle.h"

static const struct {
	const char *name;
	void (*run)(const struct place *place);
} cases[] = {
	{ "map-private", case_map_private },
	{ "map-offset", case_map_offset },
	{ "map-exec", case_map_exec },
	{ "mprotect-exec", case_mprotect_exec },
	{ "map-readonly-file", case_map_readonly_file },
	{ "file-operations", case_file_operations },
	{ "mremap-grow", case_mremap_grow },
	{ "mremap-move", case_mremap_move },
	{ "mremap-shrink", case_mremap_shrink },
	{ "munmap-split", case_munmap_split },
	{ "madvise-dontneed", case_madvise_dontneed },
	{ "mprotect", case_mprotect },
	{ "populate", case_populate },
	{ "fork-parent-first", case_fork_parent_first },
	{ "fork-child-first", case_fork_child_first },
	{ "exec-program", case_exec_program },
	{ "processes", case_processes },
	{ "dup", case_dup },
	{ "pass-fd", case_pass_fd },
	{ "exhaustion", case_exhaustion },
	{ "too-long", case_too_long },
	{ "pin-refused", case_pin_refused },
	{ "dma-readonly", case_dma_readonly },
	{ "dma-moved", case_dma_moved },
	{ "dma-unmapped", case_dma_unmapped },
	{ "dma-forked", case_dma_forked },
	{ "race-fault", case_race_fault },
	{ "race-map", case_race_map },
	{ "fuzz", case_fuzz },
	{ "fuzz-revoke", case_fuzz_revoke },
};

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "hold", command_hold },
	{ "end", command_end },
	{ "event", command_event },
	{ "power", command_power },
	{ "await", command_await },
	{ "state", command_state },
	{ "settle", command_settle },
};

static int list_cases(void)
{
	size_t i;

	for (i = 0; i < LENGTH(cases); i++)
		puts(cases[i].name);
	return 0;
}

static int run_case(int argc, char **argv)
{
	struct place place;
	size_t i, before;

	if (argc != 6)
		die("usage: case NAME MEMORY DRIVE SEED ROUNDS");
	place.memory = argv[2];
	place.drive = argv[3];
	place.seed = strtoull(argv[4], NULL, 10);
	place.rounds = strtoul(argv[5], NULL, 10);
	for (i = 0; i < LENGTH(cases); i++) {
		if (strcmp(cases[i].name, argv[1]))
			continue;
		before = available(&place);
		cases[i].run(&place);
		check(available_becomes(&place, before),
		      "the pool has %zu bytes again", before);
		return checks_failed() ? 1 : 0;
	}
	die("there is no case %s", argv[1]);
}

int main(int argc, char **argv)
{
	size_t i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1 && !strcmp(argv[1], "case"))
		return run_case(argc - 1, argv + 1);
	if (argc > 1 && !strcmp(argv[1], "cases"))
		return list_cases();
	for (i = 0; argc > 1 && i < LENGTH(commands); i++)
		if (!strcmp(commands[i].name, argv[1]))
			return commands[i].run(argc - 1, argv + 1);
	die("usage: %s case|cases|hold|end|event|power|await|state|settle ...", argv[0]);
}
