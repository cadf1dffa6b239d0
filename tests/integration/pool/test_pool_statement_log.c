/* What is told of slow and failed statements: normalized, without a literal, without the server's
 * own words; parameters only by the rules. */
#include "statement_test.h"

#include <pthread.h>
#include <unistd.h>

enum { ENTRIES_MAX = 64, TEXT_MAX = 512 };

struct entry {
    enum weir_log_kind kind;
    char message[TEXT_MAX], statement[TEXT_MAX], parameters[TEXT_MAX], sqlstate[6], tenant[64],
        call_site[72];
    uint64_t thread;
    uint64_t fingerprint, duration_ns, first_byte_ns, wait_ns, rows;
    uint32_t backend_pid;
};

static struct entry entries[ENTRIES_MAX];
static unsigned count;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void on_log(void *userdata, const struct weir_log_entry *entry)
{
    struct entry *kept;

    (void)userdata;
    (void)pthread_mutex_lock(&mutex);
    if (count < ENTRIES_MAX) {
        kept = &entries[count++];
        kept->kind = entry->kind;
        (void)snprintf(kept->message, TEXT_MAX, "%s", entry->message);
        (void)snprintf(kept->statement, TEXT_MAX, "%s", entry->statement);
        (void)snprintf(kept->parameters, TEXT_MAX, "%s", entry->parameters);
        (void)snprintf(kept->sqlstate, sizeof(kept->sqlstate), "%s", entry->sqlstate);
        (void)snprintf(kept->tenant, sizeof(kept->tenant), "%s", entry->tenant);
        (void)snprintf(kept->call_site, sizeof(kept->call_site), "%s", entry->call_site);
        kept->thread = entry->thread;
        kept->fingerprint = entry->fingerprint;
        kept->duration_ns = entry->duration_ns;
        kept->first_byte_ns = entry->first_byte_ns;
        kept->wait_ns = entry->wait_ns;
        kept->rows = entry->rows;
        kept->backend_pid = entry->backend_pid;
    }
    (void)pthread_mutex_unlock(&mutex);
}

static struct held held;
static const struct weir_manager_opts manager_opts = {.size = sizeof(manager_opts), .log = on_log};

static int setup(void **state)
{
    struct weir_pool_opts opts = pool_opts("log", 0, 1);

    (void)state;
    opts.slow_statement_ms = 100;
    opts.redact = "phone";
    held = held_open(&opts, &manager_opts);
    run(held.connection, "CREATE TABLE people (id int PRIMARY KEY, name text, phone text,"
                         " password text)");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    held_close(&held);
    return 0;
}

static int forget(void **state)
{
    (void)state;
    memset(entries, 0, sizeof(entries));
    count = 0;
    return 0;
}

static void assert_no_secret(const struct entry *entry)
{
    assert_null(strstr(entry->message, "hunter2"));
    assert_null(strstr(entry->statement, "hunter2"));
    assert_null(strstr(entry->parameters, "hunter2"));
}

static void slow_ones(void **state)
{
    (void)state;
    run(held.connection, "SELECT 1");
    assert_int_equal(count, 0);
    run(held.connection, "SELECT pg_sleep(0.15), 'hunter2'");
    assert_int_equal(count, 1);
    assert_int_equal(entries[0].kind, WEIR_LOG_SLOW_STATEMENT);
    assert_string_equal(entries[0].statement, "SELECT pg_sleep($1), $2");
    assert_string_equal(entries[0].sqlstate, "");
    assert_in_range(entries[0].duration_ns, 150 * NS_PER_MS, 5 * NS_PER_S);
    assert_in_range(entries[0].first_byte_ns, 1, entries[0].duration_ns);
    assert_int_equal(entries[0].rows, 1);
    assert_int_equal(entries[0].backend_pid, weir_connection_backend_pid(held.connection));
    assert_int_not_equal(entries[0].fingerprint, 0);
    assert_string_equal(entries[0].parameters, "");
    assert_no_secret(&entries[0]);
}

static void failed_ones(void **state)
{
    (void)state;
    run(held.connection, "INSERT INTO people VALUES (1, 'hunter2')");
    refused(held.connection, "INSERT INTO people VALUES (1, 'hunter2')", NULL,
            WEIR_ERROR_CONSTRAINT, "23505");
    refused(held.connection, "SELECT 'hunter2'::int", NULL, WEIR_ERROR_DATA, "22P02");
    assert_int_equal(count, 2);
    assert_int_equal(entries[0].kind, WEIR_LOG_FAILED_STATEMENT);
    assert_string_equal(entries[0].sqlstate, "23505");
    assert_string_equal(entries[0].statement, "INSERT INTO people VALUES ($1, $2)");
    assert_non_null(strstr(entries[0].message, "constraint, SQLSTATE 23505"));
    assert_string_equal(entries[1].sqlstate, "22P02");
    for (unsigned i = 0; i < count; i++)
        assert_no_secret(&entries[i]);
}

/* Every way to send one, once each. */
static void ways_of_sending(void **state)
{
    struct weir_statement_opts prepared = {.size = sizeof(prepared), .is_prepared = 1};
    struct weir_execution *execution = NULL;
    struct weir_pipeline *pipeline = NULL;
    struct weir_stream *stream = NULL;
    struct weir_copy *copy = NULL;
    PGresult *result = NULL;

    (void)state;
    refused(held.connection, "SELECT 1 / 0", &prepared, WEIR_ERROR_DATA, "22012");
    assert_int_equal(count, 1);
    refused(held.connection, "SELEC 1", &prepared, WEIR_ERROR_SYNTAX, "42601");
    assert_int_equal(count, 2);
    CHECK(weir_stream_open(held.connection, "SELECT 2 / 0", NULL, &stream, &error));
    assert_int_equal(weir_stream_next(stream, &result, NULL), WEIR_ERROR_DATA);
    weir_stream_close(stream);
    assert_int_equal(count, 3);
    CHECK(weir_execution_start(held.connection, "SELECT 3 / 0", NULL, &execution, &error));
    while (weir_execution_step(execution, &result, NULL) == WEIR_PENDING)
        ;
    assert_int_equal(count, 4);
    CHECK(weir_pipeline_open(held.connection, 0, &pipeline, &error));
    CHECK(weir_pipeline_add(pipeline, "SELECT 4 / 0", NULL, &error));
    CHECK(weir_pipeline_add(pipeline, "SELECT 5", NULL, &error));
    CHECK(weir_pipeline_sync(pipeline, &error));
    assert_int_equal(weir_pipeline_next(pipeline, &result, NULL), WEIR_ERROR_DATA);
    assert_int_equal(weir_pipeline_next(pipeline, &result, NULL), WEIR_ERROR_TRANSACTION);
    weir_pipeline_close(pipeline);
    assert_int_equal(count, 5); /* what was not executed did not fail */
    CHECK(weir_copy_open(held.connection, "COPY people FROM STDIN", NULL, &copy, &error));
    CHECK(weir_copy_write(copy, "hunter2\n", 8, &error));
    assert_int_equal(weir_copy_finish(copy, NULL, NULL), WEIR_ERROR_DATA);
    assert_int_equal(count, 6);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(entries[i].kind, WEIR_LOG_FAILED_STATEMENT);
        assert_int_equal(strlen(entries[i].sqlstate), 5);
        assert_no_secret(&entries[i]);
    }
}

static void lookup(int parameters)
{
    static const char *const values[] = {"1", "Ada", "hunter2", "555-hunter2"};
    struct weir_statement_opts opts = {
        .size = sizeof(opts), .parameters = parameters, .count = 4, .values = values};

    CHECK(weir_execute(held.connection,
                       "SELECT pg_sleep(0.12) FROM people WHERE id = $1::int AND name IS DISTINCT"
                       " FROM $2 AND password IS DISTINCT FROM $3 AND phone IS DISTINCT FROM $4",
                       &opts, NULL, &error));
}

static void parameters(void **state)
{
    (void)state;
    lookup(0);
    assert_string_equal(entries[0].parameters, "");
    lookup(WEIR_PARAMETERS_OFF + 1);
    assert_string_equal(entries[1].parameters, "");
    lookup(WEIR_PARAMETERS_HASHED + 1);
    assert_int_equal(strncmp(entries[2].parameters, "$1 = #", 6), 0);
    assert_null(strstr(entries[2].parameters, "Ada"));
    lookup(WEIR_PARAMETERS_REDACTED + 1);
    assert_int_equal(strncmp(entries[3].parameters, "$1 = '1', $2 = ", 15), 0);
    assert_non_null(strstr(entries[3].parameters, "$3 = #"));
    assert_non_null(strstr(entries[3].parameters, "$4 = #"));
    assert_int_equal(count, 4);
    for (unsigned i = 0; i < count; i++)
        assert_no_secret(&entries[i]);
}

static void parameters_of_the_pool(void **state)
{
    static const char *const values[] = {"17"};
    struct weir_statement_opts opts = {.size = sizeof(opts), .count = 1, .values = values};
    struct weir_pool_opts pool = pool_opts("parameters", 0, 1);
    struct held other;

    (void)state;
    pool.parameters = WEIR_PARAMETERS_REDACTED;
    pool.slow_statement_ms = WEIR_NEVER;
    other = held_open(&pool, &manager_opts);
    refused(other.connection, "SELECT 1 / 0 FROM pg_class WHERE relpages = $1", &opts,
            WEIR_ERROR_DATA, "22012");
    assert_string_equal(entries[0].parameters, "$1 = '17'");
    opts.parameters = WEIR_PARAMETERS_OFF + 1;
    refused(other.connection, "SELECT 1 / 0 FROM pg_class WHERE relpages = $1", &opts,
            WEIR_ERROR_DATA, "22012");
    assert_string_equal(entries[1].parameters, "");
    CHECK(weir_execute(other.connection, "SELECT pg_sleep(0.2)", NULL, NULL, &error));
    assert_int_equal(count, 2); /* never slow */
    held_close(&other);
}

/* What the pool does by itself is nobody's slow or failed statement. */
static void not_the_pools_own(void **state)
{
    (void)state;
    CHECK(weir_transaction_begin(held.connection, NULL, &error));
    refused(held.connection, "SELECT 1/0", NULL, WEIR_ERROR_DATA, "22012");
    assert_int_equal(weir_transaction_begin(held.connection, NULL, NULL), WEIR_ERROR_TRANSACTION);
    CHECK(weir_transaction_rollback(held.connection, &error));
    run(held.connection, "SET work_mem = '5MB'");
    held_again(&held);
    for (unsigned i = 0; i < count; i++)
        assert_true(entries[i].kind != WEIR_LOG_FAILED_STATEMENT || i == 0);
    assert_int_equal(entries[0].kind, WEIR_LOG_FAILED_STATEMENT);
}

static void whose_it_is(void **state)
{
    struct weir_acquire_opts acquire = {.size = sizeof(acquire), .tenant = "acme"};

    (void)state;
    assert_int_equal(weir_connection_release(held.connection), 0);
    CHECK(weir_pool_acquire(held.fixture.pool, &acquire, &held.connection, &error));
    run(held.connection, "SELECT pg_sleep(0.15)");
    assert_int_equal(count, 1);
    assert_string_equal(entries[0].tenant, "acme");
    assert_int_not_equal(strlen(entries[0].call_site), 0);
    assert_int_equal(entries[0].thread, gettid());
    held_again(&held);
}

/* The server says what value it did not take; the caller may know, and the log may not. */
static void no_word_of_the_server(void **state)
{
    const struct weir_setting setting = {"work_mem", "hunter2"};
    struct weir_acquire_opts acquire = {
        .size = sizeof(acquire), .settings = &setting, .settings_count = 1};
    struct weir_connection *connection = NULL;
    struct weir_error *error = NULL;

    (void)state;
    assert_int_equal(weir_connection_release(held.connection), 0);
    assert_int_equal(weir_pool_acquire(held.fixture.pool, &acquire, &connection, &error),
                     WEIR_ERROR_DATA);
    assert_non_null(strstr(weir_error_message(error), "hunter2"));
    weir_error_free(error);
    held.connection = acquire_from(held.fixture.pool);
    assert_in_range(count, 1, ENTRIES_MAX);
    for (unsigned i = 0; i < count; i++) {
        assert_no_secret(&entries[i]);
        assert_string_equal(entries[i].sqlstate, "22023");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(slow_ones, forget),
        cmocka_unit_test_setup(failed_ones, forget),
        cmocka_unit_test_setup(ways_of_sending, forget),
        cmocka_unit_test_setup(parameters, forget),
        cmocka_unit_test_setup(parameters_of_the_pool, forget),
        cmocka_unit_test_setup(not_the_pools_own, forget),
        cmocka_unit_test_setup(whose_it_is, forget),
        cmocka_unit_test_setup(no_word_of_the_server, forget),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
