/* shop-load's command line. */
#pragma once

#include <stddef.h>

enum { URLS_MAX = 16, TENANTS_MAX = 16 };

struct arguments {
    unsigned seconds, threads;
    double rate; /* requests a second of all threads together; 0: as fast as answers come */
    char *tenants[TENANTS_MAX];
    size_t tenants_count;
    char *const *urls;
    size_t urls_count;
};

enum { ARGUMENTS_E_HELP = 1, ARGUMENTS_E_WRONG = 2 };

/* Texts are argv's. */
int arguments_parse(struct arguments *arguments, int argc, char *argv[]);
