#include "arguments.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char help_text[] =
    "weir-event-loop: many statements at once in one thread, by libweir and libuv\n"
    "\n"
    "  weir-event-loop [OPTION]...\n"
    "    --conninfo TEXT           where to connect (libpq's variables)\n"
    "    --statement SQL           what to execute (SELECT pg_sleep(0.01))\n"
    "    --requests N              how often (1000)\n"
    "    --in-flight N             how many at once (40)\n"
    "    --connections N           on how many connections at most (8)\n"
    "    --acquire-timeout-ms N    how long to wait for one (5000)\n"
    "    --statement-timeout-ms N  a statement's deadline (2000)\n"
    "    --help                    this text\n"
    "\n"
    "Prints one JSON object. SIGINT gives up what is under way. Exit codes: 0 each statement\n"
    "succeeded, 1 some failed, 2 wrong usage.\n";

static int number_parse(const char *option, long most, int32_t *ret)
{
    char *end;
    long number = strtol(optarg, &end, 10);

    if (*optarg < '0' || *optarg > '9' || *end || number < 1 || number > most) {
        (void)fprintf(stderr, "weir-event-loop: %s wants a whole number from 1 to %ld, not '%s'\n",
                      option, most, optarg);
        return ARGUMENTS_E_WRONG;
    }
    *ret = (int32_t)number;
    return 0;
}

static int option_take(struct arguments *arguments, int option)
{
    int32_t number = 0;
    int r;

    switch (option) {
    case 'c':
        arguments->conninfo = optarg;
        return 0;
    case 's':
        arguments->statement = optarg;
        return 0;
    case 'r':
        r = number_parse("--requests", 100000000, &number);
        arguments->requests = (uint32_t)number;
        return r;
    case 'f':
        r = number_parse("--in-flight", 10000, &number);
        arguments->in_flight = (uint32_t)number;
        return r;
    case 'n':
        return number_parse("--connections", 1000, &arguments->connections);
    case 'a':
        return number_parse("--acquire-timeout-ms", 3600000, &arguments->acquire_timeout_ms);
    case 't':
        return number_parse("--statement-timeout-ms", 3600000, &arguments->statement_timeout_ms);
    case 'h':
        (void)fputs(help_text, stdout);
        return ARGUMENTS_E_HELP;
    default: /* getopt has said what is wrong */
        (void)fputs("weir-event-loop: --help tells what there is\n", stderr);
        return ARGUMENTS_E_WRONG;
    }
}

int arguments_parse(struct arguments *arguments, int argc, char *const argv[])
{
    static const struct option options[] = {
        {"conninfo", required_argument, NULL, 'c'},
        {"statement", required_argument, NULL, 's'},
        {"requests", required_argument, NULL, 'r'},
        {"in-flight", required_argument, NULL, 'f'},
        {"connections", required_argument, NULL, 'n'},
        {"acquire-timeout-ms", required_argument, NULL, 'a'},
        {"statement-timeout-ms", required_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option, r;

    *arguments = (struct arguments){
        .conninfo = "",
        .statement = "SELECT pg_sleep(0.01)",
        .requests = 1000,
        .in_flight = 40,
        .connections = 8,
        .acquire_timeout_ms = 5000,
        .statement_timeout_ms = 2000,
    };
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        r = option_take(arguments, option);
        if (r)
            return r;
    }
    if (optind == argc)
        return 0;
    (void)fprintf(stderr, "weir-event-loop: '%s' is one argument too many; --help tells more\n",
                  argv[optind]);
    return ARGUMENTS_E_WRONG;
}
