/* Prepared statements on a server: kept, bounded, and found again when somebody took them away. */
#include "statement_test.h"

static struct held held;

enum { KEPT = 3 };

static int setup(void **state)
{
    struct weir_pool_opts opts = pool_opts("preparing", 0, 1);

    (void)state;
    opts.prepared_max = KEPT;
    held = held_open(&opts, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    held_close(&held);
    return 0;
}

/* Executed as a prepared one. */
static long prepared(const char *sql)
{
    struct weir_statement_opts opts = {.size = sizeof(opts), .is_prepared = 1};
    PGresult *result = NULL;
    long value;

    CHECK(weir_execute(held.connection, sql, &opts, &result, &error));
    assert_int_equal(PQntuples(result), 1);
    value = strtol(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    return value;
}

static long on_server(void)
{
    return number(held.connection,
                  "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'weir\\_%'");
}

static long plans(const char *sql)
{
    char query[300];

    (void)snprintf(query, sizeof(query),
                   "SELECT coalesce(sum(generic_plans + custom_plans), 0)"
                   " FROM pg_prepared_statements WHERE statement = '%s'",
                   sql);
    return number(held.connection, query);
}

static void kept_and_used_again(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        assert_int_equal(prepared("SELECT 11"), 11);
    assert_int_equal(on_server(), 1);
    assert_int_equal(plans("SELECT 11"), 5);
    /* Also by the next holder: a release that has nothing to undo leaves them. */
    held_again(&held);
    assert_int_equal(prepared("SELECT 11"), 11);
    assert_int_equal(plans("SELECT 11"), 6);
}

static void by_types_of_parameters(void **state)
{
    static const char *const values[] = {"41"};
    static const Oid int4[] = {23}, text[] = {25};
    struct weir_statement_opts opts = {
        .size = sizeof(opts), .is_prepared = 1, .count = 1, .values = values, .types = int4};
    PGresult *result = NULL;

    (void)state;
    CHECK(weir_execute(held.connection, "SELECT $1", &opts, &result, &error));
    assert_int_equal(PQftype(result, 0), 23);
    PQclear(result);
    opts.types = text;
    CHECK(weir_execute(held.connection, "SELECT $1", &opts, &result, &error));
    assert_int_equal(PQftype(result, 0), 25);
    PQclear(result);
    assert_int_equal(on_server(), 3);
}

static void bounded(void **state)
{
    char sql[64];

    (void)state;
    for (int i = 0; i < 50; i++) {
        (void)snprintf(sql, sizeof(sql), "SELECT %d", 100 + i);
        assert_int_equal(prepared(sql), 100 + i);
        assert_in_range(on_server(), 1, KEPT);
    }
    assert_int_equal(on_server(), KEPT);
    /* In a failed transaction nothing can be deallocated: later. */
    run(held.connection, "BEGIN");
    refused(held.connection, "SELECT 1/0", NULL, WEIR_ERROR_DATA, "22012");
    refused(
        held.connection, "SELECT 777",
        &(struct weir_statement_opts){.size = sizeof(struct weir_statement_opts), .is_prepared = 1},
        WEIR_ERROR_TRANSACTION, "25P02");
    run(held.connection, "ROLLBACK");
    assert_int_equal(prepared("SELECT 778"), 778);
    assert_int_equal(prepared("SELECT 779"), 779);
    assert_in_range(on_server(), 1, KEPT);
}

static void taken_away(void **state)
{
    static const char *const takers[] = {
        "DEALLOCATE ALL", "DISCARD ALL",
        "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$", /* nobody can see this one */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(takers) / sizeof(takers[0]); i++) {
        assert_int_equal(prepared("SELECT 12"), 12);
        run(held.connection, takers[i]);
        assert_int_equal(on_server(), 0);
        assert_int_equal(prepared("SELECT 12"), 12);
        assert_int_equal(on_server(), 1);
        assert_int_equal(prepared("SELECT 12"), 12);
    }
    /* By libweir's own statements in a transaction, too: the tag said it. */
    run(held.connection, "BEGIN");
    run(held.connection, "DEALLOCATE ALL");
    assert_int_equal(prepared("SELECT 12"), 12);
    run(held.connection, "COMMIT");
}

static void taken_away_directly(void **state)
{
    PGconn *conn;

    (void)state;
    assert_int_equal(prepared("SELECT 13"), 13);
    conn = weir_connection_pgconn(held.connection);
    PQclear(PQexec(conn, "DEALLOCATE ALL"));
    assert_int_equal(prepared("SELECT 13"), 13);
    /* A transaction would not survive the finding out: it is not tried. */
    PQclear(PQexec(conn, "DEALLOCATE ALL"));
    CHECK(weir_transaction_begin(held.connection, NULL, &error));
    assert_int_equal(prepared("SELECT 13"), 13);
    CHECK(weir_transaction_commit(held.connection, &error));
    held_again(&held); /* DISCARD ALL */
    assert_int_equal(prepared("SELECT 13"), 13);
    assert_int_equal(on_server(), 1);
}

/* A table that changed since: the plan's result may not, so it is prepared anew. */
static void changed_columns(void **state)
{
    PGresult *result = NULL;
    struct weir_statement_opts opts = {.size = sizeof(opts), .is_prepared = 1};

    (void)state;
    run(held.connection, "CREATE TABLE growing (a int)");
    CHECK(weir_execute(held.connection, "SELECT * FROM growing", &opts, NULL, &error));
    run(held.connection, "ALTER TABLE growing ADD b int");
    CHECK(weir_execute(held.connection, "SELECT * FROM growing", &opts, &result, &error));
    assert_int_equal(PQnfields(result), 2);
    PQclear(result);
    run(held.connection, "DROP TABLE growing");
    refused(held.connection, "SELECT * FROM growing", &opts, WEIR_ERROR_SYNTAX, "42P01");
}

static void what_cannot_be_prepared(void **state)
{
    struct weir_statement_opts opts = {.size = sizeof(opts), .is_prepared = 1};

    (void)state;
    refused(held.connection, "SELEC 1", &opts, WEIR_ERROR_SYNTAX, "42601");
    refused(held.connection, "SELECT 1; SELECT 2", &opts, WEIR_ERROR_SYNTAX, "42601");
    assert_int_equal(prepared("SELECT 14"), 14);
}

static void without_a_cache(void **state)
{
    struct weir_pool_opts opts = pool_opts("uncached", 0, 1);
    struct weir_statement_opts statement = {.size = sizeof(statement), .is_prepared = 1};
    struct held other;

    (void)state;
    opts.prepared_max = 0;
    other = held_open(&opts, NULL);
    CHECK(weir_execute(other.connection, "SELECT 1", &statement, NULL, &error));
    assert_int_equal(number(other.connection, "SELECT count(*) FROM pg_prepared_statements"), 0);
    held_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_and_used_again),
        cmocka_unit_test(by_types_of_parameters),
        cmocka_unit_test(bounded),
        cmocka_unit_test(taken_away),
        cmocka_unit_test(taken_away_directly),
        cmocka_unit_test(changed_columns),
        cmocka_unit_test(what_cannot_be_prepared),
        cmocka_unit_test(without_a_cache),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
