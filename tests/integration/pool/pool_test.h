/* What the tests of libweir share: asking PostgreSQL on a connection of their own, awaiting. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "weir/manager.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED 1
#else
#define IS_SANITIZED 0
#endif

enum { AWAIT_MS = 20000 };

/* A condition that must come true; says which one did not. */
#define AWAIT(condition)                                                                           \
    do {                                                                                           \
        uint64_t await_until_ns = clock_monotonic_ns() + AWAIT_MS * NS_PER_MS;                     \
        int await_is_true;                                                                         \
        while (!(await_is_true = (condition)) && clock_monotonic_ns() < await_until_ns)            \
            (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);                         \
        if (!await_is_true)                                                                        \
            fail_msg("did not come true: %s", #condition);                                         \
    } while (0)

/* Calls that must not fail say why they did. */
#define CHECK(call)                                                                                \
    do {                                                                                           \
        struct weir_error *error = NULL;                                                           \
        int check_result = (call);                                                                 \
        if (check_result)                                                                          \
            fail_msg("%s: %d: %s", #call, check_result, weir_error_message(error));                \
    } while (0)

/* The server as the administrator sees it. */
static inline PGconn *admin_open(void)
{
    PGconn *admin = PQconnectdb("application_name=admin");

    if (PQstatus(admin) != CONNECTION_OK)
        fail_msg("%s", PQerrorMessage(admin));
    return admin;
}

static inline void admin_do(PGconn *admin, const char *sql)
{
    PGresult *result = PQexec(admin, sql);

    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(admin));
    PQclear(result);
}

static inline long admin_number(PGconn *admin, const char *sql)
{
    PGresult *result = PQexec(admin, sql);
    long number;

    if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1)
        fail_msg("%s: %s", sql, PQerrorMessage(admin));
    number = strtol(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    return number;
}

/* Connections that the server has for a pool whose conninfo names it as application_name. */
static inline long admin_connections(PGconn *admin, const char *name)
{
    char sql[200];

    (void)snprintf(sql, sizeof(sql),
                   "SELECT count(*) FROM pg_stat_activity WHERE application_name = '%s'", name);
    return admin_number(admin, sql);
}

static inline struct weir_pool_opts pool_opts(const char *name, int min, int max)
{
    struct weir_pool_opts opts;
    static __thread char conninfo[100];

    (void)snprintf(conninfo, sizeof(conninfo), "application_name=%s", name);
    weir_pool_opts_init(&opts, sizeof(opts));
    opts.name = name;
    opts.conninfo = conninfo;
    opts.connections_min = min;
    opts.connections_max = max;
    opts.learn_server = 0;
    return opts;
}

static inline struct weir_pool_stats pool_stats(struct weir_pool *pool)
{
    struct weir_pool_stats stats;

    weir_pool_stats_get(pool, &stats, sizeof(stats));
    return stats;
}

/* A manager and one pool in it. */
struct pool_fixture {
    struct weir_manager *manager;
    struct weir_pool *pool;
};

static inline struct pool_fixture pool_fixture_open(const struct weir_pool_opts *opts,
                                                    const struct weir_manager_opts *manager_opts)
{
    struct pool_fixture fixture = {0};

    CHECK(weir_manager_new(manager_opts, &fixture.manager, &error));
    CHECK(weir_pool_open(fixture.manager, opts, &fixture.pool, &error));
    return fixture;
}

static inline void pool_fixture_close(struct pool_fixture *fixture)
{
    fixture->pool = weir_pool_unref(fixture->pool);
    fixture->manager = weir_manager_unref(fixture->manager);
}
