#include "arguments.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS_MAX = 256, TIME_MAX_MS = 3600 * 1000 };

static const char help_text[] =
    "shop: a small shop of several tenants on PostgreSQL, to show libweir at work\n"
    "\n"
    "  shop [OPTION]...\n"
    "    --config FILE         the connection manager's file (shop.yaml); read again on SIGHUP\n"
    "    --listen HOST:PORT    where to serve HTTP (127.0.0.1:8080)\n"
    "    --threads N           requests served at once (16)\n"
    "    --secrets DIR         passwords: a file POOL.password for each pool, read at each "
    "connect\n"
    "    --drain-delay TIME    after SIGTERM: how long to serve on while /readyz says 503 (3s)\n"
    "    --drain-timeout TIME  then: how long requests may take to finish (10s)\n"
    "    --drill               serve /drill/...: faults on purpose\n"
    "    --help                this text\n"
    "\n"
    "A TIME is a whole number with ms or s. The server is found by libpq's variables (PGHOST, "
    "...)\n"
    "and the file. Exit codes: 0 drained, 1 failed or requests were cut, 2 wrong usage.\n";

static int wrong(const char *option, const char *text, const char *wanted)
{
    (void)fprintf(stderr, "shop: %s wants %s, not '%s'\n", option, wanted, text);
    return ARGUMENTS_E_WRONG;
}

/* A whole number of @text up to @end. */
static bool number_parse(const char *text, const char *end, long most, long *ret)
{
    char *stop;

    if (*text < '0' || *text > '9')
        return false;
    *ret = strtol(text, &stop, 10);
    return stop == end && *ret <= most;
}

static int time_parse(const char *option, const char *text, int32_t *ret_ms)
{
    size_t digits = strspn(text, "0123456789");
    const char *unit = text + digits;
    bool is_ms = strcmp(unit, "ms") == 0;
    long number;

    if ((!is_ms && strcmp(unit, "s") != 0) || !number_parse(text, unit, TIME_MAX_MS, &number) ||
        (!is_ms && number > TIME_MAX_MS / 1000))
        return wrong(option, text, "a time of at most an hour, like 500ms or 3s");
    *ret_ms = (int32_t)(is_ms ? number : number * 1000);
    return 0;
}

static int listen_parse(struct arguments *arguments, const char *text)
{
    const char *colon = strrchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : 0;
    long port;

    if (length == 0 || !number_parse(colon + 1, text + strlen(text), UINT16_MAX, &port) ||
        port == 0)
        return wrong("--listen", text, "an address and a port, like 127.0.0.1:8080");
    if (length > 2 && text[0] == '[' && text[length - 1] == ']') { /* IPv6 */
        text++;
        length -= 2;
    }
    if (length >= sizeof(arguments->host))
        return wrong("--listen", text, "a shorter address");
    memcpy(arguments->host, text, length);
    arguments->host[length] = 0;
    arguments->port = (uint16_t)port;
    return 0;
}

static int threads_parse(struct arguments *arguments, const char *text)
{
    long number;

    if (!number_parse(text, text + strlen(text), THREADS_MAX, &number) || number == 0)
        return wrong("--threads", text, "a number from 1 to 256");
    arguments->threads = (unsigned)number;
    return 0;
}

static int option_take(struct arguments *arguments, int option)
{
    switch (option) {
    case 'c':
        arguments->config = optarg;
        return 0;
    case 'l':
        return listen_parse(arguments, optarg);
    case 't':
        return threads_parse(arguments, optarg);
    case 's':
        arguments->secrets = optarg;
        return 0;
    case 'w':
        return time_parse("--drain-delay", optarg, &arguments->drain_delay_ms);
    case 'd':
        return time_parse("--drain-timeout", optarg, &arguments->drain_timeout_ms);
    case 'x':
        arguments->has_drill = true;
        return 0;
    case 'h':
        (void)fputs(help_text, stdout);
        return ARGUMENTS_E_HELP;
    default: /* getopt has said what is wrong */
        (void)fputs("shop: --help tells what there is\n", stderr);
        return ARGUMENTS_E_WRONG;
    }
}

int arguments_parse(struct arguments *arguments, int argc, char *const argv[])
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"listen", required_argument, NULL, 'l'},
        {"threads", required_argument, NULL, 't'},
        {"secrets", required_argument, NULL, 's'},
        {"drain-delay", required_argument, NULL, 'w'},
        {"drain-timeout", required_argument, NULL, 'd'},
        {"drill", no_argument, NULL, 'x'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option, r;

    *arguments = (struct arguments){
        .host = "127.0.0.1",
        .port = 8080,
        .config = "shop.yaml",
        .threads = 16,
        .drain_delay_ms = 3000,
        .drain_timeout_ms = 10000,
    };
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        r = option_take(arguments, option);
        if (r)
            return r;
    }
    if (optind < argc) {
        (void)fprintf(stderr, "shop: '%s' is one argument too many; --help tells what there is\n",
                      argv[optind]);
        return ARGUMENTS_E_WRONG;
    }
    return 0;
}
