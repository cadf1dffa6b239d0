#include "shim/preload/attempt.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "shim/preload/guard.h"
#include "shim/preload/observe.h"

/* Connections that no pool told us about have one stand-in. */
static _Atomic(struct weir_probe_pool *) stand_in;

static void identify(const struct libpq *libpq)
{
    char library[32];
    struct weir_probe_identity identity = {
        .size = sizeof(identity), .shim_name = "preload", .library = library};
    unsigned version = libpq->version;

    if (version >= 100000)
        (void)snprintf(library, sizeof(library), "libpq %u.%u", version / 10000, version % 10000);
    else
        (void)snprintf(library, sizeof(library), "libpq %u.%u.%u", version / 10000,
                       version / 100 % 100, version % 100);
    weir_probe_identify(&identity);
}

static struct weir_probe_pool *stand_in_open(const struct libpq *libpq)
{
    struct weir_probe_pool_opts opts = {.size = sizeof(opts)};
    struct weir_probe_pool *pool;

    guard_lock();
    pool = atomic_load_explicit(&stand_in, memory_order_relaxed);
    if (!pool) {
        identify(libpq);
        pool = weir_probe_pool_open(&opts);
        atomic_store_explicit(&stand_in, pool, memory_order_release);
    }
    guard_unlock();
    return pool;
}

static struct weir_probe_connection *connection_begin(const struct libpq *libpq,
                                                      const struct target *at)
{
    struct weir_probe_pool *pool = atomic_load_explicit(&stand_in, memory_order_acquire);
    struct weir_probe_target target = {
        .size = sizeof(target),
        .address = at->address,
        .port = (uint16_t)strtoul(at->port, NULL, 10),
        .database = at->database,
    };

    if (!pool)
        pool = stand_in_open(libpq);
    return weir_probe_connect_begin(pool, &target);
}

struct attempt *attempt_new(const struct libpq *libpq)
{
    struct attempt *attempt = calloc(1, sizeof(*attempt));

    if (!attempt)
        return NULL;
    attempt->libpq = libpq;
    target_of_environment(&attempt->target);
    return attempt;
}

struct attempt *attempt_free(struct attempt *attempt)
{
    free(attempt);
    return NULL;
}

void attempt_begin(struct attempt *attempt)
{
    attempt->connection = connection_begin(attempt->libpq, &attempt->target);
}

void attempt_correct(struct attempt *attempt, const PGconn *conn)
{
    struct target target;

    if (!target_of_connection(attempt->libpq, conn, &target) ||
        target_equal(&target, &attempt->target))
        return;
    weir_probe_connection_close(attempt->connection, WEIR_FAILURE_NONE,
                                NULL); /* not open: nothing is recorded */
    attempt->target = target;
    attempt_begin(attempt);
}

struct session *attempt_adopt(struct attempt *attempt, PGconn *conn)
{
    struct session *session, *old = NULL;

    if (conn)
        attempt_correct(attempt, conn);
    session = conn && attempt->connection ? session_new(attempt->libpq, attempt->connection) : NULL;
    if (session && connections_add(conn, session, &old)) {
        if (old)
            session_free(old, WEIR_FAILURE_NONE);
        return session;
    }
    weir_probe_connection_close(attempt->connection, WEIR_FAILURE_NONE, NULL);
    if (session) {
        session->connection = NULL;
        session_free(session, WEIR_FAILURE_NONE);
    }
    return NULL;
}

void attempt_end(struct session *session, const PGconn *conn)
{
    const struct libpq *libpq = session->libpq;
    struct weir_probe_connect_result result = {.size = sizeof(result),
                                               .library_version = libpq->version};

    if (!session->is_connecting)
        return;
    session->is_connecting = false;
    if (libpq->PQstatus && libpq->PQstatus(conn) != CONNECTION_OK)
        result.failure = WEIR_FAILURE_CONNECT_FAILED;
    else if (libpq->PQbackendPID)
        result.backend_pid = (uint32_t)libpq->PQbackendPID(conn);
    observe_yes(libpq->version);
    weir_probe_connect_end(session->connection, &result);
}

void attempt_give_up(struct session *session)
{
    struct weir_probe_connect_result result = {.size = sizeof(result),
                                               .failure = WEIR_FAILURE_ABANDONED};

    if (!session->is_connecting)
        return;
    session->is_connecting = false;
    weir_probe_connect_end(session->connection, &result);
}
