/* Statements for event loops: no step waits, however long the server does. */
#include "statement_test.h"

#include <poll.h>
#include <signal.h>

static struct held held;

static int setup(void **state)
{
    struct weir_pool_opts opts = pool_opts("nonblocking", 0, 8);

    (void)state;
    held = held_open(&opts, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    held_close(&held);
    return 0;
}

enum { STEP_MAX_MS = IS_SANITIZED ? 200 : 30 };

static int step(struct weir_execution *execution, PGresult **result, struct weir_error **error)
{
    uint64_t begin_ns = clock_monotonic_ns();
    int r = weir_execution_step(execution, result, error);

    assert_in_range(clock_monotonic_ns() - begin_ns, 0, STEP_MAX_MS * NS_PER_MS);
    return r;
}

/* As an event loop does. */
static int drive(struct weir_execution *execution, PGresult **result, struct weir_error **error)
{
    int r;

    while ((r = step(execution, result, error)) == WEIR_PENDING) {
        struct pollfd at = {.fd = weir_execution_fd(execution),
                            .events = (short)weir_execution_events(execution)};
        assert_true(at.fd >= 0);
        assert_true(at.events & POLLIN);
        (void)poll(&at, 1, weir_execution_timeout_ms(execution));
    }
    return r;
}

static struct weir_execution *start(struct weir_connection *connection, const char *sql,
                                    const struct weir_statement_opts *opts)
{
    struct weir_execution *execution = NULL;

    CHECK(weir_execution_start(connection, sql, opts, &execution, &error));
    return execution;
}

static void one_after_the_other(void **state)
{
    const char *values[1];
    char value[16];
    struct weir_timing timing = {.size = sizeof(timing)};
    struct weir_statement_opts opts = {
        .size = sizeof(opts), .count = 1, .values = values, .ret_timing = &timing};

    (void)state;
    values[0] = value;
    for (int i = 0; i < 50; i++) {
        struct weir_execution *execution;
        struct weir_error *error = NULL;
        PGresult *result = NULL;
        char sql[] = "SELECT $1::int + 1";
        opts.is_prepared = i % 2;
        (void)snprintf(value, sizeof(value), "%d", i);
        execution = start(held.connection, sql, &opts);
        /* What was given is not needed any more. */
        memset(sql, '!', sizeof(sql) - 1);
        memset(value, '!', sizeof(value) - 1);
        assert_int_equal(drive(execution, &result, &error), 0);
        assert_int_equal(strtol(PQgetvalue(result, 0, 0), NULL, 10), i + 1);
        assert_int_equal(timing.rows, 1);
        PQclear(result);
    }
}

static void several_at_once(void **state)
{
    enum { AT_ONCE = 6 };
    struct weir_connection *connections[AT_ONCE];
    struct weir_execution *executions[AT_ONCE];
    struct pollfd at[AT_ONCE];
    unsigned left = AT_ONCE;
    uint64_t begin_ns;

    (void)state;
    for (int i = 0; i < AT_ONCE; i++)
        connections[i] = acquire_from(held.fixture.pool);
    begin_ns = clock_monotonic_ns();
    for (int i = 0; i < AT_ONCE; i++)
        executions[i] = start(connections[i], "SELECT pg_sleep(0.2)", NULL);
    while (left) {
        for (int i = 0; i < AT_ONCE; i++)
            at[i] = (struct pollfd){
                .fd = executions[i] ? weir_execution_fd(executions[i]) : -1,
                .events = (short)(executions[i] ? weir_execution_events(executions[i]) : 0)};
        (void)poll(at, AT_ONCE, -1);
        for (int i = 0; i < AT_ONCE; i++) {
            int r = at[i].revents ? step(executions[i], NULL, NULL) : WEIR_PENDING;
            if (r == WEIR_PENDING)
                continue;
            assert_int_equal(r, 0);
            executions[i] = NULL;
            left--;
        }
    }
    assert_in_range(clock_monotonic_ns() - begin_ns, 200 * NS_PER_MS, 1000 * NS_PER_MS);
    for (int i = 0; i < AT_ONCE; i++)
        assert_int_equal(weir_connection_release(connections[i]), 0);
}

static void fails(const char *sql, const struct weir_statement_opts *opts,
                  enum weir_error_category category)
{
    struct weir_execution *execution = start(held.connection, sql, opts);
    struct weir_error *error = NULL;
    PGresult *result = NULL;
    int r = drive(execution, &result, &error);

    assert_int_equal(r, category);
    assert_int_equal(weir_error_category(error), category);
    assert_null(result);
    weir_error_free(error);
    assert_int_equal(number(held.connection, "SELECT 5"), 5);
}

static void errors(void **state)
{
    struct weir_statement_opts opts = {.size = sizeof(opts), .is_prepared = 1};

    (void)state;
    fails("SELECT 1/0", NULL, WEIR_ERROR_DATA);
    fails("SELECT 1/0", &opts, WEIR_ERROR_DATA);
    fails("SELEC", &opts, WEIR_ERROR_SYNTAX);
}

/* Cancelled and told in time. The connection survives if the server was quick enough to say so. */
static void deadline(void **state)
{
    struct weir_statement_opts opts = {.size = sizeof(opts), .timeout_ms = 100};
    unsigned survived = 0;

    (void)state;
    for (int i = 0; i < 10; i++) {
        uint64_t begin_ns = clock_monotonic_ns();
        struct weir_execution *execution = start(held.connection, "SELECT pg_sleep(30)", &opts);
        struct weir_error *error = NULL;
        int r = drive(execution, NULL, &error);
        assert_in_range(clock_monotonic_ns() - begin_ns, 100 * NS_PER_MS,
                        (IS_SANITIZED ? 1000 : 160) * NS_PER_MS);
        if (weir_error_connection_survived(error))
            survived++;
        else
            held_again(&held);
        expect(r, WEIR_ERROR_TIMEOUT, &error);
        assert_int_equal(number(held.connection, "SELECT 5"), 5);
    }
    assert_in_range(survived, 1, 10);
}

static void server_that_hangs(void **state)
{
    struct weir_statement_opts opts = {.size = sizeof(opts), .timeout_ms = 100};
    struct weir_connection *other = acquire_from(held.fixture.pool);
    pid_t pid = (pid_t)weir_connection_backend_pid(other);
    struct weir_error *error = NULL;
    struct weir_execution *execution;
    uint64_t begin_ns, took_ns;
    int r;

    (void)state;
    assert_int_equal(kill(pid, SIGSTOP), 0);
    begin_ns = clock_monotonic_ns();
    execution = start(other, "SELECT 1", &opts);
    r = drive(execution, NULL, &error);
    took_ns = clock_monotonic_ns() - begin_ns;
    assert_int_equal(kill(pid, SIGCONT), 0);
    assert_int_equal(r, WEIR_ERROR_TIMEOUT);
    assert_false(weir_error_connection_survived(error));
    weir_error_free(error);
    assert_in_range(took_ns, 100 * NS_PER_MS, (IS_SANITIZED ? 1000 : 150) * NS_PER_MS);
    assert_int_equal(weir_connection_release(other), 0);
}

static void cancelled(void **state)
{
    uint64_t begin_ns;

    (void)state;
    for (int i = 0; i < 5; i++) {
        struct weir_execution *execution = start(held.connection, "SELECT pg_sleep(30)", NULL);
        assert_int_equal(step(execution, NULL, NULL), WEIR_PENDING);
        begin_ns = clock_monotonic_ns();
        weir_execution_cancel(execution);
        assert_in_range(clock_monotonic_ns() - begin_ns, 0, STEP_MAX_MS * NS_PER_MS);
        if (i % 2)
            held_again(&held);
        assert_int_equal(number(held.connection, "SELECT 5"), 5);
    }
    weir_execution_cancel(start(held.connection, "SELECT 1", NULL));
    assert_int_equal(number(held.connection, "SELECT 5"), 5);
    weir_execution_cancel(NULL);
}

static void released_while_it_runs(void **state)
{
    struct weir_execution *execution = start(held.connection, "SELECT pg_sleep(30)", NULL);
    struct weir_error *error = NULL;

    (void)state;
    refused(held.connection, "SELECT 1", NULL, WEIR_ERROR_USAGE, "");
    held_again(&held);
    assert_int_equal(weir_execution_fd(execution), -1);
    assert_int_equal(weir_execution_step(execution, NULL, &error), WEIR_ERROR_USAGE);
    weir_error_free(error);
    assert_int_equal(number(held.connection, "SELECT 5"), 5);
}

/* More than the socket takes at once: the event loop is asked to write. */
static void large_parameters(void **state)
{
    size_t size = 16u << 20;
    char *text = malloc(size + 1);
    const char *values[1] = {text};
    struct weir_statement_opts opts = {.size = sizeof(opts), .count = 1, .values = values};
    pid_t pid = (pid_t)weir_connection_backend_pid(held.connection);
    struct weir_execution *execution;
    PGresult *result = NULL;
    int r;

    (void)state;
    memset(text, 'x', size);
    text[size] = '\0';
    assert_int_equal(kill(pid, SIGSTOP), 0); /* it reads nothing */
    execution = start(held.connection, "SELECT length($1::text)", &opts);
    memset(text, 'y', 10);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(step(execution, &result, NULL), WEIR_PENDING);
        assert_int_equal(weir_execution_events(execution), POLLIN | POLLOUT);
    }
    assert_int_equal(kill(pid, SIGCONT), 0);
    while ((r = weir_execution_step(execution, &result, NULL)) == WEIR_PENDING) {
        struct pollfd at = {.fd = weir_execution_fd(execution),
                            .events = (short)weir_execution_events(execution)};
        (void)poll(&at, 1, weir_execution_timeout_ms(execution));
    }
    assert_int_equal(r, 0);
    assert_int_equal(strtol(PQgetvalue(result, 0, 0), NULL, 10), size);
    PQclear(result);
    free(text);
}

/* Refused, and even the data that comes all the same makes no step wait. */
static void a_copy_makes_no_step_wait(void **state)
{
    struct weir_connection *connection = acquire_from(held.fixture.pool);
    struct weir_execution *execution;
    struct weir_error *error = NULL;
    PGresult *result = NULL;

    (void)state;
    execution = start(connection,
                      "COPY (SELECT i, pg_sleep(0.002) FROM generate_series(1, 1000)"
                      " AS t (i)) TO STDOUT",
                      NULL);
    assert_int_equal(drive(execution, &result, &error), WEIR_ERROR_USAGE);
    assert_null(result);
    assert_non_null(strstr(weir_error_message(error), "weir_copy_open"));
    assert_int_equal(weir_error_connection_survived(error), 1);
    weir_error_free(error);
    error = NULL;
    execution = start(connection, "COPY (SELECT 1 WHERE false) TO STDOUT", NULL);
    assert_int_equal(drive(execution, &result, NULL), WEIR_ERROR_USAGE);
    assert_int_equal(number(connection, "SELECT 7"), 7);
    assert_int_equal(weir_connection_release(connection), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_after_the_other),
        cmocka_unit_test(several_at_once),
        cmocka_unit_test(errors),
        cmocka_unit_test(deadline),
        cmocka_unit_test(server_that_hangs),
        cmocka_unit_test(cancelled),
        cmocka_unit_test(released_while_it_runs),
        cmocka_unit_test(large_parameters),
        cmocka_unit_test(a_copy_makes_no_step_wait),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
