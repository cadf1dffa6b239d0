/* The pool grows and shrinks with the work, and says how large it should be. */
#include "feature_test.h"

enum { WORKERS = 4, HOLD_MS = 5 };

static struct weir_pool_advice advice_of(struct weir_pool *pool)
{
    struct weir_pool_advice advice;

    assert_int_equal(weir_pool_advice(pool, &advice, sizeof(advice)), 0);
    return advice;
}

static void it_grows_with_demand_and_shrinks_without(void **state)
{
    struct weir_pool_opts opts = pool_opts("elastic", 1, 8);
    struct pool_fixture fixture;
    struct weir_connection *held[8];
    PGconn *admin = admin_open();

    (void)state;
    opts.idle_timeout_ms = 200;
    opts.connect_rate_max = 1000;
    fixture = pool_fixture_open(&opts, NULL);
    AWAIT(admin_connections(admin, "elastic") == 1);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 8; i++) {
            held[i] = hold(fixture.pool);
            assert_int_equal(admin_connections(admin, "elastic"), i + 1);
        }
        for (unsigned i = 0; i < 8; i++)
            give_back(held[i]);
        AWAIT(admin_connections(admin, "elastic") == 1);
    }
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

/* ---- a load of known size -------------------------------------------------------------------- */

struct work {
    struct weir_pool *pool;
    _Atomic unsigned is_over;
    unsigned rest_ms; /* between two holds */
    pthread_t threads[WORKERS];
};

static void *worker(void *userdata)
{
    struct work *work = userdata;

    while (!atomic_load(&work->is_over)) {
        struct weir_connection *connection = hold(work->pool);
        pass_ms(HOLD_MS);
        give_back(connection);
        if (work->rest_ms)
            pass_ms(work->rest_ms);
    }
    return NULL;
}

static void work_start(struct work *work)
{
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&work->threads[i], NULL, worker, work), 0);
}

static void work_end(struct work *work)
{
    atomic_store(&work->is_over, 1);
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_join(work->threads[i], NULL), 0);
}

/* Four threads that hold half of the time keep two connections busy: two are too few, and with
 * five hardly anybody would ever wait. */
static void advice_is_near_the_truth(void **state)
{
    struct weir_pool_opts opts = pool_opts("half-busy", 0, 10);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct work work = {.pool = fixture.pool, .rest_ms = HOLD_MS};
    struct weir_pool_advice advice;
    uint64_t begin_ns;

    (void)state;
    work_start(&work);
    AWAIT(pool_stats(fixture.pool).acquired > 20);
    weir_pool_advice_restart(fixture.pool);
    begin_ns = clock_monotonic_ns();
    AWAIT(advice_of(fixture.pool).acquires >= 900 || elapsed_ms(begin_ns) >= 5000);
    advice = advice_of(fixture.pool);
    work_end(&work);
    print_message("%s\n", advice.text);
    assert_in_range(advice.connections_max, 2, 6);
    assert_true(advice.connections_min >= 1 && advice.connections_min <= advice.connections_max);
    assert_true(advice.doubts & WEIR_ADVICE_FEW); /* some seconds are no day */
    assert_false(advice.doubts & (WEIR_ADVICE_SATURATED | WEIR_ADVICE_SERVER));
    assert_true(advice.confidence > 0 && advice.confidence <= 1);
    /* Little's law holds between what is told: rate times hold is what is busy of ten. */
    assert_true(advice.hold_mean_seconds > 0.0045 && advice.hold_mean_seconds < 0.02);
    assert_true(advice.arrivals_per_second > 50 && advice.arrivals_per_second < 500);
    assert_true(advice.utilization > 0.1 && advice.utilization < 0.35);
    assert_true(advice.utilization * 10 / (advice.arrivals_per_second * advice.hold_mean_seconds) >
                0.7);
    assert_true(advice.utilization * 10 / (advice.arrivals_per_second * advice.hold_mean_seconds) <
                1.4);
    assert_true(strlen(advice.text) > 20);
    pool_fixture_close(&fixture);
}

/* Four threads that want to hold all the time, and two connections, which is all that the server
 * lets this role have. */
static void a_pool_that_is_dry_is_advised_to_grow(void **state)
{
    struct weir_pool_opts opts = pool_opts("dry", 0, 2);
    struct work work = {.rest_ms = 0};
    PGconn *admin = admin_open();
    struct weir_pool_advice advice;
    struct pool_fixture fixture;
    uint64_t begin_ns;

    (void)state;
    admin_do(admin, "CREATE ROLE dry LOGIN CONNECTION LIMIT 2");
    opts.conninfo = "user=dry application_name=dry";
    opts.learn_server = 1;
    fixture = pool_fixture_open(&opts, NULL);
    work.pool = fixture.pool;
    work_start(&work);
    AWAIT(pool_stats(fixture.pool).acquired > 20);
    weir_pool_advice_restart(fixture.pool);
    begin_ns = clock_monotonic_ns();
    AWAIT(advice_of(fixture.pool).acquires >= 400 || elapsed_ms(begin_ns) >= 4000);
    advice = advice_of(fixture.pool);
    work_end(&work);
    print_message("%s\n", advice.text);
    assert_true(advice.connections_max > 2);
    assert_true(advice.doubts & WEIR_ADVICE_SATURATED);
    assert_true(advice.doubts & WEIR_ADVICE_SERVER);
    assert_true(advice.utilization > 0.8);
    pool_fixture_close(&fixture);
    AWAIT(admin_connections(admin, "dry") == 0);
    admin_do(admin, "DROP ROLE dry");
    PQfinish(admin);
}

static void little_is_known_after_a_few_acquires(void **state)
{
    struct weir_pool_opts opts = pool_opts("few", 0, 4);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_pool_advice advice = advice_of(fixture.pool);

    (void)state;
    assert_true(advice.doubts & WEIR_ADVICE_FEW);
    assert_int_equal(advice.connections_max, 0);
    assert_int_equal(advice.acquires, 0);
    for (unsigned i = 0; i < 5; i++)
        give_back(hold(fixture.pool));
    AWAIT(advice_of(fixture.pool).acquires == 5);
    advice = advice_of(fixture.pool);
    assert_true(advice.doubts & WEIR_ADVICE_FEW);
    assert_true(advice.confidence < 0.5);
    weir_pool_advice_restart(fixture.pool);
    assert_int_equal(advice_of(fixture.pool).acquires, 0);
    pool_fixture_close(&fixture);
}

/* ---- the server's limits --------------------------------------------------------------------- */

static void the_servers_limits_are_told(void **state)
{
    struct weir_pool_opts opts = pool_opts("bounded", 0, 9), other_opts;
    struct pool_fixture fixture;
    PGconn *admin = admin_open();
    struct weir_pool_advice advice;
    struct weir_pool *other, *elsewhere;

    (void)state;
    admin_do(admin, "CREATE ROLE bounded LOGIN CONNECTION LIMIT 7");
    admin_do(admin, "ALTER DATABASE postgres CONNECTION LIMIT 50");
    opts.conninfo = "user=bounded application_name=bounded";
    opts.learn_server = 1;
    fixture = pool_fixture_open(&opts, NULL);
    advice = advice_of(fixture.pool);
    assert_int_equal(advice.server_connections_max, -1); /* not asked before the first connection */
    assert_int_equal(advice.role_connections_max, -1);
    give_back(hold(fixture.pool));
    other_opts = pool_opts("bounded-too", 0, 5);
    CHECK(weir_pool_open(fixture.manager, &other_opts, &other, &error));
    other_opts = pool_opts("elsewhere", 0, 100);
    other_opts.conninfo = "host=127.0.0.1 port=1";
    CHECK(weir_pool_open(fixture.manager, &other_opts, &elsewhere, &error));
    advice = advice_of(fixture.pool);
    assert_int_equal(advice.server_connections_max,
                     admin_number(admin, "SELECT current_setting('max_connections')"));
    assert_int_equal(advice.server_reserved,
                     admin_number(admin, "SELECT sum(setting::int) FROM pg_settings WHERE name IN"
                                         " ('superuser_reserved_connections',"
                                         "  'reserved_connections')"));
    assert_int_equal(advice.role_connections_max, 7);
    assert_int_equal(advice.database_connections_max, 50);
    assert_int_equal(advice.pools_connections_max, 14); /* at this server */
    (void)weir_pool_unref(other);
    (void)weir_pool_unref(elsewhere);
    pool_fixture_close(&fixture);
    admin_do(admin, "ALTER DATABASE postgres CONNECTION LIMIT -1");
    AWAIT(admin_connections(admin, "bounded") == 0);
    admin_do(admin, "DROP ROLE bounded");
    PQfinish(admin);
}

static void the_server_is_asked_once(void **state)
{
    struct weir_pool_opts opts = pool_opts("asked-once", 0, 4);
    struct pool_fixture fixture;
    struct weir_connection *held[4];
    PGconn *admin = admin_open();

    (void)state;
    opts.learn_server = 1;
    admin_do(admin, "SELECT pg_stat_statements_reset()");
    fixture = pool_fixture_open(&opts, NULL);
    for (unsigned i = 0; i < 4; i++)
        held[i] = hold(fixture.pool);
    for (unsigned i = 0; i < 4; i++)
        give_back(held[i]);
    assert_int_equal(admin_number(admin, "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements"
                                         " WHERE query LIKE '%rolconnlimit%'"
                                         " AND query NOT LIKE '%pg_stat_statements%'"),
                     1);
    pool_fixture_close(&fixture);
    opts.learn_server = 0;
    admin_do(admin, "SELECT pg_stat_statements_reset()");
    fixture = pool_fixture_open(&opts, NULL);
    give_back(hold(fixture.pool));
    assert_int_equal(admin_number(admin, "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements"
                                         " WHERE query LIKE '%rolconnlimit%'"
                                         " AND query NOT LIKE '%pg_stat_statements%'"),
                     0);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_grows_with_demand_and_shrinks_without),
        cmocka_unit_test(little_is_known_after_a_few_acquires),
        cmocka_unit_test(advice_is_near_the_truth),
        cmocka_unit_test(a_pool_that_is_dry_is_advised_to_grow),
        cmocka_unit_test(the_servers_limits_are_told),
        cmocka_unit_test(the_server_is_asked_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
