/* Errors of each kind, made for real on a server. */
#include "statement_test.h"

#include <pthread.h>

static struct held held;
static PGconn *admin;

static int setup(void **state)
{
    struct weir_pool_opts opts = pool_opts("errors", 0, 4);

    (void)state;
    admin = admin_open();
    admin_do(admin, "CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL"
                    " CONSTRAINT balance_not_negative CHECK (balance >= 0))");
    admin_do(admin, "INSERT INTO accounts SELECT i, 100 FROM generate_series(1, 4) i");
    admin_do(admin, "CREATE ROLE nobody");
    held = held_open(&opts, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    held_close(&held);
    PQfinish(admin);
    return 0;
}

static void one_statement_each(void **state)
{
    static const struct {
        const char *sql;
        enum weir_error_category category;
        const char *sqlstate;
    } expected[] = {
        {"SELEC 1", WEIR_ERROR_SYNTAX, "42601"},
        {"SELECT * FROM no_such_table", WEIR_ERROR_SYNTAX, "42P01"},
        {"SELECT 1/0", WEIR_ERROR_DATA, "22012"},
        {"SELECT 'x'::int", WEIR_ERROR_DATA, "22P02"},
        {"SELECT (SELECT id FROM accounts)", WEIR_ERROR_DATA, "21000"},
        {"INSERT INTO accounts VALUES (1, 1)", WEIR_ERROR_CONSTRAINT, "23505"},
        {"INSERT INTO accounts VALUES (9, NULL)", WEIR_ERROR_CONSTRAINT, "23502"},
        {"BEGIN READ ONLY; DELETE FROM accounts", WEIR_ERROR_PERMISSION, "25006"},
        {"SELECT 1", WEIR_ERROR_TRANSACTION, "25P02"},
        {"ROLLBACK; SAVEPOINT s", WEIR_ERROR_TRANSACTION, "25P01"},
        {"BEGIN; RELEASE SAVEPOINT s", WEIR_ERROR_TRANSACTION, "3B001"},
        {"ROLLBACK; EXECUTE no_such", WEIR_ERROR_OBJECT, "26000"},
        {"FETCH FROM no_such", WEIR_ERROR_OBJECT, "34000"},
        {"CREATE TABLE no_such_schema.t ()", WEIR_ERROR_OBJECT, "3F000"},
        {"DO $$ BEGIN RAISE EXCEPTION 'no'; END $$", WEIR_ERROR_RAISED, "P0001"},
        {"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'ZZ001'; END $$", WEIR_ERROR_SERVER,
         "ZZ001"},
        {"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE;"
         "SET transaction_isolation = 'none such'",
         WEIR_ERROR_DATA, "22023"},
        {"SELECT lo_open(1, 262144)", WEIR_ERROR_SYNTAX, "42704"},
        {"DROP ROLE postgres", WEIR_ERROR_LOCK, "55006"},
        {"DROP DATABASE no_such", WEIR_ERROR_OBJECT, "3D000"},
        {"COMMIT PREPARED 'no_such'", WEIR_ERROR_SYNTAX, "42704"},
        {"SELECT currval('accounts')", WEIR_ERROR_SYNTAX, "42809"},
        {"CREATE SEQUENCE s; SELECT currval('s')", WEIR_ERROR_OBJECT, "55000"},
        {"DO $$ BEGIN COMMIT; END $$; SELECT 1", WEIR_ERROR_TRANSACTION, "2D000"},
        {"SELECT 1; VACUUM", WEIR_ERROR_TRANSACTION, "25001"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        refused(held.connection, expected[i].sql, NULL, expected[i].category, expected[i].sqlstate);
    held_again(&held);
}

static void what_a_constraint_says(void **state)
{
    struct weir_error *error = NULL;

    (void)state;
    assert_int_equal(weir_execute(held.connection, "UPDATE accounts SET balance = -1 WHERE id = 1",
                                  NULL, NULL, &error),
                     WEIR_ERROR_CONSTRAINT);
    assert_string_equal(weir_error_constraint(error), "balance_not_negative");
    assert_string_equal(weir_error_table(error), "accounts");
    assert_non_null(strstr(weir_error_detail(error), "Failing row contains (1, -1)"));
    assert_true(weir_error_connection_survived(error));
    assert_false(weir_error_is_retryable(error));
    weir_error_free(error);
    error = NULL;
    assert_int_equal(
        weir_execute(held.connection, "INSERT INTO accounts VALUES (9, NULL)", NULL, NULL, &error),
        WEIR_ERROR_CONSTRAINT);
    assert_string_equal(weir_error_column(error), "balance");
    weir_error_free(error);
    /* Nobody has to want it. */
    assert_int_equal(weir_execute(held.connection, "SELECT 1/0", NULL, NULL, NULL),
                     WEIR_ERROR_DATA);
}

static void permission(void **state)
{
    (void)state;
    run(held.connection, "SET ROLE nobody");
    refused(held.connection, "SELECT * FROM accounts", NULL, WEIR_ERROR_PERMISSION, "42501");
    run(held.connection, "RESET ROLE");
    refused(held.connection, "SET ROLE no_such_role", NULL, WEIR_ERROR_DATA, "22023");
}

static void serialization(void **state)
{
    struct weir_connection *other = acquire_from(held.fixture.pool);
    struct weir_error *error = NULL;

    (void)state;
    run(held.connection, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM accounts");
    run(other, "UPDATE accounts SET balance = balance + 1 WHERE id = 1");
    assert_int_equal(weir_execute(held.connection,
                                  "UPDATE accounts SET balance = balance + 1 WHERE id = 1", NULL,
                                  NULL, &error),
                     WEIR_ERROR_SERIALIZATION);
    assert_string_equal(weir_error_sqlstate(error), "40001");
    assert_true(weir_error_is_retryable(error));
    weir_error_free(error);
    run(held.connection, "ROLLBACK");
    assert_int_equal(weir_connection_release(other), 0);
}

struct locker {
    struct weir_connection *connection;
    const char *sql;
    int category;
};

static void *locker_run(void *userdata)
{
    struct locker *locker = userdata;

    locker->category = weir_execute(locker->connection, locker->sql, NULL, NULL, NULL);
    return NULL;
}

static void deadlock(void **state)
{
    struct locker first = {acquire_from(held.fixture.pool),
                           "UPDATE accounts SET balance = 2 WHERE id = 2", -1};
    struct locker second = {acquire_from(held.fixture.pool),
                            "UPDATE accounts SET balance = 1 WHERE id = 1", -1};
    pthread_t thread;

    (void)state;
    run(first.connection, "SET deadlock_timeout = '50ms'; BEGIN");
    run(first.connection, "UPDATE accounts SET balance = 1 WHERE id = 1");
    run(second.connection, "SET deadlock_timeout = '50ms'; BEGIN");
    run(second.connection, "UPDATE accounts SET balance = 2 WHERE id = 2");
    assert_int_equal(pthread_create(&thread, NULL, locker_run, &first), 0);
    (void)locker_run(&second);
    if (second.category)
        run(second.connection, "ROLLBACK"); /* its lock goes to the first one */
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(first.category + second.category, WEIR_ERROR_DEADLOCK);
    assert_int_equal(weir_connection_release(first.connection), 0);
    assert_int_equal(weir_connection_release(second.connection), 0);
}

static void locks(void **state)
{
    struct weir_connection *other = acquire_from(held.fixture.pool);

    (void)state;
    run(other, "BEGIN; SELECT * FROM accounts WHERE id = 1 FOR UPDATE");
    refused(held.connection, "SELECT * FROM accounts WHERE id = 1 FOR UPDATE NOWAIT", NULL,
            WEIR_ERROR_LOCK, "55P03");
    run(held.connection, "SET lock_timeout = '20ms'");
    refused(held.connection, "SELECT * FROM accounts WHERE id = 1 FOR UPDATE", NULL,
            WEIR_ERROR_LOCK, "55P03");
    assert_int_equal(weir_connection_release(other), 0);
}

static void *cancel_later(void *userdata)
{
    char sql[128];

    (void)snprintf(
        sql, sizeof(sql),
        "SELECT count(*) FROM pg_stat_activity WHERE pid = %u AND wait_event = 'PgSleep'",
        *(uint32_t *)userdata);
    AWAIT(admin_number(admin, sql) == 1);
    (void)snprintf(sql, sizeof(sql), "SELECT pg_cancel_backend(%u)", *(uint32_t *)userdata);
    admin_do(admin, sql);
    return NULL;
}

static void cancelled_by_others(void **state)
{
    uint32_t pid = weir_connection_backend_pid(held.connection);
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, cancel_later, &pid), 0);
    refused(held.connection, "SELECT pg_sleep(30)", NULL, WEIR_ERROR_CANCELLED, "57014");
    assert_int_equal(pthread_join(thread, NULL), 0);
    /* The server's own deadline is not ours. */
    run(held.connection, "SET statement_timeout = '30ms'");
    refused(held.connection, "SELECT pg_sleep(30)", NULL, WEIR_ERROR_CANCELLED, "57014");
    run(held.connection, "RESET statement_timeout");
}

static void *terminate_later(void *userdata)
{
    char sql[128];

    (void)snprintf(
        sql, sizeof(sql),
        "SELECT count(*) FROM pg_stat_activity WHERE pid = %u AND wait_event = 'PgSleep'",
        *(uint32_t *)userdata);
    AWAIT(admin_number(admin, sql) == 1);
    (void)snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%u)", *(uint32_t *)userdata);
    admin_do(admin, sql);
    return NULL;
}

static void terminated(void **state)
{
    uint32_t pid = weir_connection_backend_pid(held.connection);
    struct weir_error *error = NULL;
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, terminate_later, &pid), 0);
    assert_int_equal(weir_execute(held.connection, "SELECT pg_sleep(30)", NULL, NULL, &error),
                     WEIR_ERROR_CONNECTION);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(weir_error_sqlstate(error), "57P01");
    assert_false(weir_error_connection_survived(error));
    assert_true(weir_error_is_retryable(error));
    weir_error_free(error);
    refused(held.connection, "SELECT 1", NULL, WEIR_ERROR_CONNECTION, "");
    held_again(&held);
    assert_int_not_equal(weir_connection_backend_pid(held.connection), pid);
    assert_int_equal(number(held.connection, "SELECT 1"), 1);
}

/* ---- attempts to connect --------------------------------------------------------------------- */

static void attempt_fails(const char *conninfo, enum weir_error_category category,
                          const char *sqlstate, bool is_retryable)
{
    struct weir_pool_opts opts = pool_opts("attempts", 0, 1);
    struct weir_connection *connection = NULL;
    struct weir_error *error = NULL;
    struct pool_fixture fixture;

    opts.conninfo = conninfo;
    opts.acquire_timeout_ms = 3000;
    opts.backoff_min_ms = opts.backoff_max_ms = 10;
    fixture = pool_fixture_open(&opts, NULL);
    (void)weir_pool_acquire(fixture.pool, NULL, &connection, &error);
    if (weir_error_category(error) != category ||
        (sqlstate && strcmp(weir_error_sqlstate(error), sqlstate) != 0) ||
        weir_error_is_retryable(error) != is_retryable)
        fail_msg("%s: %s %s %d: %s", conninfo, weir_error_category_name(weir_error_category(error)),
                 weir_error_sqlstate(error), weir_error_is_retryable(error),
                 weir_error_message(error));
    weir_error_free(error);
    pool_fixture_close(&fixture);
}

static void attempts(void **state)
{
    (void)state;
    attempt_fails("dbname=no_such_database", WEIR_ERROR_OBJECT, "3D000", false);
    attempt_fails("user=no_such_role", WEIR_ERROR_AUTHENTICATION, "28000", false);
    attempt_fails("sslmode=require", WEIR_ERROR_CONNECTION, "", false);
    admin_do(admin, "CREATE ROLE may_not_log_in NOLOGIN");
    attempt_fails("user=may_not_log_in", WEIR_ERROR_AUTHENTICATION, "28000", false);
    admin_do(admin, "CREATE DATABASE closed; ");
    admin_do(admin, "REVOKE CONNECT ON DATABASE closed FROM PUBLIC");
    admin_do(admin, "CREATE ROLE guest LOGIN");
    attempt_fails("user=guest dbname=closed", WEIR_ERROR_PERMISSION, "42501", false);
    admin_do(admin, "ALTER ROLE guest CONNECTION LIMIT 0");
    /* Tried again until the acquire's deadline, so the error is that acquire's. */
    attempt_fails("user=guest", WEIR_ERROR_TOO_MANY_CONNECTIONS, NULL, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_statement_each),
        cmocka_unit_test(what_a_constraint_says),
        cmocka_unit_test(permission),
        cmocka_unit_test(serialization),
        cmocka_unit_test(deadlock),
        cmocka_unit_test(locks),
        cmocka_unit_test(cancelled_by_others),
        cmocka_unit_test(terminated),
        cmocka_unit_test(attempts),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
