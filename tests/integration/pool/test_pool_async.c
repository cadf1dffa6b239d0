/* Acquires for event loops: one thread, poll(), many requests under way. */
#include <poll.h>

#include "feature_test.h"

enum { REQUESTS = 64, CONNECTIONS = 4 };

static bool is_readable(const struct weir_acquire *acquire, int timeout_ms)
{
    struct pollfd at = {.fd = weir_acquire_fd(acquire), .events = POLLIN};

    return poll(&at, 1, timeout_ms) == 1 && at.revents & POLLIN;
}

static struct weir_acquire *start(struct weir_pool *pool, const struct weir_acquire_opts *opts)
{
    struct weir_acquire *acquire = NULL;

    CHECK(weir_acquire_start(pool, opts, &acquire, &error));
    return acquire;
}

/* Steps until it is over: what is readable may have a moment to go still. */
static int finish(struct weir_acquire *acquire, struct weir_connection **ret_connection)
{
    int r;

    do {
        assert_true(is_readable(acquire, AWAIT_MS));
        r = weir_acquire_step(acquire, ret_connection, NULL);
    } while (r == WEIR_PENDING);
    return r;
}

/* What a loop does: poll all that wait, step who can go on, give back, until nobody is left. */
static unsigned serve_all(struct weir_acquire *waiting[REQUESTS], unsigned order[REQUESTS])
{
    struct weir_connection *held[CONNECTIONS];
    unsigned served = 0, count = 0;

    while (served < REQUESTS) {
        struct pollfd at[REQUESTS];
        for (unsigned i = 0; i < REQUESTS; i++)
            at[i] = (struct pollfd){.fd = waiting[i] ? weir_acquire_fd(waiting[i]) : -1,
                                    .events = POLLIN};
        assert_true(poll(at, REQUESTS, AWAIT_MS) > 0);
        for (unsigned i = 0; i < REQUESTS; i++) {
            if (!at[i].revents)
                continue;
            assert_true(count < CONNECTIONS);
            assert_int_equal(finish(waiting[i], &held[count]), 0);
            assert_non_null(weir_connection_pgconn(held[count++]));
            waiting[i] = NULL;
            order[served++] = i;
        }
        while (count)
            give_back(held[--count]);
    }
    return served;
}

/* How many that came earlier were served later than the one at @place. */
static unsigned earlier_after(const unsigned order[REQUESTS], unsigned place)
{
    unsigned count = 0;

    for (unsigned i = place + 1; i < REQUESTS; i++)
        count += order[i] < order[place];
    return count;
}

static void one_thread_serves_many(void **state)
{
    struct weir_pool_opts opts = pool_opts("loop", 0, CONNECTIONS);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_acquire *waiting[REQUESTS];
    unsigned order[REQUESTS];
    PGconn *admin = admin_open();

    (void)state;
    for (unsigned i = 0; i < REQUESTS; i++)
        waiting[i] = start(fixture.pool, NULL);
    assert_int_equal(serve_all(waiting, order), REQUESTS);
    assert_true(admin_connections(admin, "loop") <= CONNECTIONS);
    for (unsigned i = 0; i < REQUESTS; i++) /* who is passed has been granted his own already */
        assert_true(earlier_after(order, i) < CONNECTIONS);
    assert_int_equal(pool_stats(fixture.pool).acquired, REQUESTS);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

static void an_idle_connection_is_there_at_once(void **state)
{
    struct weir_pool_opts opts = pool_opts("there", 1, 1);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_connection *connection = NULL;
    struct weir_acquire *acquire;

    (void)state;
    AWAIT(pool_stats(fixture.pool).idle == 1);
    acquire = start(fixture.pool, NULL);
    assert_true(is_readable(acquire, 0));
    CHECK(weir_acquire_step(acquire, &connection, &error));
    give_back(connection);
    pool_fixture_close(&fixture);
}

static void the_deadline_makes_it_readable(void **state)
{
    struct weir_pool_opts opts = pool_opts("late", 0, 1);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_acquire_opts shortly = within_ms(120);
    struct weir_connection *held = hold(fixture.pool), *connection = NULL;
    uint64_t begin_ns = clock_monotonic_ns();
    struct weir_acquire *acquire = start(fixture.pool, &shortly);
    struct weir_error *late = NULL;

    (void)state;
    assert_int_equal(weir_acquire_step(acquire, &connection, NULL), WEIR_PENDING);
    assert_true(is_readable(acquire, AWAIT_MS));
    assert_in_range(elapsed_ms(begin_ns), 120, 120 + LATE_MS);
    assert_int_equal(weir_acquire_step(acquire, &connection, &late), WEIR_ERROR_TIMEOUT);
    assert_null(connection);
    assert_non_null(strstr(weir_error_message(late), "120 ms"));
    weir_error_free(late);
    give_back(held);
    pool_fixture_close(&fixture);
}

static void a_cancelled_request_leaves_no_trace(void **state)
{
    struct weir_pool_opts opts = pool_opts("left", 0, 1);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_acquire_opts at_once = within_ms(-1);
    struct weir_connection *held = hold(fixture.pool);
    struct weir_acquire *first = start(fixture.pool, NULL), *second = start(fixture.pool, NULL);

    (void)state;
    weir_acquire_cancel(first); /* while it waits */
    assert_int_equal(pool_stats(fixture.pool).waiting, 1);
    give_back(held);
    assert_true(is_readable(second, 0));
    weir_acquire_cancel(second); /* after it was granted: given back */
    held = hold_with(fixture.pool, &at_once);
    give_back(held);
    assert_int_equal(pool_stats(fixture.pool).cancelled, 1);
    assert_int_equal(pool_stats(fixture.pool).used, 0);
    weir_acquire_cancel(NULL);
    pool_fixture_close(&fixture);
}

static void a_cancelled_grant_goes_to_the_next(void **state)
{
    struct weir_pool_opts opts = pool_opts("passed-on", 0, 1);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_connection *held = hold(fixture.pool), *connection = NULL;
    struct weir_acquire *first = start(fixture.pool, NULL), *second = start(fixture.pool, NULL);

    (void)state;
    give_back(held);
    assert_true(is_readable(first, 0));
    assert_false(is_readable(second, 0));
    weir_acquire_cancel(first);
    assert_true(is_readable(second, 0));
    CHECK(weir_acquire_step(second, &connection, &error));
    give_back(connection);
    pool_fixture_close(&fixture);
}

static void a_canceller_makes_it_readable(void **state)
{
    struct weir_pool_opts opts = pool_opts("cancelled", 0, 1);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_acquire_opts acquire_opts = within_ms(0);
    struct weir_connection *held = hold(fixture.pool), *connection = NULL;
    struct weir_acquire *acquire;

    (void)state;
    acquire_opts.canceller = weir_canceller_new();
    acquire = start(fixture.pool, &acquire_opts);
    assert_false(is_readable(acquire, 0));
    weir_canceller_cancel(acquire_opts.canceller);
    assert_true(is_readable(acquire, 0));
    assert_int_equal(weir_acquire_step(acquire, &connection, NULL), WEIR_ERROR_CANCELLED);
    weir_canceller_free(acquire_opts.canceller);
    give_back(held);
    pool_fixture_close(&fixture);
}

/* The caller's texts and settings may be gone once start has returned. */
static void texts_of_a_request_are_copied(void **state)
{
    struct log_book book = LOG_BOOK;
    struct weir_pool_opts opts = pool_opts("texts", 0, 1);
    struct pool_fixture fixture = logged_open(&opts, &book);
    char call_site[] = "loop.c:42", tenant[] = "acme", name[] = "app.colour", value[] = "green";
    struct weir_setting setting = {name, value};
    struct weir_acquire_opts acquire_opts = within_ms(0);
    struct weir_connection *connection = NULL;
    struct weir_acquire *acquire;

    (void)state;
    acquire_opts.call_site = call_site;
    acquire_opts.tenant = tenant;
    acquire_opts.settings = &setting;
    acquire_opts.settings_count = 1;
    acquire = start(fixture.pool, &acquire_opts);
    memset(call_site, 'x', sizeof(call_site) - 1);
    memset(tenant, 'x', sizeof(tenant) - 1);
    memset(name, 'x', sizeof(name) - 1);
    memset(value, 'x', sizeof(value) - 1);
    assert_int_equal(finish(acquire, &connection), 0);
    assert_string_equal(ask(connection, "SELECT current_setting('app.colour')"), "green");
    run(connection, "BEGIN");
    give_back(connection);
    AWAIT(log_book_count(&book, WEIR_LOG_ROLLED_BACK) == 1);
    assert_string_equal(log_book_find(&book, WEIR_LOG_ROLLED_BACK).call_site, "loop.c:42");
    assert_string_equal(log_book_find(&book, WEIR_LOG_ROLLED_BACK).tenant, "acme");
    pool_fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_serves_many),
        cmocka_unit_test(an_idle_connection_is_there_at_once),
        cmocka_unit_test(the_deadline_makes_it_readable),
        cmocka_unit_test(a_cancelled_request_leaves_no_trace),
        cmocka_unit_test(a_cancelled_grant_goes_to_the_next),
        cmocka_unit_test(a_canceller_makes_it_readable),
        cmocka_unit_test(texts_of_a_request_are_copied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
