/* What the server allows: asked once a server, on a new connection before anybody has it. */
#include <stdlib.h>

#include "shim/pool/house.h"
#include "shim/session/exchange.h"

/* reserved_connections exists since version 16. */
static const char limits_query[] =
    "SELECT current_setting('max_connections'),"
    " current_setting('superuser_reserved_connections')::int"
    " + coalesce(current_setting('reserved_connections', true), '0')::int,"
    " (SELECT rolconnlimit FROM pg_catalog.pg_roles WHERE rolname = current_user),"
    " (SELECT datconnlimit FROM pg_catalog.pg_database WHERE datname = current_database())";

static int32_t limit_of(const PGresult *result, int column)
{
    return PQgetisnull(result, 0, column) ? -1 : (int32_t)atoi(PQgetvalue(result, 0, column));
}

void limits_ask(struct slot *slot, uint64_t deadline_ns)
{
    struct weir_pool *pool = slot->pool;
    struct server_limits limits;
    PGresult *result = NULL;
    bool was_asked;

    pool_lock(pool);
    was_asked = pool->is_limits_asked;
    pool->is_limits_asked = true;
    pool_unlock(pool);
    /* What fails here (a pooler in between, a role without rights) leaves them unknown. */
    if (was_asked ||
        exchange_command(slot, limits_query, deadline_ns, (const void *)limits_ask, &result, NULL))
        return;
    if (PQntuples(result) == 1 && PQnfields(result) == 4) {
        limits = (struct server_limits){limit_of(result, 0), limit_of(result, 1),
                                        limit_of(result, 2), limit_of(result, 3)};
        pool_lock(pool);
        pool->limits = limits;
        pool_unlock(pool);
    }
    PQclear(result);
}
