/* The shop's command line. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct arguments {
    char host[64];
    uint16_t port;
    const char *config;  /* the manager's file */
    const char *secrets; /* directory with a file POOL.password for each pool; NULL: none */
    unsigned threads;
    int32_t drain_delay_ms, drain_timeout_ms;
    bool has_drill;
};

enum {
    ARGUMENTS_E_HELP = 1,  /* help was asked for, and printed */
    ARGUMENTS_E_WRONG = 2, /* what is wrong was printed */
};

/* Texts of *@arguments are argv's. */
int arguments_parse(struct arguments *arguments, int argc, char *const argv[]);
