/* What a holder leaves behind never reaches the next one: transactions, session state, results that
 * nobody read, modes of the protocol. */
#include <unistd.h>

#include "feature_test.h"

/* ---- session state --------------------------------------------------------------------------- */

/* A change of the session, and a question whose answer is "clean" without it. */
struct change {
    const char *name, *make, *look;
};

static const struct change changes[] = {
    {"SET", "SET work_mem = '1234kB'",
     "SELECT CASE WHEN current_setting('work_mem') = '1234kB' THEN 'dirty' ELSE 'clean' END"},
    {"set_config", "SELECT set_config('app.user', 'eve', false)",
     "SELECT CASE WHEN current_setting('app.user', true) = 'eve' THEN 'dirty' ELSE 'clean' END"},
    {"SET ROLE", "SET ROLE pg_monitor",
     "SELECT CASE WHEN current_user = 'pg_monitor' THEN 'dirty' ELSE 'clean' END"},
    {"SET SESSION AUTHORIZATION", "SET SESSION AUTHORIZATION guest",
     "SELECT CASE WHEN session_user = 'guest' THEN 'dirty' ELSE 'clean' END"},
    {"LISTEN", "LISTEN orders",
     "SELECT CASE WHEN count(*) > 0 THEN 'dirty' ELSE 'clean' END FROM pg_listening_channels()"},
    {"PREPARE", "PREPARE mine AS SELECT 1",
     "SELECT CASE WHEN count(*) > 0 THEN 'dirty' ELSE 'clean' END FROM pg_prepared_statements"
     " WHERE name = 'mine'"},
    {"temporary table", "CREATE TEMPORARY TABLE basket (item int)",
     "SELECT CASE WHEN to_regclass('pg_temp.basket') IS NOT NULL THEN 'dirty' ELSE 'clean' END"},
    {"temporary table by SELECT INTO", "SELECT 1 AS item INTO TEMP basket",
     "SELECT CASE WHEN to_regclass('pg_temp.basket') IS NOT NULL THEN 'dirty' ELSE 'clean' END"},
    {"advisory lock", "SELECT pg_advisory_lock(42)",
     "SELECT CASE WHEN count(*) > 0 THEN 'dirty' ELSE 'clean' END FROM pg_locks"
     " WHERE locktype = 'advisory' AND pid = pg_backend_pid()"},
    {"cursor WITH HOLD", "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
     "SELECT CASE WHEN count(*) > 0 THEN 'dirty' ELSE 'clean' END FROM pg_cursors WHERE name = "
     "'c'"},
};
enum { CHANGES = sizeof(changes) / sizeof(changes[0]) };

/* Makes the change, gives back, and looks at the same session again. */
static void expect_after_release(struct weir_pool *pool, const struct change *change,
                                 const char *expected)
{
    struct weir_connection *connection = hold(pool);
    uint32_t pid = weir_connection_backend_pid(connection);
    char found[32];

    run(connection, change->make);
    assert_string_equal(ask(connection, change->look), "dirty");
    give_back(connection);
    connection = hold(pool);
    (void)snprintf(found, sizeof(found), "%s", ask(connection, change->look));
    if (strcmp(found, expected) != 0)
        fail_msg("%s: %s, not %s", change->name, found, expected);
    if (weir_connection_backend_pid(connection) != pid)
        fail_msg("%s: the connection was replaced, not reset", change->name);
    give_back(connection);
}

static void state_is_undone(const char *name, int32_t policy)
{
    struct weir_pool_opts opts = pool_opts(name, 0, 1);
    struct pool_fixture fixture;
    PGconn *admin = admin_open();

    opts.reset = policy;
    admin_do(admin, "CREATE ROLE guest");
    fixture = pool_fixture_open(&opts, NULL);
    for (unsigned i = 0; i < CHANGES; i++)
        expect_after_release(fixture.pool, &changes[i], "clean");
    assert_true(pool_stats(fixture.pool).reset >= CHANGES);
    pool_fixture_close(&fixture);
    admin_do(admin, "DROP ROLE guest");
    PQfinish(admin);
}

static void what_statements_changed_is_undone(void **state)
{
    (void)state;
    state_is_undone("reset-changed", WEIR_RESET_CHANGED);
}

static void everything_is_undone_each_time(void **state)
{
    (void)state;
    state_is_undone("reset-all", WEIR_RESET_ALL);
}

static void a_list_is_run_and_no_more(void **state)
{
    struct weir_pool_opts opts = pool_opts("reset-list", 0, 1);
    struct pool_fixture fixture;

    (void)state;
    opts.reset = WEIR_RESET_LIST;
    opts.reset_statements = "RESET work_mem; UNLISTEN *";
    fixture = pool_fixture_open(&opts, NULL);
    expect_after_release(fixture.pool, &changes[0], "clean");
    expect_after_release(fixture.pool, &changes[4], "clean");
    expect_after_release(fixture.pool, &changes[1], "dirty");
    expect_after_release(fixture.pool, &changes[5], "dirty");
    pool_fixture_close(&fixture);
}

static void nothing_is_undone_but_transactions(void **state)
{
    struct weir_pool_opts opts = pool_opts("reset-nothing", 0, 1);
    struct weir_connection *connection;
    struct pool_fixture fixture;

    (void)state;
    opts.reset = WEIR_RESET_NOTHING;
    fixture = pool_fixture_open(&opts, NULL);
    expect_after_release(fixture.pool, &changes[0], "dirty");
    expect_after_release(fixture.pool, &changes[4], "dirty");
    connection = hold(fixture.pool);
    run(connection, "BEGIN");
    give_back(connection);
    connection = hold(fixture.pool);
    assert_int_equal(PQtransactionStatus(weir_connection_pgconn(connection)), PQTRANS_IDLE);
    give_back(connection);
    pool_fixture_close(&fixture);
}

static void no_round_trip_where_nothing_changed(void **state)
{
    struct weir_pool_opts opts = pool_opts("unchanged", 0, 1);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_connection *connection = hold(fixture.pool);
    uint32_t pid = weir_connection_backend_pid(connection);
    struct weir_statement_opts prepared = {.size = sizeof(prepared), .is_prepared = 1};
    PGconn *admin = admin_open();
    long word;

    (void)state;
    run(connection, "BEGIN");
    run(connection, "CREATE TABLE unchanged (n int)");
    run(connection, "INSERT INTO unchanged SELECT generate_series(1, 10)");
    run(connection, "COMMIT");
    assert_string_equal(ask(connection, "SELECT sum(n) FROM unchanged"), "55");
    CHECK(weir_execute(connection, "SELECT 1", &prepared, NULL, &error));
    run(connection, "DROP TABLE unchanged");
    word = admin_last_word(admin, pid);
    give_back(connection);
    for (unsigned i = 0; i < 10; i++)
        give_back(hold(fixture.pool));
    assert_int_equal(admin_last_word(admin, pid), word);
    assert_int_equal(pool_stats(fixture.pool).reset, 0);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

static void many_changes_are_undone_together(void **state)
{
    struct weir_pool_opts opts = pool_opts("together", 0, 1);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_connection *connection;

    (void)state;
    connection = hold(fixture.pool);
    for (unsigned i = 0; i < CHANGES; i++)
        if (i != 3 && i != 7) /* a session of a guest may not do the rest; one basket is enough */
            run(connection, changes[i].make);
    give_back(connection);
    AWAIT(pool_stats(fixture.pool).idle == 1);
    assert_int_equal(pool_stats(fixture.pool).reset, 1);
    connection = hold(fixture.pool);
    for (unsigned i = 0; i < CHANGES; i++)
        if (i != 3 && i != 7)
            assert_string_equal(ask(connection, changes[i].look), "clean");
    give_back(connection);
    pool_fixture_close(&fixture);
}

/* DISCARD ALL takes the server's prepared statements away: the cache must know. */
static void prepared_statements_survive_every_policy(void **state)
{
    static const int32_t policies[] = {WEIR_RESET_CHANGED, WEIR_RESET_ALL, WEIR_RESET_LIST,
                                       WEIR_RESET_NOTHING};
    struct weir_statement_opts prepared = {.size = sizeof(prepared), .is_prepared = 1};

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct weir_pool_opts opts = pool_opts("prepared", 0, 1);
        struct pool_fixture fixture;
        opts.reset = policies[i];
        opts.reset_statements = "DEALLOCATE ALL";
        fixture = pool_fixture_open(&opts, NULL);
        for (unsigned round = 0; round < 3; round++) {
            struct weir_connection *connection = hold(fixture.pool);
            CHECK(weir_execute(connection, "SELECT 'prepared'", &prepared, NULL, &error));
            CHECK(weir_execute(connection, "SELECT 'prepared'", &prepared, NULL, &error));
            run(connection, "SET work_mem = '1234kB'");
            run(connection, "PREPARE mine AS SELECT 1");
            run(connection, "DEALLOCATE ALL");
            CHECK(weir_execute(connection, "SELECT 'prepared'", &prepared, NULL, &error));
            give_back(connection);
        }
        pool_fixture_close(&fixture);
    }
}

/* ---- transactions ---------------------------------------------------------------------------- */

static void open_transactions_are_rolled_back_and_reported(void **state)
{
    static const char *const left[] = {
        "INSERT INTO orders VALUES (77)", "SELECT 77/0", /* the transaction has failed */
    };
    struct log_book book = LOG_BOOK;
    struct weir_pool_opts opts = pool_opts("rollback", 0, 1);
    struct pool_fixture fixture = logged_open(&opts, &book);
    struct weir_acquire_opts acquire = within_ms(0);
    PGconn *admin = admin_open();

    (void)state;
    admin_do(admin, "CREATE TABLE orders (n int)");
    acquire.call_site = "shop.c:checkout";
    acquire.tenant = "acme";
    for (unsigned i = 0; i < 2; i++) {
        struct weir_connection *connection = hold_with(fixture.pool, &acquire);
        uint32_t pid = weir_connection_backend_pid(connection);
        struct note note;
        book.count = 0;
        run(connection, "BEGIN");
        (void)weir_execute(connection, left[i], NULL, NULL, NULL);
        give_back(connection);
        connection = hold(fixture.pool);
        assert_int_equal(weir_connection_backend_pid(connection), pid);
        assert_string_equal(ask(connection, "SELECT count(*) FROM orders"), "0");
        assert_int_equal(log_book_count(&book, WEIR_LOG_ROLLED_BACK), 1);
        note = log_book_find(&book, WEIR_LOG_ROLLED_BACK);
        assert_string_equal(note.pool, "rollback");
        assert_string_equal(note.call_site, "shop.c:checkout");
        assert_string_equal(note.tenant, "acme");
        assert_int_equal(note.backend_pid, pid);
        assert_int_equal(note.thread, gettid());
        assert_non_null(strstr(note.statement, i ? "SELECT" : "INSERT INTO orders"));
        assert_null(strstr(note.statement, "77")); /* no literal is told */
        give_back(connection);
    }
    assert_int_equal(pool_stats(fixture.pool).rolled_back, 2);
    admin_do(admin, "DROP TABLE orders");
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

/* ---- direct use of the connection ------------------------------------------------------------ */

/* Leaves something behind. */
typedef void (*leave_fn)(PGconn *conn);

static void leave_state(PGconn *conn)
{
    PQclear(PQexec(conn, "SET work_mem = '1234kB'"));
    PQclear(PQexec(conn, "LISTEN orders"));
}

static void leave_results(PGconn *conn)
{
    assert_int_equal(PQsendQuery(conn, "SELECT generate_series(1, 100000)"), 1);
}

static void leave_two_results(PGconn *conn)
{
    assert_int_equal(PQsendQuery(conn, "SELECT 1; SELECT 2"), 1);
    PQclear(PQgetResult(conn));
}

static void leave_single_rows(PGconn *conn)
{
    assert_int_equal(PQsendQuery(conn, "SELECT generate_series(1, 100000)"), 1);
    assert_int_equal(PQsetSingleRowMode(conn), 1);
    PQclear(PQgetResult(conn));
}

static void leave_running(PGconn *conn)
{
    assert_int_equal(PQsendQuery(conn, "SELECT pg_sleep(60)"), 1);
}

static void leave_transaction_running(PGconn *conn)
{
    PQclear(PQexec(conn, "BEGIN"));
    assert_int_equal(PQsendQuery(conn, "SELECT pg_sleep(60)"), 1);
}

static void leave_pipeline(PGconn *conn)
{
    assert_int_equal(PQenterPipelineMode(conn), 1);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(PQsendQueryParams(conn, "SELECT 1", 0, NULL, NULL, NULL, NULL, 0), 1);
    assert_int_equal(PQpipelineSync(conn), 1);
    PQclear(PQgetResult(conn));
}

static void leave_pipeline_without_sync(PGconn *conn)
{
    assert_int_equal(PQenterPipelineMode(conn), 1);
    assert_int_equal(PQsendQueryParams(conn, "SELECT 1", 0, NULL, NULL, NULL, NULL, 0), 1);
}

static void leave_empty_pipeline(PGconn *conn)
{
    assert_int_equal(PQenterPipelineMode(conn), 1);
}

static void leave_copy_in(PGconn *conn)
{
    PQclear(PQexec(conn, "COPY lines FROM STDIN"));
    assert_int_equal(PQputCopyData(conn, "1\n2\n", 4), 1);
}

static void leave_copy_out(PGconn *conn)
{
    PQclear(PQexec(conn, "COPY (SELECT generate_series(1, 100000)) TO STDOUT"));
}

static void leave_nonblocking(PGconn *conn)
{
    assert_int_equal(PQsetnonblocking(conn, 1), 0);
}

static void leave_broken(PGconn *conn)
{
    PQclear(PQexec(conn, "SELECT pg_terminate_backend(pg_backend_pid())"));
}

static const struct leftover {
    const char *name;
    leave_fn leave;
} leftovers[] = {
    {"state", leave_state},
    {"results", leave_results},
    {"two results", leave_two_results},
    {"single rows", leave_single_rows},
    {"a running statement", leave_running},
    {"a running statement in a transaction", leave_transaction_running},
    {"a pipeline", leave_pipeline},
    {"a pipeline without sync", leave_pipeline_without_sync},
    {"an empty pipeline", leave_empty_pipeline},
    {"COPY FROM", leave_copy_in},
    {"COPY TO", leave_copy_out},
    {"non-blocking mode", leave_nonblocking},
    {"a dead connection", leave_broken},
};
enum { LEFTOVERS = sizeof(leftovers) / sizeof(leftovers[0]) };

static void expect_clean(struct weir_connection *connection, const char *after)
{
    PGconn *conn;
    PGresult *result;

    assert_string_equal(ask(connection, changes[0].look), "clean");
    assert_string_equal(ask(connection, changes[4].look), "clean");
    assert_string_equal(ask(connection, "SELECT count(*) FROM lines"), "0");
    conn = weir_connection_pgconn(connection);
    if (PQtransactionStatus(conn) != PQTRANS_IDLE || PQpipelineStatus(conn) != PQ_PIPELINE_OFF ||
        PQisnonblocking(conn))
        fail_msg("after %s: transaction status %d, pipeline status %d, non-blocking %d", after,
                 PQtransactionStatus(conn), PQpipelineStatus(conn), PQisnonblocking(conn));
    result = PQexec(conn, "SELECT 'mine'");
    if (PQresultStatus(result) != PGRES_TUPLES_OK || strcmp(PQgetvalue(result, 0, 0), "mine") != 0)
        fail_msg("after %s: %s", after, PQerrorMessage(conn));
    PQclear(result);
}

static void leftovers_reach_nobody(const char *name, int32_t policy)
{
    struct weir_pool_opts opts = pool_opts(name, 0, 1);
    struct pool_fixture fixture;
    PGconn *admin = admin_open();

    opts.reset = policy;
    fixture = pool_fixture_open(&opts, NULL);
    admin_do(admin, "CREATE TABLE lines (n int)");
    for (unsigned i = 0; i < LEFTOVERS; i++) {
        struct weir_connection *connection = hold(fixture.pool);
        uint64_t begin_ns;
        leftovers[i].leave(weir_connection_pgconn(connection));
        begin_ns = clock_monotonic_ns();
        give_back(connection);
        if (elapsed_ms(begin_ns) >= LATE_MS)
            fail_msg("%s: release took %u ms", leftovers[i].name, elapsed_ms(begin_ns));
        connection = hold(fixture.pool);
        expect_clean(connection, leftovers[i].name);
        give_back(connection);
        AWAIT(admin_number(admin, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'"
                                  " AND query LIKE 'SELECT pg_sleep%'") == 0);
    }
    pool_fixture_close(&fixture);
    admin_do(admin, "DROP TABLE lines");
    PQfinish(admin);
}

static void leftovers_of_direct_use_reach_nobody(void **state)
{
    (void)state;
    leftovers_reach_nobody("leftovers", WEIR_RESET_CHANGED);
}

static void leftovers_of_direct_use_reach_nobody_with_all(void **state)
{
    (void)state;
    leftovers_reach_nobody("leftovers-all", WEIR_RESET_ALL);
}

/* The request to cancel may be there before its statement, and is sent again: nothing runs on. */
static void nothing_runs_on_after_its_release(void **state)
{
    struct weir_pool_opts opts = pool_opts("runs-on", 0, 4);
    struct pool_fixture fixture;
    PGconn *admin = admin_open();

    (void)state;
    opts.connect_rate_max = 1000;
    fixture = pool_fixture_open(&opts, NULL);
    for (unsigned i = 0; i < 100; i++) {
        struct weir_connection *connection = hold(fixture.pool);
        leave_running(weir_connection_pgconn(connection));
        give_back(connection);
    }
    AWAIT(admin_number(admin, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'"
                              " AND query LIKE 'SELECT pg_sleep%'") == 0);
    print_message("%lu of 100 connections were replaced\n",
                  (unsigned long)pool_stats(fixture.pool).closed);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void a_reset_that_takes_too_long_replaces_the_connection(void **state)
{
    struct weir_pool_opts opts = pool_opts("slow-reset", 0, 1);
    struct weir_connection *connection;
    struct pool_fixture fixture;
    PGconn *admin = admin_open();
    uint64_t begin_ns;
    uint32_t pid;

    (void)state;
    opts.reset = WEIR_RESET_LIST;
    opts.reset_statements = "SELECT pg_sleep(60)";
    opts.reset_timeout_ms = 200;
    fixture = pool_fixture_open(&opts, NULL);
    connection = hold(fixture.pool);
    pid = weir_connection_backend_pid(connection);
    begin_ns = clock_monotonic_ns();
    give_back(connection);
    connection = hold(fixture.pool);
    assert_in_range(elapsed_ms(begin_ns), 200, 1500);
    assert_int_not_equal(weir_connection_backend_pid(connection), pid);
    AWAIT(!admin_has(admin, pid));
    weir_connection_discard(connection);
    give_back(connection);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

static void a_discarded_connection_is_closed(void **state)
{
    struct weir_pool_opts opts = pool_opts("discard", 0, 1);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_connection *connection = hold(fixture.pool);
    uint32_t pid = weir_connection_backend_pid(connection);
    PGconn *admin = admin_open();

    (void)state;
    weir_connection_discard(connection);
    assert_int_equal(weir_execute(connection, "SELECT 1", NULL, NULL, NULL),
                     WEIR_ERROR_CONNECTION); /* not to be used again, not by its holder either */
    give_back(connection);
    AWAIT(!admin_has(admin, pid));
    connection = hold(fixture.pool);
    assert_int_not_equal(weir_connection_backend_pid(connection), pid);
    give_back(connection);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

/* libpq cannot write it down: the request fails, and is never served without its setting. */
static void a_setting_in_no_encoding_is_refused(void **state)
{
    struct weir_pool_opts opts = pool_opts("no-encoding", 1, 1);
    struct pool_fixture fixture;
    struct weir_setting setting = {"weir.tenant", "acme\xc3"};
    struct weir_acquire_opts acquire = {
        .size = sizeof(acquire), .settings = &setting, .settings_count = 1};
    struct weir_connection *connection;

    (void)state;
    fixture = pool_fixture_open(&opts, NULL);
    assert_int_equal(refusal(fixture.pool, &acquire, NULL), WEIR_ERROR_USAGE);
    setting.value = "acme";
    connection = hold_with(fixture.pool, &acquire);
    assert_string_equal(ask(connection, "SELECT current_setting('weir.tenant')"), "acme");
    give_back(connection);
    pool_fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_statements_changed_is_undone),
        cmocka_unit_test(everything_is_undone_each_time),
        cmocka_unit_test(a_list_is_run_and_no_more),
        cmocka_unit_test(nothing_is_undone_but_transactions),
        cmocka_unit_test(no_round_trip_where_nothing_changed),
        cmocka_unit_test(many_changes_are_undone_together),
        cmocka_unit_test(prepared_statements_survive_every_policy),
        cmocka_unit_test(open_transactions_are_rolled_back_and_reported),
        cmocka_unit_test(leftovers_of_direct_use_reach_nobody),
        cmocka_unit_test(leftovers_of_direct_use_reach_nobody_with_all),
        cmocka_unit_test(nothing_runs_on_after_its_release),
        cmocka_unit_test(a_reset_that_takes_too_long_replaces_the_connection),
        cmocka_unit_test(a_discarded_connection_is_closed),
        cmocka_unit_test(a_setting_in_no_encoding_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
