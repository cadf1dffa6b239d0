/* Where a pool connects to: the hosts of its conninfo, tried one after the other with a share of
 * the time each, since one that does not answer must not use up the time of the next. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "include/weir/error.h"

enum { TARGET_HOSTS_MAX = 16 };

struct target_host {
    char *host, *hostaddr, *port; /* NULL: as libpq decides */
};

struct target {
    struct target *older; /* those that it took the place of: they live as long as the pool */
    char *conninfo;
    unsigned count; /* at least 1 */
    struct target_host hosts[TARGET_HOSTS_MAX];
    char *database;
    bool prefers_standby; /* two rounds: a standby, then any */
};

/* From a conninfo that options_check() accepted, with libpq's environment and defaults. */
int target_new(const char *conninfo, struct target **ret_target, struct weir_error **ret_error);
/* With all that are older. NULL is fine. */
struct target *target_free(struct target *target);
