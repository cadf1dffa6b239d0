/* What the tests of statements share: a pool with one connection that is held. */
#pragma once

#include <stdbool.h>

#include "pool_test.h"
#include "weir/transaction.h"

struct held {
    struct pool_fixture fixture;
    struct weir_connection *connection;
};

static inline struct weir_connection *acquire_from(struct weir_pool *pool)
{
    struct weir_connection *connection = NULL;

    CHECK(weir_pool_acquire(pool, NULL, &connection, &error));
    return connection;
}

static inline struct held held_open(const struct weir_pool_opts *opts,
                                    const struct weir_manager_opts *manager_opts)
{
    struct held held = {.fixture = pool_fixture_open(opts, manager_opts)};

    held.connection = acquire_from(held.fixture.pool);
    return held;
}

static inline void held_close(struct held *held)
{
    if (held->connection)
        assert_int_equal(weir_connection_release(held->connection), 0);
    pool_fixture_close(&held->fixture);
}

/* Gives the connection back and takes it again, once what the release had to undo is undone. */
static inline void held_again(struct held *held)
{
    assert_int_equal(weir_connection_release(held->connection), 0);
    held->connection = acquire_from(held->fixture.pool);
}

static inline void run(struct weir_connection *connection, const char *sql)
{
    CHECK(weir_execute(connection, sql, NULL, NULL, &error));
}

/* The only value of the result, as a number. */
static inline long number(struct weir_connection *connection, const char *sql)
{
    PGresult *result = NULL;
    long value;

    CHECK(weir_execute(connection, sql, NULL, &result, &error));
    assert_int_equal(PQresultStatus(result), PGRES_TUPLES_OK);
    assert_int_equal(PQntuples(result), 1);
    value = strtol(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    return value;
}

static inline void text_of(struct weir_connection *connection, const char *sql, char text[256])
{
    PGresult *result = NULL;

    CHECK(weir_execute(connection, sql, NULL, &result, &error));
    assert_int_equal(PQntuples(result), 1);
    (void)snprintf(text, 256, "%s", PQgetvalue(result, 0, 0));
    PQclear(result);
}

/* Fails as it must, and says so. */
static inline void refused(struct weir_connection *connection, const char *sql,
                           const struct weir_statement_opts *opts,
                           enum weir_error_category category, const char *sqlstate)
{
    struct weir_error *error = NULL;
    PGresult *result = NULL;
    int r = weir_execute(connection, sql, opts, &result, &error);

    if (r != (int)category || weir_error_category(error) != category ||
        strcmp(weir_error_sqlstate(error), sqlstate) != 0)
        fail_msg("%s: %d, %s %s: %s", sql ? sql : "NULL", r,
                 weir_error_category_name(weir_error_category(error)), weir_error_sqlstate(error),
                 weir_error_message(error));
    assert_null(result);
    assert_string_not_equal(weir_error_message(error), "");
    weir_error_free(error);
}

/* A call failed as it must. Ends the error, so that the next one can be expected. */
static inline void expect(int r, enum weir_error_category category, struct weir_error **error)
{
    if (r != (int)category || weir_error_category(*error) != category)
        fail_msg("%d, %s: %s", r, weir_error_category_name(weir_error_category(*error)),
                 weir_error_message(*error));
    weir_error_free(*error);
    *error = NULL;
}
