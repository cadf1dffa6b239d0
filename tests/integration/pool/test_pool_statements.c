/* Statements: results, times, deadlines, scripts, what release undoes. */
#include "statement_test.h"

#include <signal.h>
#include <sys/time.h>

static struct held held;
static PGconn *admin;

static int setup(void **state)
{
    struct weir_pool_opts opts = pool_opts("statements", 0, 1);

    (void)state;
    admin = admin_open();
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

static void results(void **state)
{
    static const char *const values[] = {"40", "two"};
    struct weir_timing timing = {.size = sizeof(timing)};
    struct weir_statement_opts opts = {
        .size = sizeof(opts), .count = 2, .values = values, .ret_timing = &timing};
    PGresult *result = NULL;

    (void)state;
    CHECK(weir_execute(held.connection, "SELECT $1::int + 2, $2::text || '!'", &opts, &result,
                       &error));
    assert_string_equal(PQgetvalue(result, 0, 0), "42");
    assert_string_equal(PQgetvalue(result, 0, 1), "two!");
    PQclear(result);
    assert_int_equal(timing.rows, 1);
    assert_in_range(timing.first_byte_ns, 1, timing.total_ns);
    assert_in_range(timing.wait_ns, 1, 60 * NS_PER_S); /* the pool was empty: it had to connect */

    opts = (struct weir_statement_opts){
        .size = sizeof(opts), .result_format = 1, .ret_timing = &timing};
    CHECK(weir_execute(held.connection, "SELECT 7::int4", &opts, &result, &error));
    assert_int_equal(PQgetlength(result, 0, 0), 4);
    assert_int_equal(PQgetvalue(result, 0, 0)[3], 7);
    PQclear(result);
    assert_int_equal(timing.wait_ns, 0); /* told once */

    CHECK(weir_execute(held.connection, "CREATE TEMP TABLE counted (a int)", NULL, NULL, &error));
    CHECK(weir_execute(held.connection, "INSERT INTO counted SELECT generate_series(1, 17)", &opts,
                       NULL, &error));
    assert_int_equal(timing.rows, 17);
    CHECK(weir_execute(held.connection, "", NULL, &result, &error));
    assert_int_equal(PQresultStatus(result), PGRES_EMPTY_QUERY);
    PQclear(result);
}

/* The first byte is not the last one. */
static void time_to_the_first_byte(void **state)
{
    struct weir_timing timing = {.size = sizeof(timing)};
    struct weir_statement_opts opts = {.size = sizeof(opts), .ret_timing = &timing};

    (void)state;
    CHECK(weir_execute(held.connection,
                       "SELECT repeat('x', 8000) FROM generate_series(1, 3) i,"
                       " LATERAL (SELECT pg_sleep(i * 0.03) OFFSET 0) s",
                       &opts, NULL, &error));
    assert_in_range(timing.first_byte_ns, 25 * NS_PER_MS, timing.total_ns - 50 * NS_PER_MS);
    assert_in_range(timing.total_ns, 175 * NS_PER_MS, 5 * NS_PER_S);
}

static void large_both_ways(void **state)
{
    size_t size = 8u << 20;
    char *text = malloc(size + 1);
    const char *values[1] = {text};
    struct weir_statement_opts opts = {.size = sizeof(opts), .count = 1, .values = values};
    PGresult *result = NULL;

    (void)state;
    memset(text, 'x', size);
    text[size] = '\0';
    CHECK(weir_execute(held.connection, "SELECT $1::text || $1::text", &opts, &result, &error));
    assert_int_equal(PQgetlength(result, 0, 0), 2 * size);
    PQclear(result);
    free(text);
}

static void several_in_a_string(void **state)
{
    PGresult *result = NULL;

    (void)state;
    CHECK(weir_execute(held.connection, "SELECT 1; SELECT 2; SELECT 3, 4", NULL, &result, &error));
    assert_int_equal(PQnfields(result), 2);
    PQclear(result);
    refused(held.connection, "SELECT 1; SELECT 1/0; SELECT 2", NULL, WEIR_ERROR_DATA, "22012");
    assert_int_equal(number(held.connection, "SELECT 5"), 5);
    assert_int_equal(weir_transaction_depth(held.connection), 0);
    run(held.connection, "BEGIN; SELECT 1; SELECT 2");
    assert_int_equal(weir_transaction_depth(held.connection), 1);
    run(held.connection, "SELECT 1; COMMIT; SELECT 2");
    assert_int_equal(weir_transaction_depth(held.connection), 0);
}

/* ---- deadlines ------------------------------------------------------------------------------- */

static uint64_t refused_after(const char *sql, const struct weir_statement_opts *opts,
                              enum weir_error_category category, const char *sqlstate)
{
    uint64_t begin_ns = clock_monotonic_ns();

    refused(held.connection, sql, opts, category, sqlstate);
    return clock_monotonic_ns() - begin_ns;
}

/* Cancelled on the server and told within 50 ms. The connection is as good as before if the server
 * was quick enough to say so. */
static void deadline(void **state)
{
    struct weir_statement_opts opts = {.size = sizeof(opts), .timeout_ms = 100};
    unsigned survived = 0;

    (void)state;
    for (int i = 0; i < 10; i++) {
        uint32_t pid = weir_connection_backend_pid(held.connection);
        uint64_t took_ns = refused_after("SELECT pg_sleep(30)", &opts, WEIR_ERROR_TIMEOUT, "");
        assert_in_range(took_ns, 100 * NS_PER_MS, (IS_SANITIZED ? 1000 : 150) * NS_PER_MS);
        if (weir_execute(held.connection, "SELECT 5", NULL, NULL, NULL) == WEIR_ERROR_CONNECTION)
            held_again(&held);
        survived += weir_connection_backend_pid(held.connection) == pid;
    }
    assert_in_range(survived, 1, 10);
    AWAIT(admin_number(admin, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'"
                              " AND query LIKE '%pg_sleep(30)'") == 0);
}

static void deadline_of_the_pool(void **state)
{
    struct weir_pool_opts opts = pool_opts("deadline", 0, 1);
    struct weir_statement_opts never = {.size = sizeof(never), .timeout_ms = WEIR_NEVER};
    struct held other;

    (void)state;
    opts.statement_timeout_ms = 50;
    other = held_open(&opts, NULL);
    refused(other.connection, "SELECT pg_sleep(30)", NULL, WEIR_ERROR_TIMEOUT, "");
    held_again(&other);
    CHECK(weir_execute(other.connection, "SELECT pg_sleep(0.2)", &never, NULL, &error));
    held_close(&other);
}

/* A server that does not answer at all: its process is stopped. */
static void server_that_hangs(void **state)
{
    struct weir_statement_opts opts = {.size = sizeof(opts), .timeout_ms = 100};
    struct weir_pool_opts pool = pool_opts("hangs", 0, 1);
    struct held other = held_open(&pool, NULL);
    struct weir_error *error = NULL;
    pid_t pid = (pid_t)weir_connection_backend_pid(other.connection);
    uint64_t begin_ns, took_ns;

    (void)state;
    assert_int_equal(kill(pid, SIGSTOP), 0);
    begin_ns = clock_monotonic_ns();
    assert_int_equal(weir_execute(other.connection, "SELECT 1", &opts, NULL, &error),
                     WEIR_ERROR_TIMEOUT);
    took_ns = clock_monotonic_ns() - begin_ns;
    assert_int_equal(kill(pid, SIGCONT), 0);
    assert_in_range(took_ns, 100 * NS_PER_MS, (IS_SANITIZED ? 1000 : 150) * NS_PER_MS);
    assert_false(weir_error_connection_survived(error));
    weir_error_free(error);
    refused(other.connection, "SELECT 1", NULL, WEIR_ERROR_CONNECTION, "");
    held_again(&other);
    assert_int_not_equal(weir_connection_backend_pid(other.connection), pid);
    assert_int_equal(number(other.connection, "SELECT 1"), 1);
    held_close(&other);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int signal)
{
    (void)signal;
    alarms = alarms + 1;
}

/* A service's signals interrupt the waiting, and nothing else. */
static void signals_while_waiting(void **state)
{
    struct sigaction action = {.sa_handler = on_alarm}, before;
    struct itimerval every = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
    struct weir_statement_opts opts = {.size = sizeof(opts), .timeout_ms = 200};

    (void)state;
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &every, NULL), 0);
    run(held.connection, "SELECT pg_sleep(0.1)");
    refused(held.connection, "SELECT pg_sleep(30)", &opts, WEIR_ERROR_TIMEOUT, "");
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
    assert_in_range(alarms, 20, 100000);
    held_again(&held);
    assert_int_equal(number(held.connection, "SELECT 5"), 5);
}

/* ---- use that cannot be ---------------------------------------------------------------------- */

static void wrong_use(void **state)
{
    struct weir_statement_opts opts = {.size = sizeof(opts)};
    struct weir_connection *stale = held.connection;

    (void)state;
    refused(held.connection, NULL, NULL, WEIR_ERROR_USAGE, "");
    opts.timeout_ms = -1;
    refused(held.connection, "SELECT 1", &opts, WEIR_ERROR_USAGE, "");
    opts = (struct weir_statement_opts){.size = 0};
    refused(held.connection, "SELECT 1", &opts, WEIR_ERROR_USAGE, "");
    opts = (struct weir_statement_opts){.size = sizeof(opts), .count = 70000};
    refused(held.connection, "SELECT 1", &opts, WEIR_ERROR_USAGE, "");
    /* Parameters that do not fit the statement: the server says so. */
    opts = (struct weir_statement_opts){.size = sizeof(opts), .count = 1};
    refused(held.connection, "SELECT 1", &opts, WEIR_ERROR_USAGE, "08P01");
    refused(held.connection, "COPY (SELECT 1) TO STDOUT", NULL, WEIR_ERROR_USAGE, "");
    refused(held.connection, "CREATE TEMP TABLE c (a int); COPY c FROM STDIN", NULL,
            WEIR_ERROR_USAGE, "");
    assert_int_equal(number(held.connection, "SELECT 5"), 5);
    held_again(&held);
    assert_ptr_not_equal(held.connection, stale);
    refused(stale, "SELECT 1", NULL, WEIR_ERROR_USAGE, "");
    refused(NULL, "SELECT 1", NULL, WEIR_ERROR_USAGE, "");
}

/* ---- what release undoes --------------------------------------------------------------------- */

static void what_release_undoes(void **state)
{
    char before[256], after[256];
    uint32_t pid;

    (void)state;
    admin_do(admin, "CREATE ROLE somebody");
    held_again(&held);
    pid = weir_connection_backend_pid(held.connection);
    text_of(held.connection, "SHOW work_mem", before);
    run(held.connection, "SET work_mem = '7MB'; SET ROLE somebody");
    run(held.connection, "RESET ROLE");
    run(held.connection, "LISTEN channel");
    run(held.connection, "PREPARE by_hand AS SELECT 1");
    run(held.connection, "CREATE TEMP TABLE left_behind (a int)");
    run(held.connection, "SELECT pg_advisory_lock(4711)");
    run(held.connection, "BEGIN; DECLARE kept CURSOR WITH HOLD FOR SELECT 1; COMMIT");
    run(held.connection, "SET SESSION AUTHORIZATION somebody");
    held_again(&held);
    assert_int_equal(weir_connection_backend_pid(held.connection), pid);
    text_of(held.connection, "SHOW work_mem", after);
    assert_string_equal(after, before);
    text_of(held.connection, "SELECT current_user", after);
    assert_string_equal(after, "postgres");
    assert_int_equal(number(held.connection, "SELECT count(*) FROM pg_listening_channels()"), 0);
    assert_int_equal(number(held.connection,
                            "SELECT count(*) FROM pg_prepared_statements WHERE name = 'by_hand'"),
                     0);
    assert_int_equal(
        number(held.connection, "SELECT count(*) FROM pg_class WHERE relname = 'left_behind'"), 0);
    assert_int_equal(
        number(held.connection, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), 0);
    assert_int_equal(number(held.connection, "SELECT count(*) FROM pg_cursors"), 0);
    admin_do(admin, "DROP ROLE somebody");
}

static void nothing_changed_costs_nothing(void **state)
{
    uint64_t before;

    (void)state;
    held_again(&held);
    before = pool_stats(held.fixture.pool).reset;
    assert_int_equal(number(held.connection, "SELECT 5"), 5);
    run(held.connection, "CREATE TABLE IF NOT EXISTS plain (set_by text)");
    held_again(&held);
    assert_int_equal(pool_stats(held.fixture.pool).reset, before);
    run(held.connection, "SET work_mem = '6MB'");
    held_again(&held);
    assert_int_equal(pool_stats(held.fixture.pool).reset, before + 1);
}

static void direct_use(void **state)
{
    PGconn *conn = weir_connection_pgconn(held.connection);
    char text[256];
    PGresult *result;

    (void)state;
    assert_int_equal(PQisnonblocking(conn), 0);
    result = PQexec(conn, "SET work_mem = '5MB'");
    assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
    PQclear(result);
    assert_int_equal(number(held.connection, "SELECT 5"), 5);
    assert_int_equal(PQisnonblocking(conn), 0); /* as he was told */
    /* Left running: passed over by the next statement. */
    assert_int_equal(PQsendQuery(conn, "SELECT generate_series(1, 1000)"), 1);
    assert_int_equal(number(held.connection, "SELECT 6"), 6);
    assert_int_equal(PQsendQuery(conn, "SELECT pg_sleep(30)"), 1);
    assert_int_equal(PQflush(conn), 0);
    held_again(&held);
    text_of(held.connection, "SHOW work_mem", text);
    assert_string_not_equal(text, "5MB");
}

static void policies(void **state)
{
    struct weir_pool_opts opts = pool_opts("policies", 0, 1);
    struct held other;
    char text[256];

    (void)state;
    opts.reset = WEIR_RESET_ALL;
    other = held_open(&opts, NULL);
    run(other.connection, "DO $$ BEGIN PERFORM set_config('work_mem', '7MB', false); END $$");
    held_again(&other);
    text_of(other.connection, "SHOW work_mem", text);
    assert_string_not_equal(text, "7MB");
    held_close(&other);

    opts.reset = WEIR_RESET_LIST;
    opts.reset_statements = "RESET work_mem; UNLISTEN *";
    other = held_open(&opts, NULL);
    run(other.connection, "SET work_mem = '7MB'; SET statement_timeout = '7s'");
    held_again(&other);
    text_of(other.connection, "SHOW work_mem", text);
    assert_string_not_equal(text, "7MB");
    text_of(other.connection, "SHOW statement_timeout", text);
    assert_string_equal(text, "7s");
    held_close(&other);

    opts.reset = WEIR_RESET_NOTHING;
    other = held_open(&opts, NULL);
    run(other.connection, "SET work_mem = '7MB'");
    held_again(&other);
    text_of(other.connection, "SHOW work_mem", text);
    assert_string_equal(text, "7MB");
    held_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results),
        cmocka_unit_test(time_to_the_first_byte),
        cmocka_unit_test(large_both_ways),
        cmocka_unit_test(several_in_a_string),
        cmocka_unit_test(deadline),
        cmocka_unit_test(deadline_of_the_pool),
        cmocka_unit_test(server_that_hangs),
        cmocka_unit_test(signals_while_waiting),
        cmocka_unit_test(wrong_use),
        cmocka_unit_test(what_release_undoes),
        cmocka_unit_test(nothing_changed_costs_nothing),
        cmocka_unit_test(direct_use),
        cmocka_unit_test(policies),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
