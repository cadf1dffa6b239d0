/* How an acquire ends that gets nothing: in time, and with the caller's own reason. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "feature_test.h"

static void deadlines_are_kept(void **state)
{
    static const int32_t times_ms[] = {1, 10, 50, 200, 500};
    struct weir_pool_opts opts = pool_opts("deadline", 0, 1);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_connection *held = hold(fixture.pool);
    char message[512];

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        struct weir_acquire_opts acquire = within_ms(times_ms[i]);
        uint64_t begin_ns = clock_monotonic_ns();
        unsigned ms;
        assert_int_equal(refusal(fixture.pool, &acquire, message), WEIR_ERROR_TIMEOUT);
        ms = elapsed_ms(begin_ns);
        print_message("%d ms: returned after %u ms\n", times_ms[i], ms);
        assert_in_range(ms, times_ms[i], (unsigned)times_ms[i] + LATE_MS);
        assert_non_null(strstr(message, "deadline"));
        assert_non_null(strstr(message, "1 of 1 open"));
    }
    assert_int_equal(pool_stats(fixture.pool).timeouts, 5);
    assert_int_equal(pool_stats(fixture.pool).waiting, 0);
    give_back(held);
    pool_fixture_close(&fixture);
}

static void the_pools_own_deadline_is_for_who_names_none(void **state)
{
    struct weir_pool_opts opts = pool_opts("own-deadline", 0, 1);
    struct pool_fixture fixture;
    struct weir_connection *held;
    uint64_t begin_ns;

    (void)state;
    opts.acquire_timeout_ms = 150;
    fixture = pool_fixture_open(&opts, NULL);
    held = hold(fixture.pool);
    begin_ns = clock_monotonic_ns();
    assert_int_equal(refusal(fixture.pool, NULL, NULL), WEIR_ERROR_TIMEOUT);
    assert_in_range(elapsed_ms(begin_ns), 150, 150 + LATE_MS);
    give_back(held);
    pool_fixture_close(&fixture);
}

/* A server that takes the connection and says nothing. */
static int deaf_server(char conninfo[64])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    (void)snprintf(conninfo, 64, "host=127.0.0.1 port=%u", (unsigned)ntohs(address.sin_port));
    return fd;
}

static void a_server_that_says_nothing_holds_nobody_up(void **state)
{
    struct weir_pool_opts opts = pool_opts("deaf", 0, 2);
    struct weir_acquire_opts acquire = within_ms(200);
    struct pool_fixture fixture;
    char conninfo[64], message[512];
    uint64_t begin_ns;
    int fd = deaf_server(conninfo);

    (void)state;
    opts.conninfo = conninfo;
    opts.connect_timeout_ms = 300;
    fixture = pool_fixture_open(&opts, NULL);
    begin_ns = clock_monotonic_ns();
    assert_int_equal(refusal(fixture.pool, &acquire, NULL), WEIR_ERROR_TIMEOUT);
    assert_in_range(elapsed_ms(begin_ns), 200, 200 + LATE_MS);
    /* Once the attempt ended by its own time, the reason is known. */
    AWAIT(pool_stats(fixture.pool).connect_failures >= 1);
    assert_in_range(elapsed_ms(begin_ns), 300, 300 + LATE_MS * 2);
    assert_int_equal(refusal(fixture.pool, &acquire, message), WEIR_ERROR_CONNECTION);
    assert_non_null(strstr(message, "no answer in time"));
    pool_fixture_close(&fixture);
    (void)close(fd);
}

static int hook_that_hangs(void *userdata, const struct weir_hook *hook)
{
    (void)hook;
    pass_ms(*(const unsigned *)userdata);
    return 0;
}

static void a_hook_that_hangs_holds_nobody_up(void **state)
{
    struct weir_pool_opts opts = pool_opts("hung-hook", 0, 1);
    struct weir_acquire_opts acquire = within_ms(100);
    struct pool_fixture fixture;
    unsigned hang_ms = 600;
    uint64_t begin_ns;

    (void)state;
    opts.hook_userdata = &hang_ms;
    opts.before_acquire = hook_that_hangs;
    fixture = pool_fixture_open(&opts, NULL);
    begin_ns = clock_monotonic_ns();
    assert_int_equal(refusal(fixture.pool, &acquire, NULL), WEIR_ERROR_TIMEOUT);
    assert_in_range(elapsed_ms(begin_ns), 100, 100 + LATE_MS);
    pool_fixture_close(&fixture);
}

/* ---- reasons --------------------------------------------------------------------------------- */

static void who_does_not_wait_is_told_at_once(void **state)
{
    struct weir_pool_opts opts = pool_opts("at-once", 0, 1);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_acquire_opts at_once = within_ms(-1);
    struct weir_connection *held = hold(fixture.pool);
    uint64_t begin_ns = clock_monotonic_ns();

    (void)state;
    assert_int_equal(refusal(fixture.pool, &at_once, NULL), WEIR_ERROR_TIMEOUT);
    assert_true(elapsed_ms(begin_ns) < LATE_MS);
    give_back(held);
    held = hold_with(fixture.pool, &at_once);
    give_back(held);
    pool_fixture_close(&fixture);
}

static void a_full_queue_refuses(void **state)
{
    struct weir_pool_opts opts = pool_opts("full", 0, 1);
    struct pool_fixture fixture;
    struct weir_connection *held, *connection = NULL;
    struct weir_acquire *waiting[2];
    struct weir_error *refused = NULL;
    uint64_t begin_ns;

    (void)state;
    opts.waiters_max = 2;
    fixture = pool_fixture_open(&opts, NULL);
    held = hold(fixture.pool);
    for (unsigned i = 0; i < 2; i++)
        CHECK(weir_acquire_start(fixture.pool, NULL, &waiting[i], &error));
    begin_ns = clock_monotonic_ns();
    assert_int_equal(weir_pool_acquire(fixture.pool, NULL, &connection, &refused),
                     WEIR_ERROR_REFUSED);
    assert_true(elapsed_ms(begin_ns) < LATE_MS);
    assert_int_equal(weir_error_refusal(refused), WEIR_REFUSAL_QUEUE_FULL);
    weir_error_free(refused);
    assert_int_equal(pool_stats(fixture.pool).refused, 1);
    for (unsigned i = 0; i < 2; i++)
        weir_acquire_cancel(waiting[i]);
    give_back(held);
    give_back(hold(fixture.pool));
    pool_fixture_close(&fixture);
}

/* Where nobody may wait for a holder, a pool still opens what it may. */
static void who_waits_for_no_holder_is_not_counted_as_waiting(void **state)
{
    struct weir_pool_opts opts = pool_opts("no-waiters", 0, 2);
    struct pool_fixture fixture;
    struct weir_connection *held[2];

    (void)state;
    opts.waiters_max = 0;
    fixture = pool_fixture_open(&opts, NULL);
    held[0] = hold(fixture.pool);
    held[1] = hold(fixture.pool);
    assert_int_equal(refusal(fixture.pool, NULL, NULL), WEIR_ERROR_REFUSED);
    give_back(held[0]);
    give_back(held[1]);
    pool_fixture_close(&fixture);
}

static void a_suspended_pool_lets_wait_but_not_in(void **state)
{
    struct weir_pool_opts opts = pool_opts("suspended", 1, 1);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_acquire_opts at_once = within_ms(-1), shortly = within_ms(100);
    struct weir_connection *connection = NULL;
    struct weir_error *refused = NULL;
    struct weir_acquire *waiting;
    char message[512];

    (void)state;
    AWAIT(pool_stats(fixture.pool).idle == 1);
    weir_pool_suspend(fixture.pool);
    assert_int_equal(weir_pool_acquire(fixture.pool, &at_once, &connection, &refused),
                     WEIR_ERROR_REFUSED);
    assert_int_equal(weir_error_refusal(refused), WEIR_REFUSAL_SUSPENDED);
    weir_error_free(refused);
    assert_int_equal(refusal(fixture.pool, &shortly, message), WEIR_ERROR_TIMEOUT);
    assert_non_null(strstr(message, "suspended"));
    CHECK(weir_acquire_start(fixture.pool, NULL, &waiting, &error));
    assert_int_equal(weir_acquire_step(waiting, &connection, NULL), WEIR_PENDING);
    weir_pool_resume(fixture.pool);
    CHECK(weir_acquire_step(waiting, &connection, &error));
    give_back(connection);
    pool_fixture_close(&fixture);
}

/* An idle connection is of no use to who waits for the resuming. */
static void a_suspended_pool_has_a_full_queue_too(void **state)
{
    struct weir_pool_opts opts = pool_opts("suspended-full", 1, 1);
    struct weir_connection *connection = NULL;
    struct weir_error *refused = NULL;
    struct pool_fixture fixture;
    struct weir_acquire *waiting;

    (void)state;
    opts.waiters_max = 1;
    fixture = pool_fixture_open(&opts, NULL);
    AWAIT(pool_stats(fixture.pool).idle == 1);
    weir_pool_suspend(fixture.pool);
    CHECK(weir_acquire_start(fixture.pool, NULL, &waiting, &error));
    assert_int_equal(weir_pool_acquire(fixture.pool, NULL, &connection, &refused),
                     WEIR_ERROR_REFUSED);
    assert_int_equal(weir_error_refusal(refused), WEIR_REFUSAL_QUEUE_FULL);
    weir_error_free(refused);
    weir_pool_resume(fixture.pool);
    CHECK(weir_acquire_step(waiting, &connection, &error));
    give_back(connection);
    pool_fixture_close(&fixture);
}

static void an_unreachable_server_is_the_reason(void **state)
{
    struct weir_pool_opts opts = pool_opts("unreachable", 0, 1);
    struct weir_acquire_opts acquire = within_ms(300);
    struct pool_fixture fixture;
    char message[512];

    (void)state;
    opts.conninfo = "host=127.0.0.1 port=1";
    opts.backoff_max_ms = 100;
    fixture = pool_fixture_open(&opts, NULL);
    assert_int_equal(refusal(fixture.pool, &acquire, message), WEIR_ERROR_CONNECTION);
    assert_non_null(strstr(message, "refused"));
    assert_int_equal(pool_stats(fixture.pool).failed, 1);
    pool_fixture_close(&fixture);
}

/* It would fail the same way at the next attempt, so nobody waits for that. */
static void a_role_that_is_not_let_in_is_told_at_once(void **state)
{
    struct weir_pool_opts opts = pool_opts("nobody", 0, 1);
    struct pool_fixture fixture;
    struct weir_connection *connection = NULL;
    struct weir_error *error_at_once = NULL;
    uint64_t begin_ns;

    (void)state;
    opts.conninfo = "user=nobody_here";
    fixture = pool_fixture_open(&opts, NULL);
    for (unsigned i = 0; i < 3; i++) {
        begin_ns = clock_monotonic_ns();
        assert_int_equal(weir_pool_acquire(fixture.pool, NULL, &connection, &error_at_once),
                         WEIR_ERROR_AUTHENTICATION);
        assert_true(elapsed_ms(begin_ns) < 2000); /* of the 5 s that it may wait */
        assert_string_equal(weir_error_sqlstate(error_at_once), "28000");
        assert_int_equal(weir_error_is_retryable(error_at_once), 0);
        weir_error_free(error_at_once);
    }
    assert_int_equal(pool_stats(fixture.pool).failed, 3);
    pool_fixture_close(&fixture);
}

static void too_many_connections_is_the_reason(void **state)
{
    struct weir_pool_opts opts = pool_opts("crowded", 0, 1);
    struct weir_acquire_opts acquire = within_ms(300);
    struct pool_fixture fixture;
    PGconn *admin = admin_open(), *other;
    struct weir_connection *connection;

    (void)state;
    admin_do(admin, "CREATE ROLE crowded LOGIN CONNECTION LIMIT 1");
    other = PQconnectdb("user=crowded application_name=other");
    assert_int_equal(PQstatus(other), CONNECTION_OK);
    opts.conninfo = "user=crowded application_name=crowded";
    opts.backoff_max_ms = 100;
    fixture = pool_fixture_open(&opts, NULL);
    assert_int_equal(refusal(fixture.pool, &acquire, NULL), WEIR_ERROR_TOO_MANY_CONNECTIONS);
    PQfinish(other);
    connection = hold(fixture.pool); /* and it goes by itself */
    give_back(connection);
    pool_fixture_close(&fixture);
    AWAIT(admin_connections(admin, "crowded") == 0);
    admin_do(admin, "DROP ROLE crowded");
    PQfinish(admin);
}

static int hook_that_fails(void *userdata, const struct weir_hook *hook)
{
    (void)userdata;
    (void)hook;
    return 1;
}

static void a_hook_is_the_reason(void **state)
{
    struct weir_pool_opts opts = pool_opts("bad-hook", 0, 1);
    struct pool_fixture fixture;
    char message[512];

    (void)state;
    opts.before_acquire = hook_that_fails;
    fixture = pool_fixture_open(&opts, NULL);
    assert_int_equal(refusal(fixture.pool, NULL, message), WEIR_ERROR_HOOK);
    assert_non_null(strstr(message, "before_acquire"));
    pool_fixture_close(&fixture);
}

static void a_closed_pool_lets_nobody_in(void **state)
{
    struct weir_pool_opts opts = pool_opts("closed", 0, 1);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_connection *held = hold(fixture.pool), *connection = NULL;
    struct weir_acquire *waiting;
    uint64_t begin_ns;

    (void)state;
    CHECK(weir_acquire_start(fixture.pool, NULL, &waiting, &error));
    give_back(held);
    CHECK(weir_acquire_step(waiting, &held, &error));
    begin_ns = clock_monotonic_ns();
    CHECK(weir_acquire_start(fixture.pool, NULL, &waiting, &error));
    (void)weir_manager_drain(fixture.manager, 20, NULL);
    assert_int_equal(weir_acquire_step(waiting, &connection, NULL), WEIR_ERROR_DRAINING);
    assert_int_equal(refusal(fixture.pool, NULL, NULL), WEIR_ERROR_DRAINING);
    assert_true(elapsed_ms(begin_ns) < 1000);
    give_back(held);
    pool_fixture_close(&fixture);
}

/* Each acquire is counted by its end, once. */
static void the_counts_of_ends_sum_up(void **state)
{
    struct weir_pool_opts opts = pool_opts("ends", 0, 1);
    struct pool_fixture fixture;
    struct weir_acquire_opts at_once = within_ms(-1), cancelled = within_ms(0);
    struct weir_pool_stats stats;
    struct weir_connection *held;

    (void)state;
    opts.waiters_max = 0;
    fixture = pool_fixture_open(&opts, NULL);
    cancelled.canceller = weir_canceller_new();
    weir_canceller_cancel(cancelled.canceller);
    held = hold(fixture.pool);
    assert_int_equal(refusal(fixture.pool, NULL, NULL), WEIR_ERROR_REFUSED);
    assert_int_equal(refusal(fixture.pool, &cancelled, NULL), WEIR_ERROR_CANCELLED);
    opts.waiters_max = 1;
    CHECK(weir_pool_reconfigure(fixture.pool, &opts, &error));
    assert_int_equal(refusal(fixture.pool, &at_once, NULL), WEIR_ERROR_TIMEOUT);
    give_back(held);
    stats = pool_stats(fixture.pool);
    assert_int_equal(stats.acquired, 1);
    assert_int_equal(stats.refused, 1);
    assert_int_equal(stats.cancelled, 1);
    assert_int_equal(stats.timeouts, 1);
    assert_int_equal(stats.failed + stats.shed, 0);
    weir_canceller_free(cancelled.canceller);
    pool_fixture_close(&fixture);
}

/* ---- cancelling ------------------------------------------------------------------------------ */

struct waiting_thread {
    struct weir_pool *pool;
    struct weir_canceller *canceller;
    pthread_t thread;
    int result;
};

static void *wait_for_one(void *userdata)
{
    struct waiting_thread *waiting = userdata;
    struct weir_acquire_opts acquire = within_ms(30000);
    struct weir_connection *connection = NULL;

    acquire.canceller = waiting->canceller;
    waiting->result = weir_pool_acquire(waiting->pool, &acquire, &connection, NULL);
    if (!waiting->result)
        (void)weir_connection_release(connection);
    return NULL;
}

static void wait_in_thread(struct waiting_thread *waiting, struct weir_pool *pool,
                           struct weir_canceller *canceller)
{
    uint32_t before = pool_stats(pool).waiting;

    *waiting = (struct waiting_thread){.pool = pool, .canceller = canceller, .result = -1};
    assert_int_equal(pthread_create(&waiting->thread, NULL, wait_for_one, waiting), 0);
    AWAIT(pool_stats(pool).waiting == before + 1);
}

static int end_of_thread(struct waiting_thread *waiting)
{
    assert_int_equal(pthread_join(waiting->thread, NULL), 0);
    return waiting->result;
}

static void one_canceller_ends_all_that_wait_with_it(void **state)
{
    struct weir_pool_opts opts = pool_opts("cancel", 0, 1);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_canceller *canceller = weir_canceller_new();
    struct weir_connection *held = hold(fixture.pool);
    struct waiting_thread waiting[9];
    uint64_t begin_ns;

    (void)state;
    for (unsigned i = 0; i < 9; i++) /* every third one has no canceller */
        wait_in_thread(&waiting[i], fixture.pool, i % 3 == 2 ? NULL : canceller);
    begin_ns = clock_monotonic_ns();
    weir_canceller_cancel(canceller);
    weir_canceller_cancel(canceller);
    for (unsigned i = 0; i < 9; i++)
        if (i % 3 != 2)
            assert_int_equal(end_of_thread(&waiting[i]), WEIR_ERROR_CANCELLED);
    assert_true(elapsed_ms(begin_ns) < LATE_MS * 4);
    assert_int_equal(pool_stats(fixture.pool).waiting, 3);
    give_back(held);
    for (unsigned i = 2; i < 9; i += 3)
        assert_int_equal(end_of_thread(&waiting[i]), 0);
    assert_int_equal(pool_stats(fixture.pool).cancelled, 6);
    weir_canceller_free(canceller);
    pool_fixture_close(&fixture);
}

struct racing {
    struct waiting_thread waiting;
    _Atomic unsigned turn; /* odd: a request is about to be made; even: it is over */
    _Atomic bool is_over;
};

static void *race(void *userdata)
{
    struct racing *racing = userdata;

    while (!atomic_load(&racing->is_over))
        if (atomic_load(&racing->turn) & 1) {
            (void)wait_for_one(&racing->waiting);
            atomic_fetch_add(&racing->turn, 1);
        }
    return NULL;
}

/* Cancelling while the request is just being made: whichever comes first, it is never lost. */
static void cancelling_is_never_lost(void **state)
{
    struct weir_pool_opts opts = pool_opts("cancel-race", 0, 1);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_connection *held = hold(fixture.pool);
    struct racing racing = {.waiting = {.pool = fixture.pool}};
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, race, &racing), 0);
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t begin_ns;
        racing.waiting.canceller = weir_canceller_new();
        atomic_fetch_add(&racing.turn, 1);
        begin_ns = clock_monotonic_ns();
        while (clock_monotonic_ns() - begin_ns < i % 100 * 100) /* about its way to the queue */
            continue;
        weir_canceller_cancel(racing.waiting.canceller);
        AWAIT(!(atomic_load(&racing.turn) & 1));
        assert_int_equal(racing.waiting.result, WEIR_ERROR_CANCELLED);
        weir_canceller_free(racing.waiting.canceller);
    }
    atomic_store(&racing.is_over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    give_back(held);
    pool_fixture_close(&fixture);
}

static void a_used_up_canceller_ends_who_comes_later(void **state)
{
    struct weir_pool_opts opts = pool_opts("cancelled", 0, 1);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_acquire_opts acquire = within_ms(0);
    struct weir_acquire *request = NULL;

    (void)state;
    acquire.canceller = weir_canceller_new();
    give_back(hold_with(fixture.pool, &acquire)); /* unused, it does nothing */
    weir_canceller_cancel(acquire.canceller);
    assert_int_equal(refusal(fixture.pool, &acquire, NULL), WEIR_ERROR_CANCELLED);
    assert_int_equal(weir_acquire_start(fixture.pool, &acquire, &request, NULL),
                     WEIR_ERROR_CANCELLED);
    assert_null(request);
    give_back(hold(fixture.pool));
    weir_canceller_free(acquire.canceller);
    weir_canceller_cancel(NULL);
    weir_canceller_free(NULL);
    pool_fixture_close(&fixture);
}

/* Cancelled, released to and timed out at the same moments: each ends once, nothing is lost. */
struct race {
    struct weir_pool *pool;
    _Atomic(struct weir_canceller *) canceller;
    _Atomic unsigned is_over, odd;
};

static void *race_waiter(void *userdata)
{
    struct race *race = userdata;

    while (!atomic_load(&race->is_over)) {
        struct weir_acquire_opts acquire = within_ms(2);
        struct weir_connection *connection = NULL;
        int r;
        acquire.canceller = weir_canceller_new();
        if (atomic_exchange(&race->canceller, acquire.canceller))
            atomic_fetch_add(&race->odd, 1);
        r = weir_pool_acquire(race->pool, &acquire, &connection, NULL);
        if (!r)
            (void)weir_connection_release(connection);
        else if (r != WEIR_ERROR_TIMEOUT && r != WEIR_ERROR_CANCELLED)
            atomic_fetch_add(&race->odd, 1);
        while (!atomic_exchange(&race->canceller, NULL)) /* the other one has it just now */
            (void)sched_yield();
        weir_canceller_free(acquire.canceller);
    }
    return NULL;
}

static void cancelling_races_with_everything(void **state)
{
    struct weir_pool_opts opts = pool_opts("race", 0, 1);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct race race = {.pool = fixture.pool};
    uint64_t begin_ns = clock_monotonic_ns();
    struct weir_pool_stats stats;
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, race_waiter, &race), 0);
    while (elapsed_ms(begin_ns) < 700) {
        struct weir_connection *connection = NULL;
        struct weir_canceller *canceller;
        (void)weir_pool_acquire(fixture.pool, NULL, &connection, NULL);
        canceller = atomic_exchange(&race.canceller, NULL);
        if (canceller) {
            weir_canceller_cancel(canceller);
            atomic_store(&race.canceller, canceller);
        }
        if (connection)
            (void)weir_connection_release(connection);
    }
    atomic_store(&race.is_over, 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(atomic_load(&race.odd), 0);
    stats = pool_stats(fixture.pool);
    print_message("%lu acquired, %lu cancelled, %lu timed out\n", (unsigned long)stats.acquired,
                  (unsigned long)stats.cancelled, (unsigned long)stats.timeouts);
    assert_true(stats.cancelled > 0);
    assert_int_equal(stats.waiting + stats.used, 0);
    pool_fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deadlines_are_kept),
        cmocka_unit_test(the_pools_own_deadline_is_for_who_names_none),
        cmocka_unit_test(a_server_that_says_nothing_holds_nobody_up),
        cmocka_unit_test(a_hook_that_hangs_holds_nobody_up),
        cmocka_unit_test(who_does_not_wait_is_told_at_once),
        cmocka_unit_test(a_full_queue_refuses),
        cmocka_unit_test(who_waits_for_no_holder_is_not_counted_as_waiting),
        cmocka_unit_test(a_suspended_pool_lets_wait_but_not_in),
        cmocka_unit_test(a_suspended_pool_has_a_full_queue_too),
        cmocka_unit_test(an_unreachable_server_is_the_reason),
        cmocka_unit_test(a_role_that_is_not_let_in_is_told_at_once),
        cmocka_unit_test(too_many_connections_is_the_reason),
        cmocka_unit_test(a_hook_is_the_reason),
        cmocka_unit_test(a_closed_pool_lets_nobody_in),
        cmocka_unit_test(the_counts_of_ends_sum_up),
        cmocka_unit_test(one_canceller_ends_all_that_wait_with_it),
        cmocka_unit_test(cancelling_is_never_lost),
        cmocka_unit_test(a_used_up_canceller_ends_who_comes_later),
        cmocka_unit_test(cancelling_races_with_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
