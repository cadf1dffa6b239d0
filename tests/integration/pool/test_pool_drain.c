/* Shutting down: nobody gets in, holders finish, what does not is cut by the deadline and named. */
#include "feature_test.h"

static void a_drain_without_holders_is_quick(void **state)
{
    struct weir_pool_opts opts = pool_opts("quiet", 3, 3);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_drain_report *report = NULL;
    PGconn *admin = admin_open();
    uint64_t begin_ns;

    (void)state;
    AWAIT(admin_connections(admin, "quiet") == 3);
    begin_ns = clock_monotonic_ns();
    assert_int_equal(weir_manager_drain(fixture.manager, 10000, &report), 0);
    assert_true(elapsed_ms(begin_ns) < 1000);
    assert_int_equal(weir_drain_report_count(report), 0);
    assert_null(weir_drain_report_cut(report, 0));
    weir_drain_report_free(report);
    AWAIT(admin_connections(admin, "quiet") == 0);
    assert_int_equal(refusal(fixture.pool, NULL, NULL), WEIR_ERROR_DRAINING);
    assert_int_equal(weir_pool_open(fixture.manager, &opts, &fixture.pool, NULL),
                     WEIR_ERROR_DRAINING);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

/* ---- threads at the pool while it drains ----------------------------------------------------- */

struct user {
    struct weir_pool *pool;
    const char *sql, *call_site, *tenant;
    _Atomic unsigned is_holding, is_done, failed_ms;
    _Atomic int acquired, executed;
    uint64_t begin_ns;
    _Atomic uint32_t pid;
    pthread_t thread;
};

static void *user_work(void *userdata)
{
    struct user *user = userdata;
    struct weir_acquire_opts acquire = within_ms(30000);
    struct weir_connection *connection = NULL;

    acquire.call_site = user->call_site;
    acquire.tenant = user->tenant;
    atomic_store(&user->acquired, weir_pool_acquire(user->pool, &acquire, &connection, NULL));
    if (connection) {
        atomic_store(&user->pid, weir_connection_backend_pid(connection));
        atomic_store(&user->is_holding, 1);
        atomic_store(&user->executed, weir_execute(connection, user->sql, NULL, NULL, NULL));
        (void)weir_connection_release(connection);
    }
    atomic_store(&user->failed_ms, elapsed_ms(user->begin_ns));
    atomic_store(&user->is_done, 1);
    return NULL;
}

static void user_start(struct user *user, struct weir_pool *pool, const char *sql)
{
    user->pool = pool;
    user->sql = sql;
    user->begin_ns = clock_monotonic_ns();
    atomic_store(&user->acquired, -1);
    atomic_store(&user->executed, -1);
    assert_int_equal(pthread_create(&user->thread, NULL, user_work, user), 0);
}

static void user_end(struct user *user)
{
    assert_int_equal(pthread_join(user->thread, NULL), 0);
}

static void await_sleeping(PGconn *admin, const char *name, long count)
{
    char sql[200];

    (void)snprintf(sql, sizeof(sql),
                   "SELECT count(*) FROM pg_stat_activity WHERE application_name = '%s'"
                   " AND wait_event = 'PgSleep'",
                   name);
    AWAIT(admin_number(admin, sql) == count);
}

static void holders_finish_and_waiters_are_told(void **state)
{
    struct weir_pool_opts opts = pool_opts("finish", 0, 2);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct user holders[2] = {{.call_site = "h"}, {.call_site = "h"}}, waiters[3] = {{.sql = NULL}};
    struct weir_drain_report *report = NULL;
    PGconn *admin = admin_open();
    uint64_t begin_ns;

    (void)state;
    for (unsigned i = 0; i < 2; i++)
        user_start(&holders[i], fixture.pool, "SELECT pg_sleep(0.6)");
    await_sleeping(admin, "finish", 2);
    for (unsigned i = 0; i < 3; i++)
        user_start(&waiters[i], fixture.pool, "SELECT 1");
    AWAIT(pool_stats(fixture.pool).waiting == 3);
    begin_ns = clock_monotonic_ns();
    for (unsigned i = 0; i < 3; i++)
        waiters[i].begin_ns = begin_ns;
    assert_int_equal(weir_manager_drain(fixture.manager, 10000, &report), 0);
    assert_true(elapsed_ms(begin_ns) < 2000); /* as soon as they are done */
    for (unsigned i = 0; i < 3; i++) {
        user_end(&waiters[i]);
        assert_int_equal(atomic_load(&waiters[i].acquired), WEIR_ERROR_DRAINING);
        assert_true(atomic_load(&waiters[i].failed_ms) < LATE_MS * 2);
    }
    for (unsigned i = 0; i < 2; i++) {
        user_end(&holders[i]);
        assert_int_equal(atomic_load(&holders[i].executed), 0);
    }
    assert_int_equal(weir_drain_report_count(report), 0);
    weir_drain_report_free(report);
    AWAIT(admin_connections(admin, "finish") == 0);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

static const struct weir_drain_cut *cut_of(const struct weir_drain_report *report, uint32_t pid)
{
    for (size_t i = 0; i < weir_drain_report_count(report); i++)
        if (weir_drain_report_cut(report, i)->backend_pid == pid)
            return weir_drain_report_cut(report, i);
    fail_msg("backend %u is not in the report", pid);
    return NULL;
}

/* One executes, one holds and does nothing, one finishes in time. */
static void what_is_cut_is_named(void **state)
{
    struct weir_pool_opts opts = pool_opts("cut", 0, 3);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct user slow = {.call_site = "report.c:yearly", .tenant = "acme"}, quick = {.sql = NULL};
    struct weir_acquire_opts acquire = within_ms(0);
    struct weir_drain_report *report = NULL;
    const struct weir_drain_cut *cut;
    struct weir_connection *idle;
    PGconn *admin = admin_open();
    uint64_t begin_ns;
    uint32_t idle_pid;

    (void)state;
    acquire.call_site = "cart.c:forgotten";
    acquire.tenant = "umbrella";
    idle = hold_with(fixture.pool, &acquire);
    idle_pid = weir_connection_backend_pid(idle);
    run(idle, "SELECT 'forgotten'");
    user_start(&slow, fixture.pool, "SELECT pg_sleep(60), 'secret'");
    user_start(&quick, fixture.pool, "SELECT pg_sleep(0.3)");
    await_sleeping(admin, "cut", 2);
    begin_ns = clock_monotonic_ns();
    assert_int_equal(weir_manager_drain(fixture.manager, 1500, &report), WEIR_ERROR_TIMEOUT);
    assert_in_range(elapsed_ms(begin_ns), 1000, 1500 + LATE_MS);
    user_end(&slow);
    user_end(&quick);
    assert_int_equal(atomic_load(&quick.executed), 0);
    assert_int_not_equal(atomic_load(&slow.executed), 0);
    assert_int_equal(weir_drain_report_count(report), 2);
    cut = cut_of(report, atomic_load(&slow.pid));
    assert_string_equal(cut->pool, "cut");
    assert_string_equal(cut->call_site, "report.c:yearly");
    assert_string_equal(cut->tenant, "acme");
    assert_int_equal(cut->was_executing, 1);
    assert_non_null(strstr(cut->statement, "pg_sleep"));
    assert_null(strstr(cut->statement, "secret"));
    assert_true(cut->held_ns >= 1000 * NS_PER_MS);
    cut = cut_of(report, idle_pid);
    assert_string_equal(cut->call_site, "cart.c:forgotten");
    assert_string_equal(cut->tenant, "umbrella");
    assert_int_equal(cut->was_executing, 0);
    weir_drain_report_free(report);
    AWAIT(admin_connections(admin, "cut") == 0); /* also that of who still holds */
    assert_int_not_equal(weir_execute(idle, "SELECT 1", NULL, NULL, NULL), 0);
    give_back(idle);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

/* The deadline is kept with much to cut, and for every pool of the manager. */
static void the_deadline_is_kept_with_many(void **state)
{
    enum { USERS = 12 };
    struct weir_pool_opts opts = pool_opts("many-a", 0, USERS / 2);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct user users[USERS] = {{.sql = NULL}};
    struct weir_drain_report *report = NULL;
    struct weir_pool *other;
    PGconn *admin = admin_open();
    uint64_t begin_ns;

    (void)state;
    opts = pool_opts("many-b", 0, USERS / 2);
    CHECK(weir_pool_open(fixture.manager, &opts, &other, &error));
    for (unsigned i = 0; i < USERS; i++)
        user_start(&users[i], i % 2 ? other : fixture.pool, "SELECT pg_sleep(60)");
    await_sleeping(admin, "many-a", USERS / 2);
    await_sleeping(admin, "many-b", USERS / 2);
    begin_ns = clock_monotonic_ns();
    assert_int_equal(weir_manager_drain(fixture.manager, 1000, &report), WEIR_ERROR_TIMEOUT);
    assert_in_range(elapsed_ms(begin_ns), 800, 1000 + LATE_MS);
    assert_int_equal(weir_drain_report_count(report), USERS);
    weir_drain_report_free(report);
    for (unsigned i = 0; i < USERS; i++)
        user_end(&users[i]);
    AWAIT(admin_connections(admin, "many-a") + admin_connections(admin, "many-b") == 0);
    (void)weir_pool_unref(other);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

static void no_time_at_all_cuts_at_once(void **state)
{
    struct weir_pool_opts opts = pool_opts("no-time", 0, 1);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct user user = {.sql = NULL};
    PGconn *admin = admin_open();
    uint64_t begin_ns;

    (void)state;
    user_start(&user, fixture.pool, "SELECT pg_sleep(60)");
    await_sleeping(admin, "no-time", 1);
    begin_ns = clock_monotonic_ns();
    assert_int_equal(weir_manager_drain(fixture.manager, 0, NULL), WEIR_ERROR_TIMEOUT);
    assert_true(elapsed_ms(begin_ns) < LATE_MS * 2);
    user_end(&user);
    AWAIT(admin_connections(admin, "no-time") == 0);
    /* A second drain finds nothing, and says so. */
    assert_int_equal(weir_manager_drain(fixture.manager, 1000, NULL), 0);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_drain_without_holders_is_quick),
        cmocka_unit_test(holders_finish_and_waiters_are_told),
        cmocka_unit_test(what_is_cut_is_named),
        cmocka_unit_test(the_deadline_is_kept_with_many),
        cmocka_unit_test(no_time_at_all_cuts_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
