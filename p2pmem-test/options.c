// SPDX-License-Identifier: GPL-2.0-only
#include <ctype.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "options.h"
#include "pattern.h"
#include "size.h"
#include "use.h"

enum {
	OPT_CHECK = 256,
	OPT_SEED,
	OPT_OVERLAP,
	OPT_IODEPTH,
	OPT_FORCE,
	OPT_SKIP_READ,
	OPT_SKIP_WRITE,
	OPT_INIT,
	OPT_HOST_ACCESS,
	OPT_JSON,
	OPT_HELP,
	OPT_VERSION,
};

static const struct option long_options[] = {
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "chunks", required_argument, NULL, 'c' },
	{ "chunk_size", required_argument, NULL, 's' },
	{ "chunk-size", required_argument, NULL, 's' },
	{ "threads", required_argument, NULL, 't' },
	{ "iodepth", required_argument, NULL, OPT_IODEPTH },
	{ "offset", required_argument, NULL, 'o' },
	{ "duration", required_argument, NULL, 'D' },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "overlap", no_argument, NULL, OPT_OVERLAP },
	{ "force", required_argument, NULL, OPT_FORCE },
	{ "skip-read", no_argument, NULL, OPT_SKIP_READ },
	{ "skip_read", no_argument, NULL, OPT_SKIP_READ },
	{ "skip-write", no_argument, NULL, OPT_SKIP_WRITE },
	{ "skip_write", no_argument, NULL, OPT_SKIP_WRITE },
	{ "init", optional_argument, NULL, OPT_INIT },
	{ "host_access", optional_argument, NULL, OPT_HOST_ACCESS },
	{ "host-access", optional_argument, NULL, OPT_HOST_ACCESS },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

static int parse_into(const char *name, const char *text,
		      const char *(*parse)(const char *, uint64_t *),
		      uint64_t *value, struct outcome *out)
{
	const char *wrong = parse(text, value);

	if (!wrong)
		return 0;
	return fail(out, STATUS_USAGE, "%s '%s' is %s", name, text, wrong);
}

static uint64_t fresh_seed(void)
{
	struct timespec now;
	uint32_t seed;

	/* Early after boot there may be no entropy; do not wait for it. */
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) == sizeof(seed))
		return seed;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint32_t)pattern_mix((uint64_t)now.tv_sec * 1000000000 +
				     (uint64_t)now.tv_nsec);
}

/* WIDTH[:COUNT], as after --host_access in a word of its own. */
static bool looks_like_access_spec(const char *word)
{
	if (*word == '-')
		word++;
	if (!isdigit((unsigned char)*word))
		return false;
	return word[strspn(word, "0123456789:")] == '\0';
}

static int parse_access(const char *name, const char *text,
			struct access_spec *spec, struct outcome *out)
{
	const char *width, *colon;

	*spec = (struct access_spec){ .width = 8 };
	if (!text)
		return 0;

	spec->read_only = *text == '-';
	width = text + spec->read_only;
	colon = strchrnul(width, ':');
	if (colon != width + 1 || !strchr("01248", *width))
		return fail(out, STATUS_USAGE,
			    "%s '%s': the width of an access is 1, 2, 4 or 8 bytes (or 0 for none)",
			    name, text);
	spec->width = (unsigned int)(*width - '0');
	if (!*colon)
		return 0;
	if (parse_into(name, colon + 1, parse_number, &spec->count, out))
		return -1;
	if (!spec->count)
		return fail(out, STATUS_USAGE,
			    "%s '%s': zero accesses, use a width of 0 for none",
			    name, text);
	return 0;
}

/*
 * The argument of --init and --host_access may be left out, follow a '=', or
 * be the next word. That a drive has such a name is unlikely; ./8 works then.
 */
static const char *access_argument(int argc, char **argv)
{
	if (optarg || optind >= argc || !looks_like_access_spec(argv[optind]))
		return optarg;
	return argv[optind++];
}

static int parse_seed(struct options *opt, const char *text,
		      struct outcome *out)
{
	/* -1 has always meant "take any". */
	if (!strcmp(text, "-1"))
		return 0;
	return parse_into("--seed", text, parse_number, &opt->seed, out);
}

static int parse_duration(struct options *opt, const char *text,
			  struct outcome *out)
{
	/* -1 has always meant "no limit of time". */
	if (!strcmp(text, "-1")) {
		opt->duration = 0;
		return 0;
	}
	if (parse_into("--duration", text, parse_number, &opt->duration, out))
		return -1;
	if (!opt->duration)
		return fail(out, STATUS_USAGE, "--duration '%s' is zero", text);
	if (opt->duration > UINT32_MAX)
		return fail(out, STATUS_USAGE,
			    "--duration '%s' is more than %u seconds",
			    text, UINT32_MAX);
	return 0;
}

static int parse_force(struct options *opt, const char *text,
		       struct outcome *out)
{
	const char *wrong = use_parse(text, &opt->forced);

	if (!wrong)
		return 0;
	return fail(out, STATUS_USAGE, "--force '%s' is %s", text, wrong);
}

static int parse_valued(struct options *opt, int id, struct outcome *out)
{
	struct geometry *geo = &opt->geo;

	switch (id) {
	case 'c':
		return parse_into("--chunks", optarg, parse_size,
				  &geo->chunks, out);
	case 's':
		return parse_into("--chunk_size", optarg, parse_size,
				  &geo->chunk_size, out);
	case 't':
		return parse_into("--threads", optarg, parse_number,
				  &geo->threads, out);
	case OPT_IODEPTH:
		return parse_into("--iodepth", optarg, parse_number,
				  &geo->iodepth, out);
	case 'o':
		return parse_into("--offset", optarg, parse_size,
				  &geo->offset, out);
	case 'D':
		return parse_duration(opt, optarg, out);
	case OPT_FORCE:
		return parse_force(opt, optarg, out);
	default:
		return parse_seed(opt, optarg, out);
	}
}

static int parse_init(struct options *opt, const char *text,
		      struct outcome *out)
{
	if (parse_access("--init", text, &opt->init, out))
		return -1;
	if (opt->init.read_only)
		return fail(out, STATUS_USAGE,
			    "--init '%s': the width is negative", text);
	return 0;
}

static int fail_unknown(const char *word, struct outcome *out)
{
	/* getopt_long() sets optopt to the letter, or to 0 for a long option. */
	if (optopt > 0 && optopt <= UCHAR_MAX)
		return fail(out, STATUS_USAGE, "unknown option '-%c', see --help",
			    optopt);
	return fail(out, STATUS_USAGE, optopt ?
		    "option '%s' takes no value, see --help" :
		    "unknown or ambiguous option '%s', see --help", word);
}

static int parse_one(struct options *opt, int id, int argc, char **argv,
		     struct outcome *out)
{
	switch (id) {
	case OPT_CHECK:
		opt->check = true;
		return 0;
	case OPT_OVERLAP:
		opt->overlap = true;
		return 0;
	case OPT_SKIP_READ:
		opt->skip_read = true;
		return 0;
	case OPT_SKIP_WRITE:
		opt->skip_write = true;
		return 0;
	case OPT_JSON:
		opt->json = true;
		return 0;
	case OPT_INIT:
		return parse_init(opt, access_argument(argc, argv), out);
	case OPT_HOST_ACCESS:
		return parse_access("--host_access",
				    access_argument(argc, argv),
				    &opt->host_access, out);
	case ':':
		return fail(out, STATUS_USAGE, "%s needs a value",
			    argv[optind - 1]);
	case '?':
		return fail_unknown(argv[optind - 1], out);
	default:
		return parse_valued(opt, id, out);
	}
}

static int parse_positional(struct options *opt, const char *word,
			    struct outcome *out)
{
	const char **slots[] = {
		&opt->read_path, &opt->write_path, &opt->mem_path,
	};

	for (size_t i = 0; i < sizeof(slots) / sizeof(*slots); i++) {
		if (*slots[i])
			continue;
		if (!*word)
			return fail(out, STATUS_USAGE,
				    "an argument is empty, a path is needed");
		*slots[i] = word;
		return 0;
	}
	return fail(out, STATUS_USAGE,
		    "'%s' is one argument too many, see --help", word);
}

static int validate_flags(const struct options *opt, struct outcome *out)
{
	if (opt->check && (opt->skip_read || opt->skip_write))
		return fail(out, STATUS_USAGE,
			    "--check needs a whole copy, it excludes --skip-read and --skip-write");
	if (opt->check && opt->overlap)
		return fail(out, STATUS_USAGE,
			    "--check needs every chunk in a place of its own, it excludes --overlap");
	if (opt->skip_read && opt->skip_write && !opt->host_access.width)
		return fail(out, STATUS_USAGE,
			    "--skip-read and --skip-write leave nothing to do without --host_access");
	return 0;
}

static int validate_init(const struct options *opt, struct outcome *out)
{
	const struct access_spec *init = &opt->init;

	if (!init->width)
		return 0;
	if (init->count % init->width)
		return fail(out, STATUS_USAGE,
			    "--init: %ju bytes is no multiple of the width %u",
			    (uintmax_t)init->count, init->width);
	if (init->count > geometry_buffer(&opt->geo))
		return fail(out, STATUS_USAGE,
			    "--init: %ju bytes is more than the buffer of %ju bytes",
			    (uintmax_t)init->count,
			    (uintmax_t)geometry_buffer(&opt->geo));
	return 0;
}

static int validate(const struct options *opt, struct outcome *out)
{
	if (!opt->write_path)
		return fail(out, STATUS_USAGE,
			    "%s missing: usage is p2pmem-test [options] READ_DEV WRITE_DEV [P2PMEM]",
			    opt->read_path ? "WRITE_DEV is" :
			    "READ_DEV and WRITE_DEV are");
	if (geometry_validate(&opt->geo, out) || validate_flags(opt, out))
		return -1;
	return validate_init(opt, out);
}

/*
 * Go on to the last word after a mistake, since --json and --help count
 * wherever they stand; the first mistake is the one that is told.
 */
static enum action parse_words(struct options *opt, int argc, char **argv,
			       struct outcome *out)
{
	enum action action = ACTION_RUN;
	struct outcome later;
	int id;

	opterr = 0;
	while ((id = getopt_long(argc, argv, ":c:s:t:o:D:h", long_options,
				 NULL)) != -1) {
		if (id == 'h' || id == OPT_HELP)
			action = ACTION_HELP;
		else if (id == OPT_VERSION)
			action = ACTION_VERSION;
		else
			parse_one(opt, id, argc, argv,
				  out->status ? &later : out);
	}
	while (optind < argc)
		parse_positional(opt, argv[optind++],
				 out->status ? &later : out);
	return action;
}

enum action options_parse(struct options *opt, int argc, char **argv,
			  struct outcome *out)
{
	enum action action;

	*opt = (struct options){
		.geo = {
			.chunks = 1024,
			.chunk_size = 4096,
			.threads = 1,
			.iodepth = 1,
		},
		.seed = fresh_seed(),
	};
	action = parse_words(opt, argc, argv, out);
	if (action == ACTION_RUN && !out->status)
		validate(opt, out);
	return action;
}
