/* Changing a pool while threads use it: limits up and down, eviction, suspension. */
#include "feature_test.h"

enum { USERS = 8 };

/* Threads that take and give back until told to stop. */
struct load {
    struct weir_pool *pool;
    _Atomic unsigned is_over, done, failed;
    pthread_t threads[USERS];
};

static void *load_user(void *userdata)
{
    struct load *load = userdata;

    while (!atomic_load(&load->is_over)) {
        struct weir_connection *connection = NULL;
        PGresult *result = NULL;
        if (weir_pool_acquire(load->pool, NULL, &connection, NULL) ||
            weir_execute(connection, "SELECT pg_backend_pid()", NULL, &result, NULL) ||
            strtoul(PQgetvalue(result, 0, 0), NULL, 10) != weir_connection_backend_pid(connection))
            atomic_fetch_add(&load->failed, 1);
        PQclear(result);
        if (connection && weir_connection_release(connection))
            atomic_fetch_add(&load->failed, 1);
        atomic_fetch_add(&load->done, 1);
    }
    return NULL;
}

static void load_start(struct load *load, struct weir_pool *pool)
{
    load->pool = pool;
    for (unsigned i = 0; i < USERS; i++)
        assert_int_equal(pthread_create(&load->threads[i], NULL, load_user, load), 0);
    AWAIT(atomic_load(&load->done) > 100);
}

static void load_stop(struct load *load)
{
    unsigned before = atomic_load(&load->done);

    AWAIT(atomic_load(&load->done) > before); /* it still goes on */
    atomic_store(&load->is_over, 1);
    for (unsigned i = 0; i < USERS; i++)
        assert_int_equal(pthread_join(load->threads[i], NULL), 0);
    assert_int_equal(atomic_load(&load->failed), 0);
}

static void reconfigure(struct weir_pool *pool, const char *name, int min, int max)
{
    struct weir_pool_opts opts = pool_opts(name, min, max);

    opts.connects_max = 8;
    opts.connect_rate_max = 1000;
    CHECK(weir_pool_reconfigure(pool, &opts, &error));
}

static void limits_change_under_load(void **state)
{
    struct weir_pool_opts opts = pool_opts("limits", 0, 2);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct load load = {.is_over = 0};
    PGconn *admin = admin_open();

    (void)state;
    load_start(&load, fixture.pool);
    assert_true(admin_connections(admin, "limits") <= 2);
    for (unsigned round = 0; round < 3; round++) {
        reconfigure(fixture.pool, "limits", 6, 6);
        AWAIT(admin_connections(admin, "limits") == 6);
        reconfigure(fixture.pool, "limits", 0, 1);
        AWAIT(admin_connections(admin, "limits") == 1);
    }
    for (unsigned i = 0; i < 50; i++)
        assert_true(admin_connections(admin, "limits") <= 1);
    load_stop(&load);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

static void a_smaller_maximum_closes_used_ones_on_release(void **state)
{
    struct weir_pool_opts opts = pool_opts("smaller", 0, 4), shown;
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_connection *held[4];
    PGconn *admin = admin_open();

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        held[i] = hold(fixture.pool);
    reconfigure(fixture.pool, "smaller", 0, 2);
    weir_pool_opts_get(fixture.pool, &shown, sizeof(shown));
    assert_int_equal(shown.connections_max, 2);
    assert_string_equal(shown.name, "smaller");
    assert_int_equal(admin_connections(admin, "smaller"), 4); /* nobody loses what he holds */
    for (unsigned i = 0; i < 4; i++) {
        assert_string_equal(ask(held[i], "SELECT 1"), "1");
        give_back(held[i]);
    }
    AWAIT(admin_connections(admin, "smaller") == 2);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

static void times_change_at_once(void **state)
{
    struct weir_pool_opts opts = pool_opts("times", 0, 3);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_connection *held[3];
    PGconn *admin = admin_open();
    uint64_t begin_ns;

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        held[i] = hold(fixture.pool);
    opts.acquire_timeout_ms = 100;
    opts.idle_timeout_ms = 100;
    CHECK(weir_pool_reconfigure(fixture.pool, &opts, &error));
    begin_ns = clock_monotonic_ns();
    assert_int_equal(refusal(fixture.pool, NULL, NULL), WEIR_ERROR_TIMEOUT);
    assert_in_range(elapsed_ms(begin_ns), 100, 100 + LATE_MS);
    for (unsigned i = 0; i < 3; i++)
        give_back(held[i]);
    AWAIT(admin_connections(admin, "times") == 0);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

static void a_bad_change_changes_nothing(void **state)
{
    struct weir_pool_opts opts = pool_opts("bad-change", 1, 3), bad = opts, shown;
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_error *refused = NULL;

    (void)state;
    bad.connections_min = 5;
    bad.acquire_timeout_ms = 77;
    assert_int_equal(weir_pool_reconfigure(fixture.pool, &bad, &refused), WEIR_ERROR_USAGE);
    assert_non_null(strstr(weir_error_message(refused), "connections_m"));
    weir_error_free(refused);
    weir_pool_opts_get(fixture.pool, &shown, sizeof(shown));
    assert_int_equal(shown.connections_min, 1);
    assert_int_equal(shown.acquire_timeout_ms, opts.acquire_timeout_ms);
    pool_fixture_close(&fixture);
}

/* Connections that are older than @moment_us of the server's clock. */
static long older_backends(PGconn *admin, const char *name, long moment_us)
{
    char sql[250];

    (void)snprintf(sql, sizeof(sql),
                   "SELECT count(*) FROM pg_stat_activity WHERE application_name = '%s'"
                   " AND extract(epoch FROM backend_start) * 1000000 <= %ld",
                   name, moment_us);
    return admin_number(admin, sql);
}

static void eviction_replaces_all(void **state)
{
    struct weir_pool_opts opts = pool_opts("evict", 0, 3);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_connection *used, *idle, *connection;
    PGconn *admin = admin_open();
    uint32_t used_pid, idle_pid;

    (void)state;
    used = hold(fixture.pool);
    idle = hold(fixture.pool);
    used_pid = weir_connection_backend_pid(used);
    idle_pid = weir_connection_backend_pid(idle);
    give_back(idle);
    weir_pool_evict(fixture.pool);
    AWAIT(!admin_has(admin, idle_pid));
    assert_string_equal(ask(used, "SELECT 'still mine'"), "still mine");
    assert_true(admin_has(admin, used_pid));
    give_back(used);
    AWAIT(!admin_has(admin, used_pid));
    connection = hold(fixture.pool);
    assert_int_not_equal(weir_connection_backend_pid(connection), used_pid);
    assert_int_not_equal(weir_connection_backend_pid(connection), idle_pid);
    used_pid = weir_connection_backend_pid(connection);
    give_back(connection); /* a new one is kept */
    connection = hold(fixture.pool);
    assert_int_equal(weir_connection_backend_pid(connection), used_pid);
    give_back(connection);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

static void eviction_under_load(void **state)
{
    struct weir_pool_opts opts = pool_opts("evict-load", 4, 4);
    struct pool_fixture fixture;
    struct load load = {.is_over = 0};
    PGconn *admin = admin_open();

    (void)state;
    opts.connects_max = 8;
    opts.connect_rate_max = 1000;
    fixture = pool_fixture_open(&opts, NULL);
    load_start(&load, fixture.pool);
    for (unsigned round = 0; round < 5; round++) {
        long now = admin_number(admin, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)"
                                       "::bigint");
        weir_pool_evict(fixture.pool);
        AWAIT(older_backends(admin, "evict-load", now) == 0);
        assert_true(admin_connections(admin, "evict-load") <= 4);
    }
    load_stop(&load);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

static void suspension_stops_the_load_and_resuming_starts_it(void **state)
{
    struct weir_pool_opts opts = pool_opts("suspend-load", 0, 4);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct load load = {.is_over = 0};

    (void)state;
    load_start(&load, fixture.pool);
    for (unsigned round = 0; round < 5; round++) {
        uint64_t acquired;
        weir_pool_suspend(fixture.pool);
        weir_pool_suspend(fixture.pool); /* twice is once */
        AWAIT(pool_stats(fixture.pool).waiting == USERS);
        acquired = pool_stats(fixture.pool).acquired;
        assert_int_equal(pool_stats(fixture.pool).used, 0);
        pass_ms(50);
        assert_int_equal(pool_stats(fixture.pool).acquired, acquired);
        weir_pool_resume(fixture.pool);
        AWAIT(pool_stats(fixture.pool).acquired > acquired + 100);
    }
    load_stop(&load);
    pool_fixture_close(&fixture);
}

/* There may be enough of them when it is resumed. */
static void a_suspended_pool_opens_nothing_for_who_waits(void **state)
{
    struct weir_pool_opts opts = pool_opts("suspend-idle", 0, 4);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_connection *connection = hold(fixture.pool);
    struct weir_acquire *waiting[3];

    (void)state;
    give_back(connection);
    AWAIT(pool_stats(fixture.pool).idle == 1);
    weir_pool_suspend(fixture.pool);
    for (unsigned i = 0; i < 3; i++)
        CHECK(weir_acquire_start(fixture.pool, NULL, &waiting[i], &error));
    pass_ms(100);
    assert_int_equal(pool_stats(fixture.pool).connected, 1);
    assert_int_equal(pool_stats(fixture.pool).connecting, 0);
    weir_pool_resume(fixture.pool);
    for (unsigned i = 0; i < 3; i++) {
        int r;
        AWAIT((r = weir_acquire_step(waiting[i], &connection, NULL)) != WEIR_PENDING);
        assert_int_equal(r, 0);
        give_back(connection);
    }
    pool_fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_suspended_pool_opens_nothing_for_who_waits),
        cmocka_unit_test(limits_change_under_load),
        cmocka_unit_test(a_smaller_maximum_closes_used_ones_on_release),
        cmocka_unit_test(times_change_at_once),
        cmocka_unit_test(a_bad_change_changes_nothing),
        cmocka_unit_test(eviction_replaces_all),
        cmocka_unit_test(eviction_under_load),
        cmocka_unit_test(suspension_stops_the_load_and_resuming_starts_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
