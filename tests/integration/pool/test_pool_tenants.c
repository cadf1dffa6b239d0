/* Tenants that share a pool: shares, fairness, and refusing at once who would wait in vain. */
#include <sys/resource.h>

#include "feature_test.h"

static struct weir_acquire_opts of_tenant(const char *tenant, int32_t timeout_ms)
{
    struct weir_acquire_opts acquire = within_ms(timeout_ms);

    acquire.tenant = tenant;
    return acquire;
}

static struct weir_acquire *start(struct weir_pool *pool, const char *tenant)
{
    struct weir_acquire_opts acquire = of_tenant(tenant, 20000);
    struct weir_acquire *request = NULL;

    CHECK(weir_acquire_start(pool, &acquire, &request, &error));
    return request;
}

/* NULL: it waits still. */
static struct weir_connection *step(struct weir_acquire *request)
{
    struct weir_connection *connection = NULL;
    int r = weir_acquire_step(request, &connection, NULL);

    assert_true(r == 0 || r == WEIR_PENDING);
    return connection;
}

static void no_tenant_has_more_than_its_share(void **state)
{
    struct weir_pool_opts opts = pool_opts("share", 0, 4);
    struct pool_fixture fixture;
    struct weir_acquire_opts hog = of_tenant("hog", -1), small = of_tenant("small", 0);
    struct weir_connection *hogs[2], *smalls[2], *connection;
    struct weir_acquire *waiting;
    PGconn *admin = admin_open();

    (void)state;
    opts.tenant_share = 50;
    fixture = pool_fixture_open(&opts, NULL);
    for (unsigned i = 0; i < 2; i++) {
        struct weir_acquire_opts patient = of_tenant("hog", 0);
        hogs[i] = hold_with(fixture.pool, &patient);
    }
    assert_int_equal(refusal(fixture.pool, &hog, NULL), WEIR_ERROR_TIMEOUT);
    waiting = start(fixture.pool, "hog"); /* first in the queue, and passed by */
    for (unsigned i = 0; i < 2; i++)
        smalls[i] = hold_with(fixture.pool, &small);
    assert_int_equal(admin_connections(admin, "share"), 4);
    assert_null(step(waiting));
    give_back(smalls[0]); /* free, and not for the hog */
    assert_null(step(waiting));
    assert_int_equal(pool_stats(fixture.pool).idle, 1);
    give_back(hogs[0]); /* his own */
    connection = step(waiting);
    assert_non_null(connection);
    give_back(connection);
    give_back(hogs[1]);
    give_back(smalls[1]);
    for (unsigned i = 0; i < 2; i++) { /* shares come back with the connections */
        struct weir_acquire_opts patient = of_tenant("hog", 0);
        hogs[i] = hold_with(fixture.pool, &patient);
    }
    give_back(hogs[0]);
    give_back(hogs[1]);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

static void a_share_is_at_least_one_connection(void **state)
{
    struct weir_pool_opts opts = pool_opts("tiny-share", 0, 2);
    struct pool_fixture fixture;
    struct weir_acquire_opts a = of_tenant("a", 0), b = of_tenant("b", 0),
                             again = of_tenant("a", -1), nobody = within_ms(-1);
    struct weir_connection *of_a, *of_b;

    (void)state;
    opts.tenant_share = 1;
    fixture = pool_fixture_open(&opts, NULL);
    of_a = hold_with(fixture.pool, &a);
    assert_int_equal(refusal(fixture.pool, &again, NULL), WEIR_ERROR_TIMEOUT);
    of_b = hold_with(fixture.pool, &b);
    give_back(of_a);
    of_a = hold_with(fixture.pool, &nobody); /* without a name: a tenant of its own */
    give_back(of_a);
    give_back(of_b);
    pool_fixture_close(&fixture);
}

/* A hog with a long queue and small tenants that come later. */
static void the_tenant_that_holds_least_comes_first(void **state)
{
    enum { HOGS = 20 };
    struct weir_pool_opts opts = pool_opts("fair", 0, 3);
    struct pool_fixture fixture;
    struct weir_acquire_opts hog = of_tenant("hog", 0);
    struct weir_connection *held[3], *connection;
    struct weir_acquire *hogs[HOGS], *first, *second;

    (void)state;
    opts.tenant_fairness = 1;
    fixture = pool_fixture_open(&opts, NULL);
    for (unsigned i = 0; i < 3; i++)
        held[i] = hold_with(fixture.pool, &hog);
    for (unsigned i = 0; i < HOGS; i++)
        hogs[i] = start(fixture.pool, "hog");
    first = start(fixture.pool, "small");
    second = start(fixture.pool, "other");
    give_back(held[0]);
    held[0] = step(first); /* he holds nothing, the hog two */
    assert_non_null(held[0]);
    give_back(held[1]);
    held[1] = step(second); /* nothing, the hog one */
    assert_non_null(held[1]);
    for (unsigned i = 0; i < HOGS; i++) { /* within a tenant: first come, first served */
        give_back(held[i % 2]);
        for (unsigned j = i + 1; j < HOGS; j++)
            assert_null(step(hogs[j]));
        held[i % 2] = step(hogs[i]);
        assert_non_null(held[i % 2]);
    }
    for (unsigned i = 0; i < 3; i++)
        give_back(held[i]);
    connection = hold_with(fixture.pool, &hog);
    give_back(connection);
    pool_fixture_close(&fixture);
}

/* The same without fairness: first come, first served, whoever it is. */
static void without_fairness_the_first_comes_first(void **state)
{
    struct weir_pool_opts opts = pool_opts("unfair", 0, 1);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_acquire_opts hog = of_tenant("hog", 0);
    struct weir_connection *held = hold_with(fixture.pool, &hog);
    struct weir_acquire *hogs[3], *small;

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        hogs[i] = start(fixture.pool, "hog");
    small = start(fixture.pool, "small");
    for (unsigned i = 0; i < 3; i++) {
        give_back(held);
        assert_null(step(small));
        held = step(hogs[i]);
        assert_non_null(held);
    }
    give_back(held);
    held = step(small);
    assert_non_null(held);
    give_back(held);
    pool_fixture_close(&fixture);
}

struct tenant_user {
    struct weir_pool *pool;
    const char *tenant;
    _Atomic unsigned *is_over;
    unsigned served;
    uint64_t longest_ns;
};

static void *tenant_work(void *userdata)
{
    struct tenant_user *user = userdata;
    struct weir_acquire_opts acquire = of_tenant(user->tenant, 20000);

    while (!atomic_load(user->is_over)) {
        uint64_t begin_ns = clock_monotonic_ns(), wait_ns;
        struct weir_connection *connection = hold_with(user->pool, &acquire);
        wait_ns = clock_monotonic_ns() - begin_ns;
        user->longest_ns = wait_ns > user->longest_ns ? wait_ns : user->longest_ns;
        user->served++;
        pass_ms(2);
        give_back(connection);
    }
    return NULL;
}

/* Sixteen threads of one tenant and one of another, on two connections: the one gets about what a
 * half of the pool can do, as if the many were one. */
static void one_is_not_starved_by_many(void **state)
{
    enum { USERS = 17 };
    struct weir_pool_opts opts = pool_opts("crowd-fair", 0, 2);
    struct pool_fixture fixture;
    struct tenant_user users[USERS];
    _Atomic unsigned is_over = 0;
    pthread_t threads[USERS];
    unsigned hogs = 0;

    (void)state;
    opts.tenant_fairness = 1;
    fixture = pool_fixture_open(&opts, NULL);
    for (unsigned i = 0; i < USERS; i++) {
        users[i] = (struct tenant_user){fixture.pool, i ? "hog" : "small", &is_over, 0, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, tenant_work, &users[i]), 0);
    }
    AWAIT(pool_stats(fixture.pool).acquired >= 600);
    atomic_store(&is_over, 1);
    for (unsigned i = 0; i < USERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        hogs += i ? users[i].served : 0;
    }
    print_message("small: %u served, longest wait %.1f ms; 16 hogs: %u\n", users[0].served,
                  (double)users[0].longest_ns / 1e6, hogs);
    /* Without fairness it would be one in seventeen. */
    assert_true(users[0].served * 4 > hogs);
    pool_fixture_close(&fixture);
}

/* Many more tenants come and go than the table has places: those who hold are not forgotten. */
static void tenants_come_and_go(void **state)
{
    enum { TENANTS = 6000, HELD = 5 };
    struct weir_pool_opts opts = pool_opts("passing-tenants", 0, HELD + 1);
    struct pool_fixture fixture;
    struct weir_connection *held[HELD];
    struct weir_acquire_opts acquire;
    char name[32];

    (void)state;
    opts.tenant_share = 20;
    fixture = pool_fixture_open(&opts, NULL);
    for (unsigned i = 0; i < TENANTS; i++) {
        (void)snprintf(name, sizeof(name), "tenant-%u", i);
        acquire = of_tenant(name, 0);
        give_back(hold_with(fixture.pool, &acquire));
    }
    for (unsigned i = 0; i < HELD; i++) {
        (void)snprintf(name, sizeof(name), "holder-%u", i);
        acquire = of_tenant(name, 0);
        held[i] = hold_with(fixture.pool, &acquire);
    }
    acquire = of_tenant("holder-0", -1);
    assert_int_equal(refusal(fixture.pool, &acquire, NULL), WEIR_ERROR_TIMEOUT);
    for (unsigned i = 0; i < HELD; i++)
        give_back(held[i]);
    pool_fixture_close(&fixture);
}

/* At the same time there are more tenants than places: those beyond share one place, and with it
 * one share, and all are served. */
static void tenants_beyond_the_table_share_a_place(void **state)
{
    enum { PLACES = 1024, BEYOND = 8 };
    struct rlimit files = {0};
    struct weir_pool_opts opts = pool_opts("many-tenants", 0, 3);
    struct pool_fixture fixture;
    static struct weir_acquire *waiting[PLACES + BEYOND];
    struct weir_connection *held[3], *connection;
    unsigned served = 0;
    char name[32];

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    if (files.rlim_max < 2 * PLACES)
        skip(); /* a request has a descriptor */
    files.rlim_cur = files.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    opts.tenant_share = 34; /* one each */
    fixture = pool_fixture_open(&opts, NULL);
    for (unsigned i = 0; i < 3; i++) {
        struct weir_acquire_opts acquire;
        (void)snprintf(name, sizeof(name), "holder-%u", i);
        acquire = of_tenant(name, 0);
        held[i] = hold_with(fixture.pool, &acquire);
    }
    for (unsigned i = 0; i < PLACES + BEYOND; i++) {
        (void)snprintf(name, sizeof(name), "waiter-%u", i);
        waiting[i] = start(fixture.pool, name);
    }
    for (unsigned i = 0; i < 3; i++)
        give_back(held[i]);
    for (unsigned i = 0; i + 3 < PLACES; i++) { /* the first ones have places of their own */
        connection = step(waiting[i]);
        assert_non_null(connection);
        give_back(connection);
        served++;
    }
    /* Three connections are free, and of those beyond one at a time is served. */
    for (unsigned i = served; i < PLACES + BEYOND; i++) {
        for (unsigned j = i + 1; j < PLACES + BEYOND; j++)
            assert_null(step(waiting[j]));
        assert_int_equal(pool_stats(fixture.pool).used, 1);
        connection = step(waiting[i]);
        assert_non_null(connection);
        give_back(connection);
        served++;
    }
    assert_int_equal(served, PLACES + BEYOND);
    pool_fixture_close(&fixture);
}

/* ---- shedding -------------------------------------------------------------------------------- */

struct slow_user {
    struct weir_pool *pool;
    _Atomic unsigned *is_over;
    unsigned hold_ms;
};

static void *slow_work(void *userdata)
{
    struct slow_user *user = userdata;

    while (!atomic_load(user->is_over)) {
        struct weir_connection *connection = NULL;
        struct weir_acquire_opts acquire = within_ms(20000);
        if (weir_pool_acquire(user->pool, &acquire, &connection, NULL))
            continue;
        pass_ms(user->hold_ms);
        give_back(connection);
    }
    return NULL;
}

/* Four wait, each for 50 ms: who has 20 ms is refused at once, who has 5 s is served. */
static void who_would_wait_in_vain_is_refused_at_once(void **state)
{
    struct weir_pool_opts opts = pool_opts("shed", 0, 1);
    struct pool_fixture fixture;
    struct weir_acquire_opts hasty = within_ms(20), patient = within_ms(5000);
    struct weir_connection *connection = NULL;
    struct weir_error *refused = NULL;
    _Atomic unsigned is_over = 0;
    struct slow_user user;
    struct weir_pool_stats before;
    pthread_t threads[5];
    uint64_t begin_ns;
    int r;

    (void)state;
    opts.shedding = 1;
    fixture = pool_fixture_open(&opts, NULL);
    user = (struct slow_user){fixture.pool, &is_over, 50};
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, slow_work, &user), 0);
    AWAIT(pool_stats(fixture.pool).acquired >= 20); /* the pace is known */
    AWAIT(pool_stats(fixture.pool).waiting == 4);
    before = pool_stats(fixture.pool);
    begin_ns = clock_monotonic_ns();
    r = weir_pool_acquire(fixture.pool, &hasty, &connection, &refused);
    assert_true(elapsed_ms(begin_ns) < 20);
    assert_int_equal(r, WEIR_ERROR_REFUSED);
    assert_int_equal(weir_error_refusal(refused), WEIR_REFUSAL_SHED);
    assert_int_equal(weir_error_is_retryable(refused), 1);
    weir_error_free(refused);
    assert_int_equal(pool_stats(fixture.pool).shed, before.shed + 1);
    connection = hold_with(fixture.pool, &patient);
    give_back(connection);
    atomic_store(&is_over, 1);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    pool_fixture_close(&fixture);
}

/* A queue of the same length that moves fast: nobody is refused. */
static void nobody_is_refused_where_the_queue_moves(void **state)
{
    struct weir_pool_opts opts = pool_opts("moving", 0, 1);
    struct pool_fixture fixture;
    struct weir_acquire_opts hasty = within_ms(1000);
    _Atomic unsigned is_over = 0;
    struct slow_user user;
    pthread_t threads[5];

    (void)state;
    opts.shedding = 1;
    fixture = pool_fixture_open(&opts, NULL);
    user = (struct slow_user){fixture.pool, &is_over, 1};
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, slow_work, &user), 0);
    AWAIT(pool_stats(fixture.pool).acquired >= 500);
    for (unsigned i = 0; i < 20; i++)
        give_back(hold_with(fixture.pool, &hasty));
    assert_int_equal(pool_stats(fixture.pool).shed, 0);
    atomic_store(&is_over, 1);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    pool_fixture_close(&fixture);
}

/* What little came back while little was asked for says nothing of how fast it can. */
static void a_burst_after_a_quiet_time_is_served(void **state)
{
    struct weir_pool_opts opts = pool_opts("quiet", 1, 1);
    struct pool_fixture fixture;
    struct weir_acquire_opts acquire = within_ms(500);
    _Atomic unsigned is_over = 0;
    struct slow_user user;
    pthread_t threads[5];

    (void)state;
    opts.shedding = 1;
    fixture = pool_fixture_open(&opts, NULL);
    for (unsigned i = 0; i < 3; i++) {
        give_back(hold(fixture.pool));
        pass_ms(600);
    }
    user = (struct slow_user){fixture.pool, &is_over, 1};
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, slow_work, &user), 0);
    AWAIT(pool_stats(fixture.pool).waiting >= 3);
    for (unsigned i = 0; i < 100; i++)
        give_back(hold_with(fixture.pool, &acquire));
    assert_int_equal(pool_stats(fixture.pool).shed, 0);
    atomic_store(&is_over, 1);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    pool_fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_tenant_has_more_than_its_share),
        cmocka_unit_test(a_share_is_at_least_one_connection),
        cmocka_unit_test(the_tenant_that_holds_least_comes_first),
        cmocka_unit_test(without_fairness_the_first_comes_first),
        cmocka_unit_test(one_is_not_starved_by_many),
        cmocka_unit_test(tenants_come_and_go),
        cmocka_unit_test(tenants_beyond_the_table_share_a_place),
        cmocka_unit_test(who_would_wait_in_vain_is_refused_at_once),
        cmocka_unit_test(nobody_is_refused_where_the_queue_moves),
        cmocka_unit_test(a_burst_after_a_quiet_time_is_served),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
