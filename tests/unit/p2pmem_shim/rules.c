// SPDX-License-Identifier: GPL-2.0-only
/* The rules, and which of them applies to a call; the log. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim.h"

static struct rule rules[8];
static size_t rule_count;
static int log_fd = -1;

void *next(const char *symbol)
{
	return dlsym(RTLD_NEXT, symbol);
}

__attribute__((constructor)) static void setup(void)
{
	const char *text = getenv("P2PMEM_SHIM");
	const char *log = getenv("P2PMEM_SHIM_LOG");

	while (text && *text) {
		struct rule *rule = &rules[rule_count++];

		if (sscanf(text, "%15[^,],%63[^,],%ld,%15[^,],%ld", rule->call,
			   rule->file, &rule->nth, rule->action,
			   &rule->value) != 5)
			abort();
		text = strchr(text, ';');
		text = text ? text + 1 : NULL;
	}
	if (log)
		log_fd = creat(log, 0600);
}

const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

const char *name_of(int fd, char *path)
{
	char link[64];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, PATH_MAX - 1);
	path[length < 0 ? 0 : length] = '\0';
	return base_name(path);
}

/* The rule that applies to this very call. */
const struct rule *match(const char *call, const char *file)
{
	for (size_t i = 0; i < rule_count; i++) {
		struct rule *rule = &rules[i];

		if (strcmp(rule->call, call) ||
		    (strcmp(rule->file, "*") && strcmp(rule->file, file)))
			continue;
		if (++rule->seen == rule->nth || !rule->nth)
			return rule;
	}
	return NULL;
}

bool is(const struct rule *rule, const char *action)
{
	return rule && !strcmp(rule->action, action);
}

bool fails(const struct rule *rule)
{
	if (is(rule, "errno"))
		errno = (int)rule->value;
	if (is(rule, "signal"))
		raise((int)rule->value);
	return is(rule, "errno");
}

void note(const char *call, const char *name, long long offset, size_t length,
	  const char *buf)
{
	if (log_fd >= 0)
		dprintf(log_fd, "%s %s %lld %zu %s\n", call, name, offset,
			length, is_peer(buf, length) ? "p2pmem" : "host");
}
