/* Connections come and go by themselves: opened when wanted and up to the minimum, closed when idle
 * or old, and attempts never come in storms. */
#include "feature_test.h"

enum {
    LIFETIMES = 30,
    LIFETIME_MS = 1500,
    SHORT_MS = 500,
    JITTER_PERCENT = 90,
    LOOK_MS = 250, /* the manager looks at quiet pools so often */
};

static void nothing_is_opened_before_it_is_wanted(void **state)
{
    struct weir_pool_opts lazy = pool_opts("lazy", 0, 5), eager;
    struct pool_fixture fixture = pool_fixture_open(&lazy, NULL);
    struct weir_pool *other;
    PGconn *admin = admin_open();

    (void)state;
    /* The manager has looked after both pools once the other one has its connections. */
    eager = pool_opts("eager", 3, 5);
    CHECK(weir_pool_open(fixture.manager, &eager, &other, &error));
    AWAIT(admin_connections(admin, "eager") == 3);
    assert_int_equal(admin_connections(admin, "lazy"), 0);
    give_back(hold(fixture.pool));
    assert_int_equal(admin_connections(admin, "lazy"), 1);
    assert_int_equal(admin_connections(admin, "eager"), 3);
    (void)weir_pool_unref(other);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

static void the_last_released_is_taken_first(void **state)
{
    struct weir_pool_opts opts = pool_opts("lifo", 0, 3);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_connection *held[3];
    uint32_t pids[3];

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        held[i] = hold(fixture.pool);
        pids[i] = weir_connection_backend_pid(held[i]);
    }
    for (unsigned i = 0; i < 3; i++)
        give_back(held[i]);
    for (unsigned round = 0; round < 20; round++) { /* one after the other: always the same one */
        held[0] = hold(fixture.pool);
        assert_int_equal(weir_connection_backend_pid(held[0]), pids[2]);
        give_back(held[0]);
    }
    for (unsigned i = 0; i < 3; i++) {
        held[i] = hold(fixture.pool);
        assert_int_equal(weir_connection_backend_pid(held[i]), pids[2 - i]);
    }
    for (unsigned i = 0; i < 3; i++)
        give_back(held[i]);
    pool_fixture_close(&fixture);
}

static void idle_ones_are_closed_down_to_the_minimum(void **state)
{
    struct weir_pool_opts opts = pool_opts("idle", 2, 6);
    struct pool_fixture fixture;
    struct weir_connection *held[6], *used;
    PGconn *admin = admin_open();

    (void)state;
    opts.idle_timeout_ms = 200;
    opts.connects_max = 6;
    fixture = pool_fixture_open(&opts, NULL);
    for (unsigned i = 0; i < 6; i++)
        held[i] = hold(fixture.pool);
    used = held[0];
    assert_int_equal(admin_connections(admin, "idle"), 6);
    for (unsigned i = 1; i < 6; i++)
        give_back(held[i]);
    AWAIT(admin_connections(admin, "idle") == 2); /* the one in use is one of the two */
    assert_string_equal(ask(used, "SELECT 'still here'"), "still here");
    pass_ms(2 * LOOK_MS + 200); /* long enough for the next one to go, if it did */
    assert_int_equal(admin_connections(admin, "idle"), 2);
    assert_int_equal(pool_stats(fixture.pool).closed, 4);
    give_back(used);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

/* How old each of LIFETIMES connections became, in milliseconds, by the server's clock until then.
 */
static void ages_at_the_end(const char *name, int32_t lifetime_ms, int32_t jitter,
                            unsigned ret_ms[LIFETIMES])
{
    struct weir_pool_opts opts = pool_opts(name, LIFETIMES, LIFETIMES);
    struct pool_fixture fixture;
    bool is_open[LIFETIMES];
    unsigned left = LIFETIMES;
    PGconn *admin = admin_open();
    PGresult *found;
    uint64_t begin_ns;
    char sql[250];

    opts.lifetime_ms = lifetime_ms;
    opts.lifetime_jitter = jitter;
    opts.connects_max = LIFETIMES;
    opts.connect_rate_max = 10000;
    fixture = pool_fixture_open(&opts, NULL);
    AWAIT(admin_connections(admin, name) == LIFETIMES);
    (void)snprintf(sql, sizeof(sql),
                   "SELECT pid, (extract(epoch FROM clock_timestamp() - backend_start) * 1000)::int"
                   " FROM pg_stat_activity WHERE application_name = '%s'",
                   name);
    begin_ns = clock_monotonic_ns();
    found = PQexec(admin, sql);
    assert_int_equal(PQntuples(found), LIFETIMES);
    for (unsigned i = 0; i < LIFETIMES; i++)
        is_open[i] = true;
    while (left && elapsed_ms(begin_ns) < AWAIT_MS)
        for (int i = 0; i < LIFETIMES; i++)
            if (is_open[i] &&
                !admin_has(admin, (uint32_t)strtoul(PQgetvalue(found, i, 0), NULL, 10))) {
                is_open[i] = false;
                ret_ms[--left] =
                    elapsed_ms(begin_ns) + (unsigned)strtoul(PQgetvalue(found, i, 1), NULL, 10);
            }
    assert_int_equal(left, 0);
    PQclear(found);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

static int by_size(const void *a, const void *b)
{
    unsigned at = *(const unsigned *)a, bt = *(const unsigned *)b;

    return at < bt ? -1 : at > bt;
}

static void jitter_spreads_the_ends_of_lifetimes(void **state)
{
    unsigned ms[LIFETIMES], window = LIFETIME_MS * JITTER_PERCENT / 100, crowd = 0;

    (void)state;
    ages_at_the_end("jitter", LIFETIME_MS, JITTER_PERCENT, ms);
    qsort(ms, LIFETIMES, sizeof(ms[0]), by_size);
    for (unsigned i = 0; i < LIFETIMES; i++) {
        unsigned together = 0;
        for (unsigned j = i; j < LIFETIMES && ms[j] - ms[i] < LOOK_MS; j++)
            together++;
        crowd = together > crowd ? together : crowd;
    }
    print_message("%d connections closed between %u and %u ms of age, at most %u within %d ms\n",
                  LIFETIMES, ms[0], ms[LIFETIMES - 1], crowd, LOOK_MS);
    assert_true(ms[0] >= LIFETIME_MS - window);
    assert_true(ms[LIFETIMES - 1] < LIFETIME_MS + 2 * LOOK_MS + LATE_MS * 4);
    /* Even times would be 45 ms apart: the chance of less is under one in a million. */
    assert_true(ms[LIFETIMES - 1] - ms[0] > window * 4 / 10);
    assert_true(crowd < LIFETIMES * 2 / 3);
}

static void without_jitter_they_end_together(void **state)
{
    unsigned ms[LIFETIMES];

    (void)state;
    ages_at_the_end("no-jitter", SHORT_MS, 0, ms);
    qsort(ms, LIFETIMES, sizeof(ms[0]), by_size);
    assert_true(ms[0] >= SHORT_MS);
    assert_true(ms[LIFETIMES - 1] < SHORT_MS + 2 * LOOK_MS + LATE_MS * 4);
}

static void an_old_one_in_use_is_replaced_after_its_release(void **state)
{
    struct weir_pool_opts opts = pool_opts("old", 1, 1);
    struct pool_fixture fixture;
    struct weir_connection *used;
    PGconn *admin = admin_open();
    uint32_t pid;

    (void)state;
    opts.lifetime_ms = 100;
    opts.lifetime_jitter = 0;
    fixture = pool_fixture_open(&opts, NULL);
    used = hold(fixture.pool);
    pid = weir_connection_backend_pid(used);
    pass_ms(2 * LOOK_MS + 100);
    assert_string_equal(ask(used, "SELECT 'still mine'"), "still mine");
    give_back(used);
    AWAIT(!admin_has(admin, pid));
    AWAIT(admin_connections(admin, "old") == 1); /* the minimum is kept */
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

/* ---- attempts -------------------------------------------------------------------------------- */

/* What the hook before_connect sees of the attempts. */
struct attempts_seen {
    _Atomic unsigned now, most, count;
    _Atomic uint64_t at_ns[64];
    _Atomic unsigned is_down; /* the server cannot be reached */
};

static int attempt_seen(void *userdata, const struct weir_hook *hook,
                        struct weir_connect_params *params)
{
    struct attempts_seen *seen = userdata;
    unsigned now = atomic_fetch_add(&seen->now, 1) + 1, most = atomic_load(&seen->most);
    unsigned number = atomic_fetch_add(&seen->count, 1);

    (void)hook;
    if (number < 64)
        atomic_store(&seen->at_ns[number], clock_monotonic_ns());
    while (now > most && !atomic_compare_exchange_weak(&seen->most, &most, now))
        continue;
    if (atomic_load(&seen->is_down))
        (void)snprintf(params->port, sizeof(params->port), "1");
    return 0;
}

static int attempt_over(void *userdata, const struct weir_hook *hook)
{
    struct attempts_seen *seen = userdata;

    (void)hook;
    pass_ms(20); /* so that attempts would overlap if they might */
    atomic_fetch_sub(&seen->now, 1);
    return 0;
}

static struct weir_pool_opts seen_opts(const char *name, int min, int max,
                                       struct attempts_seen *seen)
{
    struct weir_pool_opts opts = pool_opts(name, min, max);

    opts.hook_userdata = seen;
    opts.before_connect = attempt_seen;
    opts.after_connect = attempt_over;
    return opts;
}

static void so_many_attempts_at_once(void **state)
{
    struct attempts_seen seen = {.now = 0};
    struct weir_pool_opts opts = seen_opts("at-once", 20, 20, &seen);
    struct pool_fixture fixture;

    (void)state;
    opts.connects_max = 3;
    opts.connect_rate_max = 10000;
    fixture = pool_fixture_open(&opts, NULL);
    AWAIT(pool_stats(fixture.pool).idle == 20);
    assert_int_equal(atomic_load(&seen.most), 3);
    assert_int_equal(atomic_load(&seen.count), 20);
    pool_fixture_close(&fixture);
}

static void so_many_attempts_a_second(void **state)
{
    struct attempts_seen seen = {.now = 0};
    struct weir_pool_opts opts = seen_opts("rate", 20, 20, &seen);
    struct pool_fixture fixture;
    uint64_t first_ns;

    (void)state;
    opts.connects_max = 4;
    opts.connect_rate_max = 20;
    fixture = pool_fixture_open(&opts, NULL);
    AWAIT(pool_stats(fixture.pool).idle == 20);
    first_ns = atomic_load(&seen.at_ns[0]);
    for (unsigned i = 4; i < 20; i++) { /* four at once, then one each 50 ms */
        unsigned ms = (unsigned)((atomic_load(&seen.at_ns[i]) - first_ns) / NS_PER_MS);
        assert_true(ms + 5 >= (i - 3) * 50);
    }
    assert_true(atomic_load(&seen.at_ns[19]) - first_ns < 2000 * NS_PER_MS);
    pool_fixture_close(&fixture);
}

/* Doubling from 40 ms up to 320 ms, of which the half is random; and it ends with the outage. */
static void attempts_back_off_while_the_server_is_down(void **state)
{
    struct attempts_seen seen = {.is_down = 1};
    struct weir_pool_opts opts = seen_opts("down", 1, 4, &seen);
    struct log_book book = LOG_BOOK;
    struct pool_fixture fixture;
    PGconn *admin = admin_open();
    uint64_t up_ns;

    (void)state;
    opts.backoff_min_ms = 40;
    opts.backoff_max_ms = 320;
    fixture = logged_open(&opts, &book);
    AWAIT(atomic_load(&seen.count) >= 7);
    for (unsigned i = 1; i < 7; i++) {
        uint64_t gap_ns = atomic_load(&seen.at_ns[i]) - atomic_load(&seen.at_ns[i - 1]);
        unsigned ms = (unsigned)(gap_ns / NS_PER_MS), delay = i < 4 ? 20u << i : 320;
        assert_true(ms + 1 >= delay / 2);
        assert_true(ms < delay + LATE_MS * 2);
    }
    assert_true(log_book_count(&book, WEIR_LOG_CONNECT_FAILED) >= 6);
    assert_true(pool_stats(fixture.pool).connect_failures >= 6);
    atomic_store(&seen.is_down, 0);
    up_ns = clock_monotonic_ns();
    AWAIT(admin_connections(admin, "down") == 1);
    assert_true(elapsed_ms(up_ns) < 320 + LATE_MS * 4);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_opened_before_it_is_wanted),
        cmocka_unit_test(the_last_released_is_taken_first),
        cmocka_unit_test(idle_ones_are_closed_down_to_the_minimum),
        cmocka_unit_test(jitter_spreads_the_ends_of_lifetimes),
        cmocka_unit_test(without_jitter_they_end_together),
        cmocka_unit_test(an_old_one_in_use_is_replaced_after_its_release),
        cmocka_unit_test(so_many_attempts_at_once),
        cmocka_unit_test(so_many_attempts_a_second),
        cmocka_unit_test(attempts_back_off_while_the_server_is_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
