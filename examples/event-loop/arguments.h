/* What the example is asked to do. */
#pragma once

#include <stdint.h>

struct arguments {
    const char *conninfo, *statement;
    uint32_t requests;  /* in all */
    uint32_t in_flight; /* at once */
    int32_t connections;
    int32_t acquire_timeout_ms, statement_timeout_ms;
};

enum { ARGUMENTS_E_HELP = 1, ARGUMENTS_E_WRONG = 2 };

/* Texts are argv's. */
int arguments_parse(struct arguments *arguments, int argc, char *const argv[]);
