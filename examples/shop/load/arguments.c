#include "arguments.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECONDS_MAX = 86400, THREADS_MAX = 512 };

static const char help_text[] =
    "shop-load: customers of the shop\n"
    "\n"
    "  shop-load [OPTION]... URL...\n"
    "    URL               a copy of the shop: http://127.0.0.1:8080; requests go to those copies\n"
    "                      that answer 200 at /readyz, which each is asked ten times a second\n"
    "    --seconds N       how long (10)\n"
    "    --threads N       customers at once (8)\n"
    "    --rate R          requests a second of all together (as fast as answers come)\n"
    "    --tenants A,B,C   whose customers they are (acme,globex,initech)\n"
    "    --help            this text\n"
    "\n"
    "Prints one JSON object: requests, failed with reasons, conflicts (409: sold out), p50_ms,\n"
    "p99_ms, and how many requests each copy got. A request fails if its connection does, or with\n"
    "any other answer than 200, 201 and 409. Nothing is tried again. SIGTERM and SIGINT end it\n"
    "before its time.\n";

static int wrong(const char *option, const char *text, const char *wanted)
{
    (void)fprintf(stderr, "shop-load: %s wants %s, not '%s'\n", option, wanted, text);
    return ARGUMENTS_E_WRONG;
}

static int count_parse(const char *option, const char *text, unsigned most, unsigned *ret)
{
    char *end;
    unsigned long number;

    errno = 0;
    number = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || number < 1 || number > most)
        return wrong(option, text, "a whole number of at least 1");
    *ret = (unsigned)number;
    return 0;
}

static int rate_parse(const char *text, double *ret)
{
    char *end;

    *ret = strtod(text, &end);
    if (end == text || *end || !(*ret > 0) || *ret > 1e6)
        return wrong("--rate", text, "a number above 0 and at most a million");
    return 0;
}

static int tenants_parse(struct arguments *arguments, char *text)
{
    char *rest = NULL;

    arguments->tenants_count = 0;
    for (char *name = strtok_r(text, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
        if (arguments->tenants_count == TENANTS_MAX)
            return wrong("--tenants", text, "at most 16 names");
        arguments->tenants[arguments->tenants_count++] = name;
    }
    return arguments->tenants_count ? 0 : wrong("--tenants", text, "names with commas between");
}

static int option_take(struct arguments *arguments, int option)
{
    switch (option) {
    case 's':
        return count_parse("--seconds", optarg, SECONDS_MAX, &arguments->seconds);
    case 't':
        return count_parse("--threads", optarg, THREADS_MAX, &arguments->threads);
    case 'r':
        return rate_parse(optarg, &arguments->rate);
    case 'n':
        return tenants_parse(arguments, optarg);
    case 'h':
        (void)fputs(help_text, stdout);
        return ARGUMENTS_E_HELP;
    default: /* getopt has said what is wrong */
        (void)fputs("shop-load: --help tells what there is\n", stderr);
        return ARGUMENTS_E_WRONG;
    }
}

int arguments_parse(struct arguments *arguments, int argc, char *argv[])
{
    static const struct option options[] = {
        {"seconds", required_argument, NULL, 's'}, {"threads", required_argument, NULL, 't'},
        {"rate", required_argument, NULL, 'r'},    {"tenants", required_argument, NULL, 'n'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
    };
    static char acme[] = "acme", globex[] = "globex", initech[] = "initech";
    int option, r;

    *arguments = (struct arguments){
        .seconds = 10, .threads = 8, .tenants = {acme, globex, initech}, .tenants_count = 3};
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        r = option_take(arguments, option);
        if (r)
            return r;
    }
    arguments->urls = argv + optind;
    arguments->urls_count = (size_t)(argc - optind);
    if (arguments->urls_count >= 1 && arguments->urls_count <= URLS_MAX)
        return 0;
    (void)fprintf(stderr, "shop-load: 1 to %d URLs are wanted; --help tells more\n", URLS_MAX);
    return ARGUMENTS_E_WRONG;
}
