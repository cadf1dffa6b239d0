/* Where a connection goes: before libpq has said so, as far as the caller's own words tell, and
 * afterwards. */
#pragma once

#include "shim/preload/libpq.h"

struct target {
    char address[256];
    char port[8];
    char database[128];
};

/* What the environment says. */
void target_of_environment(struct target *ret);
void target_add_params(const struct libpq *libpq, const char *const *keywords,
                       const char *const *values, int expand_dbname, struct target *target);
void target_add_conninfo(const struct libpq *libpq, const char *conninfo, struct target *target);
void target_add_login(const struct libpq *libpq, const char *host, const char *port,
                      const char *database, const char *login, struct target *target);
/* What libpq made of it. False: it does not say. */
bool target_of_connection(const struct libpq *libpq, const PGconn *conn, struct target *ret);
bool target_equal(const struct target *a, const struct target *b);
