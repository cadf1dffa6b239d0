/* Handles that are used when they no longer may be, and connections that are not given back: found,
 * named, and of no harm to others. */
#include <unistd.h>

#include "feature_test.h"

/* Everything that takes a handle says no. */
static void expect_refused(struct weir_connection *stale)
{
    struct weir_error *refused = NULL;

    assert_null(weir_connection_pgconn(stale));
    assert_int_equal(weir_connection_backend_pid(stale), 0);
    weir_connection_discard(stale);
    assert_int_equal(weir_execute(stale, "SELECT 1", NULL, NULL, &refused), WEIR_ERROR_USAGE);
    assert_non_null(strstr(weir_error_message(refused), "not held"));
    weir_error_free(refused);
    assert_int_equal(weir_connection_release(stale), WEIR_ERROR_USAGE);
}

static void a_handle_is_of_no_use_after_release(void **state)
{
    struct log_book book = LOG_BOOK;
    struct weir_pool_opts opts = pool_opts("stale", 0, 1);
    struct pool_fixture fixture = logged_open(&opts, &book);
    struct weir_connection *stale = hold(fixture.pool), *connection;
    uint32_t pid = weir_connection_backend_pid(stale);

    (void)state;
    give_back(stale);
    expect_refused(stale);
    assert_int_equal(pool_stats(fixture.pool).misused, 5);
    assert_int_equal(log_book_count(&book, WEIR_LOG_MISUSE), 5);
    assert_string_equal(log_book_find(&book, WEIR_LOG_MISUSE).pool, "stale");
    connection = hold(fixture.pool); /* the connection itself is as it was */
    assert_int_equal(weir_connection_backend_pid(connection), pid);
    give_back(connection);
    assert_int_equal(pool_stats(fixture.pool).idle, 1);
    pool_fixture_close(&fixture);
}

static void nothing_is_done_with_no_handle(void **state)
{
    (void)state;
    assert_null(weir_connection_pgconn(NULL));
    assert_int_equal(weir_connection_backend_pid(NULL), 0);
    weir_connection_discard(NULL);
    assert_int_equal(weir_connection_release(NULL), WEIR_ERROR_USAGE);
    assert_int_equal(weir_execute(NULL, "SELECT 1", NULL, NULL, NULL), WEIR_ERROR_USAGE);
}

/* The connection has the next holder: the one before him cannot take it away. */
static void the_next_holder_is_not_harmed(void **state)
{
    struct weir_pool_opts opts = pool_opts("next-holder", 0, 1);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_connection *stale = hold(fixture.pool), *connection;

    (void)state;
    give_back(stale);
    for (unsigned i = 0; i < 200; i++) {
        connection = hold(fixture.pool);
        assert_ptr_not_equal(connection, stale);
        assert_int_equal(weir_connection_release(stale), WEIR_ERROR_USAGE);
        assert_null(weir_connection_pgconn(stale));
        assert_int_equal(pool_stats(fixture.pool).used, 1);
        give_back(connection);
    }
    connection = hold(fixture.pool);
    run(connection, "BEGIN");
    expect_refused(stale);
    assert_int_equal(PQtransactionStatus(weir_connection_pgconn(connection)), PQTRANS_INTRANS);
    run(connection, "COMMIT");
    give_back(connection);
    pool_fixture_close(&fixture);
}

static void *refuse_in_thread(void *userdata)
{
    expect_refused(userdata);
    return NULL;
}

static void another_thread_is_refused_as_well(void **state)
{
    struct weir_pool_opts opts = pool_opts("other-thread", 0, 1);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_connection *stale = hold(fixture.pool), *connection;
    pthread_t thread;

    (void)state;
    give_back(stale);
    connection = hold(fixture.pool);
    assert_int_equal(pthread_create(&thread, NULL, refuse_in_thread, stale), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(ask(connection, "SELECT 'mine'"), "mine");
    give_back(connection);
    pool_fixture_close(&fixture);
}

/* A connection may be given back by another thread than the one that took it. */
static void *release_in_thread(void *userdata)
{
    give_back(userdata);
    return NULL;
}

static void another_thread_may_release(void **state)
{
    struct weir_pool_opts opts = pool_opts("handed-over", 0, 1);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_connection *connection = hold(fixture.pool);
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, release_in_thread, connection), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    expect_refused(connection);
    give_back(hold(fixture.pool));
    pool_fixture_close(&fixture);
}

/* ---- leaks ----------------------------------------------------------------------------------- */

struct leaker {
    struct weir_pool *pool;
    struct weir_connection *connection;
    uint64_t thread;
    uint32_t pid;
};

static void *leak(void *userdata)
{
    struct leaker *leaker = userdata;
    struct weir_acquire_opts acquire = within_ms(0);

    acquire.call_site = "report.c:monthly";
    acquire.tenant = "acme";
    leaker->connection = hold_with(leaker->pool, &acquire);
    leaker->pid = weir_connection_backend_pid(leaker->connection);
    leaker->thread = (uint64_t)gettid();
    run(leaker->connection, "SELECT 'a secret' WHERE 1 = 42");
    return NULL;
}

static void a_leak_is_told_once_with_its_holder(void **state)
{
    struct log_book book = LOG_BOOK;
    struct weir_pool_opts opts = pool_opts("leaky", 0, 2);
    struct pool_fixture fixture;
    struct leaker first = {.pool = NULL}, second;
    pthread_t thread;
    struct note note;

    (void)state;
    opts.leak_after_ms = 200;
    fixture = logged_open(&opts, &book);
    first.pool = fixture.pool;
    assert_int_equal(pthread_create(&thread, NULL, leak, &first), 0);
    assert_int_equal(pthread_join(thread, NULL), 0); /* gone with the connection in its hands */
    AWAIT(log_book_count(&book, WEIR_LOG_LEAK) == 1);
    note = log_book_find(&book, WEIR_LOG_LEAK);
    assert_string_equal(note.pool, "leaky");
    assert_string_equal(note.call_site, "report.c:monthly");
    assert_string_equal(note.tenant, "acme");
    assert_int_equal(note.thread, first.thread);
    assert_int_equal(note.backend_pid, first.pid);
    assert_true(note.duration_ns >= 200 * NS_PER_MS);
    assert_non_null(strstr(note.message, "report.c:monthly"));
    assert_non_null(strstr(note.statement, "WHERE"));
    assert_null(strstr(note.statement, "secret"));
    /* The second one is found by a later look, which told nothing of the first again. */
    second = (struct leaker){.pool = fixture.pool};
    (void)leak(&second);
    AWAIT(log_book_count(&book, WEIR_LOG_LEAK) >= 2);
    assert_int_equal(log_book_count(&book, WEIR_LOG_LEAK), 2);
    assert_int_equal(pool_stats(fixture.pool).leaked, 2);
    /* Given back at last, it is a connection like any other; the next hold is another story. */
    give_back(first.connection);
    first.connection = hold(fixture.pool);
    AWAIT(log_book_count(&book, WEIR_LOG_LEAK) == 3);
    give_back(first.connection);
    give_back(second.connection);
    pool_fixture_close(&fixture);
}

/* Without a name of his own the holder is named by where he called from: build-id and offset. */
static void a_leak_without_a_name_is_told_by_its_caller(void **state)
{
    struct log_book book = LOG_BOOK;
    struct weir_pool_opts opts = pool_opts("nameless", 0, 1);
    struct pool_fixture fixture;
    struct weir_connection *connection;

    (void)state;
    opts.leak_after_ms = 50;
    fixture = logged_open(&opts, &book);
    connection = hold(fixture.pool);
    AWAIT(log_book_count(&book, WEIR_LOG_LEAK) == 1);
    assert_string_not_equal(log_book_find(&book, WEIR_LOG_LEAK).call_site, "");
    print_message("%s\n", log_book_find(&book, WEIR_LOG_LEAK).message);
    give_back(connection);
    pool_fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handle_is_of_no_use_after_release),
        cmocka_unit_test(nothing_is_done_with_no_handle),
        cmocka_unit_test(the_next_holder_is_not_harmed),
        cmocka_unit_test(another_thread_is_refused_as_well),
        cmocka_unit_test(another_thread_may_release),
        cmocka_unit_test(a_leak_is_told_once_with_its_holder),
        cmocka_unit_test(a_leak_without_a_name_is_told_by_its_caller),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
