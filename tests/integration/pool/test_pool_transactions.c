/* Transactions: nested, tried again after what passes, never after anything else, and honest about
 * a COMMIT whose answer never came. */
#include "statement_test.h"

#include <pthread.h>

static struct held held;
static PGconn *admin;

static int setup(void **state)
{
    struct weir_pool_opts opts = pool_opts("transactions", 0, 4);

    (void)state;
    admin = admin_open();
    admin_do(admin, "CREATE TABLE numbers (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)");
    admin_do(admin, "CREATE TABLE counters (id int PRIMARY KEY, value int NOT NULL)");
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

static int clear(void **state)
{
    (void)state;
    admin_do(admin, "TRUNCATE numbers, counters");
    return 0;
}

static void begin(void)
{
    CHECK(weir_transaction_begin(held.connection, NULL, &error));
}

static int depth(void)
{
    return weir_transaction_depth(held.connection);
}

static long numbers(void)
{
    return admin_number(admin, "SELECT coalesce(sum(a), 0) FROM numbers");
}

static void nested(void **state)
{
    (void)state;
    assert_int_equal(depth(), 0);
    begin();
    run(held.connection, "INSERT INTO numbers VALUES (1)");
    begin();
    assert_int_equal(depth(), 2);
    run(held.connection, "INSERT INTO numbers VALUES (10)");
    begin();
    refused(held.connection, "SELECT 1/0", NULL, WEIR_ERROR_DATA, "22012");
    refused(held.connection, "SELECT 1", NULL, WEIR_ERROR_TRANSACTION, "25P02");
    assert_int_equal(depth(), 3);
    CHECK(weir_transaction_rollback(held.connection, &error));
    run(held.connection, "INSERT INTO numbers VALUES (100)");
    CHECK(weir_transaction_commit(held.connection, &error));
    assert_int_equal(depth(), 1);
    begin();
    run(held.connection, "INSERT INTO numbers VALUES (1000)");
    CHECK(weir_transaction_rollback(held.connection, &error));
    assert_int_equal(numbers(), 0);
    CHECK(weir_transaction_commit(held.connection, &error));
    assert_int_equal(depth(), 0);
    assert_int_equal(numbers(), 111);
}

static void how_they_begin(void **state)
{
    struct weir_transaction_opts opts = {.size = sizeof(opts),
                                         .isolation = WEIR_ISOLATION_SERIALIZABLE,
                                         .is_read_only = 1,
                                         .is_deferrable = 1};
    struct weir_error *error = NULL;
    char text[256];

    (void)state;
    assert_int_equal(weir_transaction_begin(held.connection, &opts, NULL), 0);
    text_of(held.connection, "SHOW transaction_isolation", text);
    assert_string_equal(text, "serializable");
    text_of(held.connection, "SHOW transaction_deferrable", text);
    assert_string_equal(text, "on");
    refused(held.connection, "DELETE FROM numbers", NULL, WEIR_ERROR_PERMISSION, "25006");
    assert_int_equal(weir_transaction_rollback(held.connection, NULL), 0);
    opts = (struct weir_transaction_opts){.size = sizeof(opts),
                                          .isolation = WEIR_ISOLATION_REPEATABLE_READ};
    assert_int_equal(weir_transaction_begin(held.connection, &opts, NULL), 0);
    text_of(held.connection, "SHOW transaction_isolation", text);
    assert_string_equal(text, "repeatable read");
    /* A savepoint takes no options. */
    expect(weir_transaction_begin(held.connection, &opts, &error), WEIR_ERROR_USAGE, &error);
    assert_int_equal(weir_transaction_rollback(held.connection, NULL), 0);
    opts.is_deferrable = 1;
    expect(weir_transaction_begin(held.connection, &opts, &error), WEIR_ERROR_USAGE, &error);
    expect(weir_transaction_commit(held.connection, &error), WEIR_ERROR_USAGE, &error);
    expect(weir_transaction_rollback(held.connection, &error), WEIR_ERROR_USAGE, &error);
}

/* Statements of the holder's own change the depth, too. */
static void by_hand(void **state)
{
    (void)state;
    run(held.connection, "BEGIN");
    assert_int_equal(depth(), 1);
    begin();
    assert_int_equal(depth(), 2);
    run(held.connection, "COMMIT");
    assert_int_equal(depth(), 0);
    begin();
    begin();
    run(held.connection, "COMMIT AND CHAIN");
    assert_int_equal(depth(), 1);
    run(held.connection, "SAVEPOINT mine; SELECT 1; ROLLBACK TO mine");
    assert_int_equal(depth(), 1);
    run(held.connection, "ROLLBACK; BEGIN; SELECT 1");
    assert_int_equal(depth(), 1);
    PQclear(PQexec(weir_connection_pgconn(held.connection), "ROLLBACK"));
    assert_int_equal(depth(), 0);
    PQclear(PQexec(weir_connection_pgconn(held.connection), "BEGIN"));
    assert_int_equal(depth(), 1);
    CHECK(weir_transaction_commit(held.connection, &error));
    held_again(&held);
}

static void commit_of_a_failed_one(void **state)
{
    struct weir_error *error = NULL;

    (void)state;
    begin();
    refused(held.connection, "SELECT 1/0", NULL, WEIR_ERROR_DATA, "22012");
    expect(weir_transaction_commit(held.connection, &error), WEIR_ERROR_TRANSACTION, &error);
    assert_int_equal(depth(), 0);
}

static void commit_that_fails(void **state)
{
    struct weir_error *error = NULL;

    (void)state;
    begin();
    run(held.connection, "INSERT INTO numbers VALUES (1), (1)");
    expect(weir_transaction_commit(held.connection, &error), WEIR_ERROR_CONSTRAINT, &error);
    assert_int_equal(depth(), 0);
    assert_int_equal(numbers(), 0);
}

/* ---- lost at COMMIT -------------------------------------------------------------------------- */

/* A trigger that runs inside COMMIT, where the connection is then cut. */
static void *terminate_in_commit(void *userdata)
{
    char sql[160];

    (void)snprintf(
        sql, sizeof(sql),
        "SELECT count(*) FROM pg_stat_activity WHERE pid = %u AND wait_event = 'PgSleep'",
        *(uint32_t *)userdata);
    AWAIT(admin_number(admin, sql) == 1);
    (void)snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%u)", *(uint32_t *)userdata);
    admin_do(admin, sql);
    return NULL;
}

static void slow_commits(bool is_on)
{
    if (!is_on) {
        admin_do(admin, "DROP FUNCTION slowly CASCADE");
        return;
    }
    admin_do(admin, "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS"
                    " $$ BEGIN PERFORM pg_sleep(30); RETURN NULL; END $$");
    admin_do(admin, "CREATE CONSTRAINT TRIGGER slowly AFTER INSERT ON counters DEFERRABLE INITIALLY"
                    " DEFERRED FOR EACH ROW EXECUTE FUNCTION slowly()");
}

static void commit_lost(bool is_by_hand)
{
    uint32_t pid = weir_connection_backend_pid(held.connection);
    struct weir_error *error = NULL;
    pthread_t thread;
    int r;

    begin();
    run(held.connection, "INSERT INTO counters VALUES (1, 1)");
    assert_int_equal(pthread_create(&thread, NULL, terminate_in_commit, &pid), 0);
    r = is_by_hand ? weir_execute(held.connection, "COMMIT", NULL, NULL, &error)
                   : weir_transaction_commit(held.connection, &error);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(weir_error_connection_survived(error));
    assert_false(weir_error_is_retryable(error));
    expect(r, WEIR_ERROR_COMMIT_UNKNOWN, &error);
    held_again(&held);
}

static void commit_without_an_answer(void **state)
{
    struct weir_error *error = NULL;
    struct weir_statement_opts opts = {.size = sizeof(opts), .timeout_ms = 100};
    int r;

    (void)state;
    slow_commits(true);
    commit_lost(false);
    commit_lost(true);
    /* Cancelled at its deadline: if the server says so it is rolled back, and that is known. */
    begin();
    run(held.connection, "INSERT INTO counters VALUES (1, 1)");
    r = weir_execute(held.connection, "COMMIT", &opts, NULL, &error);
    assert_true(r == WEIR_ERROR_TIMEOUT ||
                (r == WEIR_ERROR_COMMIT_UNKNOWN && !weir_error_connection_survived(error)));
    expect(r, (enum weir_error_category)r, &error);
    AWAIT(admin_number(admin,
                       "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == 0);
    assert_int_equal(admin_number(admin, "SELECT count(*) FROM counters"), 0);
    held_again(&held);
    /* A statement that is no COMMIT is only lost. */
    slow_commits(false);
    expect(weir_execute(held.connection, "SELECT pg_terminate_backend(pg_backend_pid())", NULL,
                        NULL, &error),
           WEIR_ERROR_CONNECTION, &error);
    held_again(&held);
}

/* ---- again ----------------------------------------------------------------------------------- */

struct attempts {
    unsigned count;
    unsigned until; /* fails before this attempt … */
    const char *failing;
    int own_result; /* … or with a result of its own */
    enum weir_isolation isolation;
};

static int work(void *userdata, struct weir_connection *connection, struct weir_error **ret_error)
{
    struct attempts *attempts = userdata;
    int r = weir_execute(connection, "INSERT INTO numbers VALUES (7)", NULL, NULL, ret_error);

    if (r)
        return r;
    if (++attempts->count >= attempts->until)
        return attempts->own_result;
    return weir_execute(connection, attempts->failing, NULL, NULL, ret_error);
}

static const char serialization_failure[] =
    "DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$";
static const char deadlock[] =
    "DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40P01'; END $$";

static int attempt_all(struct attempts *attempts, struct weir_error **error)
{
    struct weir_transaction_opts opts = {
        .size = sizeof(opts), .backoff_min_ms = 1, .backoff_max_ms = 4, .attempts_max = 4};

    return weir_transaction_run(held.fixture.pool, NULL, &opts, work, attempts, error);
}

static void tried_again(void **state)
{
    struct attempts attempts = {.until = 3, .failing = serialization_failure};
    struct weir_error *error = NULL;

    (void)state;
    assert_int_equal(attempt_all(&attempts, &error), 0);
    assert_null(error);
    assert_int_equal(attempts.count, 3);
    assert_int_equal(numbers(), 7); /* of the last one alone */
    admin_do(admin, "TRUNCATE numbers");
    attempts = (struct attempts){.until = 2, .failing = deadlock};
    assert_int_equal(attempt_all(&attempts, NULL), 0);
    assert_int_equal(attempts.count, 2);
    admin_do(admin, "TRUNCATE numbers");
    /* Not without end. */
    attempts = (struct attempts){.until = 100, .failing = serialization_failure};
    expect(attempt_all(&attempts, &error), WEIR_ERROR_SERIALIZATION, &error);
    assert_int_equal(attempts.count, 4);
    assert_int_equal(numbers(), 0);
}

static void never_after_anything_else(void **state)
{
    static const struct {
        const char *sql;
        enum weir_error_category category;
    } failures[] = {
        {"SELECT 1/0", WEIR_ERROR_DATA},
        {"SELEC", WEIR_ERROR_SYNTAX},
        {"DO $$ BEGIN RAISE EXCEPTION 'no'; END $$", WEIR_ERROR_RAISED},
        {"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '55P03'; END $$", WEIR_ERROR_LOCK},
        {"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40000'; END $$",
         WEIR_ERROR_TRANSACTION},
        {"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '53200'; END $$", WEIR_ERROR_RESOURCE},
        {"SELECT pg_terminate_backend(pg_backend_pid())", WEIR_ERROR_CONNECTION},
    };
    struct attempts attempts;
    struct weir_error *error;

    (void)state;
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        attempts = (struct attempts){.until = 100, .failing = failures[i].sql};
        error = NULL;
        expect(attempt_all(&attempts, &error), failures[i].category, &error);
        assert_int_equal(attempts.count, 1);
    }
    /* The service's own word, even if it looks like one of ours. */
    attempts = (struct attempts){.until = 1, .own_result = -5};
    error = NULL;
    assert_int_equal(attempt_all(&attempts, &error), -5);
    assert_null(error);
    attempts = (struct attempts){.until = 1, .own_result = WEIR_ERROR_DEADLOCK};
    assert_int_equal(attempt_all(&attempts, &error), WEIR_ERROR_DEADLOCK);
    assert_null(error);
    assert_int_equal(attempts.count, 1);
    assert_int_equal(numbers(), 0);
    held_again(&held); /* the server cut connections of the pool */
}

static int work_that_hides(void *userdata, struct weir_connection *connection,
                           struct weir_error **ret_error)
{
    (void)ret_error;
    ++*(unsigned *)userdata;
    (void)weir_execute(connection, serialization_failure, NULL, NULL, NULL);
    return 0;
}

static int work_that_doubles(void *userdata, struct weir_connection *connection,
                             struct weir_error **ret_error)
{
    ++*(unsigned *)userdata;
    return weir_execute(connection, "INSERT INTO numbers VALUES (1), (1)", NULL, NULL, ret_error);
}

static int work_that_releases(void *userdata, struct weir_connection *connection,
                              struct weir_error **ret_error)
{
    (void)ret_error;
    ++*(unsigned *)userdata;
    return weir_connection_release(connection);
}

static int work_that_nests(void *userdata, struct weir_connection *connection,
                           struct weir_error **ret_error)
{
    ++*(unsigned *)userdata;
    return weir_transaction_begin(connection, NULL, ret_error);
}

static void odd_works(void **state)
{
    static const struct {
        weir_transaction_fn work;
        enum weir_error_category category;
    } works[] = {
        {work_that_hides, WEIR_ERROR_TRANSACTION},
        {work_that_doubles, WEIR_ERROR_CONSTRAINT}, /* at COMMIT */
        {work_that_releases, WEIR_ERROR_USAGE},
        {work_that_nests, WEIR_ERROR_USAGE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
        struct weir_error *error = NULL;
        unsigned count = 0;
        int r = weir_transaction_run(held.fixture.pool, NULL, NULL, works[i].work, &count, &error);
        expect(r, works[i].category, &error);
        assert_int_equal(count, 1);
    }
    assert_int_equal(numbers(), 0);
}

/* Real ones: each adds to what it read, and no addition is lost. */
enum { WORKERS = 4, ADDITIONS = 25 };

static pthread_barrier_t all_have_read;

static int addition(void *userdata, struct weir_connection *connection,
                    struct weir_error **ret_error)
{
    PGresult *result = NULL;
    char sql[128];
    int r = weir_execute(connection, "SELECT value FROM counters WHERE id = 1", NULL, &result,
                         ret_error);

    if (r)
        return r;
    if (++*(unsigned *)userdata == 1) /* all have read the same before the first one writes */
        (void)pthread_barrier_wait(&all_have_read);
    (void)snprintf(sql, sizeof(sql), "UPDATE counters SET value = %ld WHERE id = 1",
                   strtol(PQgetvalue(result, 0, 0), NULL, 10) + 1);
    PQclear(result);
    return weir_execute(connection, sql, NULL, NULL, ret_error);
}

static void *worker(void *userdata)
{
    struct weir_transaction_opts opts = {.size = sizeof(opts),
                                         .isolation = WEIR_ISOLATION_SERIALIZABLE,
                                         .attempts_max = 1000,
                                         .backoff_min_ms = 1,
                                         .backoff_max_ms = 8};

    for (unsigned i = 0; i < ADDITIONS; i++)
        if (weir_transaction_run(held.fixture.pool, NULL, &opts, addition, userdata, NULL))
            return userdata;
    return NULL;
}

static void real_conflicts(void **state)
{
    pthread_t threads[WORKERS];
    unsigned counts[WORKERS] = {0}, sum = 0;
    void *failed;

    (void)state;
    admin_do(admin, "INSERT INTO counters VALUES (1, 0)");
    assert_int_equal(pthread_barrier_init(&all_have_read, NULL, WORKERS), 0);
    assert_int_equal(weir_connection_release(held.connection), 0); /* each worker has one */
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, worker, &counts[i]), 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
        sum += counts[i];
    }
    print_message("%u additions took %u attempts\n", WORKERS * ADDITIONS, sum);
    assert_int_equal(admin_number(admin, "SELECT value FROM counters"), WORKERS * ADDITIONS);
    assert_in_range(sum, WORKERS * ADDITIONS + WORKERS - 1, 100000);
    assert_int_equal(pthread_barrier_destroy(&all_have_read), 0);
    held.connection = acquire_from(held.fixture.pool);
}

static void pools_that_have_none(void **state)
{
    struct weir_pool_opts opts = pool_opts("none", 0, 1);
    struct weir_acquire_opts acquire = {.size = sizeof(acquire), .timeout_ms = 50};
    struct held other = held_open(&opts, NULL);
    struct weir_error *error = NULL;
    struct attempts attempts = {.until = 1};

    (void)state;
    expect(weir_transaction_run(other.fixture.pool, &acquire, NULL, work, &attempts, &error),
           WEIR_ERROR_TIMEOUT, &error);
    assert_int_equal(attempts.count, 0);
    expect(weir_transaction_run(other.fixture.pool, NULL, NULL, NULL, NULL, &error),
           WEIR_ERROR_USAGE, &error);
    held_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nested, clear),
        cmocka_unit_test_setup(how_they_begin, clear),
        cmocka_unit_test_setup(by_hand, clear),
        cmocka_unit_test_setup(commit_of_a_failed_one, clear),
        cmocka_unit_test_setup(commit_that_fails, clear),
        cmocka_unit_test_setup(commit_without_an_answer, clear),
        cmocka_unit_test_setup(tried_again, clear),
        cmocka_unit_test_setup(never_after_anything_else, clear),
        cmocka_unit_test_setup(odd_works, clear),
        cmocka_unit_test_setup(real_conflicts, clear),
        cmocka_unit_test_setup(pools_that_have_none, clear),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
