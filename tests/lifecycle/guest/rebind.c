// SPDX-License-Identifier: GPL-2.0-only
/* Take the driver from the function that has the memory, and give it back. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lifecycle.h"

#define BACK_MS		10000	/* for the node to be there again */

static void driver_write(const char *driver, const char *file,
			 const char *function)
{
	char path[PATH_MAX + 16];
	int error;

	snprintf(path, sizeof(path), "%s/%s", driver, file);
	error = write_file(path, function);
	if (error)
		die("%s to %s: %s", function, path, strerror(error));
}

static void wait_for_node(const struct place *place)
{
	int64_t limit = now_ns() + BACK_MS * 1000000LL;

	while (access(place->memory, R_OK | W_OK)) {
		if (now_ns() > limit)
			die("%s did not come back", place->memory);
		sleep_ms(1);
	}
}

void rebind(const struct place *place)
{
	char function[PATH_MAX], link[PATH_MAX + 8], driver[PATH_MAX];
	const char *name;

	function_path(place, function, sizeof(function));
	name = strrchr(function, '/') + 1;
	snprintf(link, sizeof(link), "%s/driver", function);
	if (!realpath(link, driver))
		die("%s: %s", link, strerror(errno));
	driver_write(driver, "unbind", name);
	driver_write(driver, "bind", name);
	wait_for_node(place);
}
