/* Many threads on few connections: never more connections than allowed, as the server says; no
 * connection has two holders; waiters are served in the order of their coming; nobody is forgotten;
 * the sums are right. */
#include <pthread.h>
#include <stdatomic.h>

#include "pool_test.h"

enum {
    THREADS = 64,
    CONNECTIONS = 8,
    PAIRS = 1000000,
    PIDS = 1 << 22, /* process ids of Linux */
    QUEUE = 32,
};

struct crowd {
    struct weir_pool *pool;
    _Atomic unsigned left;
    _Atomic unsigned done, shared, failed;
    _Atomic unsigned char *is_held; /* by backend process id */
};

static void *crowd_member(void *userdata)
{
    struct crowd *crowd = userdata;
    unsigned left = atomic_load(&crowd->left);

    while (left) {
        struct weir_connection *connection;
        uint32_t pid;
        if (!atomic_compare_exchange_weak(&crowd->left, &left, left - 1))
            continue;
        if (weir_pool_acquire(crowd->pool, NULL, &connection, NULL)) {
            atomic_fetch_add(&crowd->failed, 1);
        } else {
            pid = weir_connection_backend_pid(connection);
            if (atomic_exchange(&crowd->is_held[pid % PIDS], 1))
                atomic_fetch_add(&crowd->shared, 1);
            atomic_store(&crowd->is_held[pid % PIDS], 0);
            if (weir_connection_release(connection))
                atomic_fetch_add(&crowd->failed, 1);
            atomic_fetch_add(&crowd->done, 1);
        }
        left = atomic_load(&crowd->left);
    }
    return NULL;
}

static void a_million_pairs(void **state)
{
    struct weir_pool_opts opts = pool_opts("crowd", 0, CONNECTIONS);
    struct pool_fixture fixture;
    struct crowd crowd = {.left = PAIRS, .is_held = calloc(PIDS, 1)};
    struct weir_pool_stats stats;
    pthread_t threads[THREADS];
    PGconn *admin = admin_open();
    long most = 0, samples = 0;
    uint64_t begin_ns;

    (void)state;
    opts.acquire_timeout_ms = 60000;
    fixture = pool_fixture_open(&opts, NULL);
    crowd.pool = fixture.pool;
    begin_ns = clock_monotonic_ns();
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, crowd_member, &crowd), 0);
    while (atomic_load(&crowd.done) + atomic_load(&crowd.failed) < PAIRS) {
        long now = admin_connections(admin, "crowd");
        most = now > most ? now : most;
        samples++;
    }
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    print_message("%d pairs in %.2f s; at most %ld connections in %ld looks at the server\n", PAIRS,
                  (double)(clock_monotonic_ns() - begin_ns) / 1e9, most, samples);
    assert_int_equal(atomic_load(&crowd.failed), 0);
    assert_int_equal(atomic_load(&crowd.shared), 0);
    assert_in_range(most, 1, CONNECTIONS);
    stats = pool_stats(fixture.pool);
    assert_int_equal(stats.acquired, PAIRS);
    assert_int_equal(stats.used, 0);
    assert_int_equal(stats.waiting, 0);
    assert_int_equal(stats.connected, stats.idle);
    assert_int_equal(stats.timeouts + stats.refused + stats.failed + stats.cancelled, 0);
    pool_fixture_close(&fixture);
    AWAIT(admin_connections(admin, "crowd") == 0);
    PQfinish(admin);
    free((void *)crowd.is_held);
}

/* ---- order ----------------------------------------------------------------------------------- */

struct comer {
    struct weir_pool *pool;
    _Atomic unsigned *served;
    unsigned place; /* in which it was served, from 1 */
};

static void *comer_acquire(void *userdata)
{
    struct comer *comer = userdata;
    struct weir_connection *connection;

    if (!weir_pool_acquire(comer->pool, NULL, &connection, NULL)) {
        comer->place = atomic_fetch_add(comer->served, 1) + 1;
        (void)weir_connection_release(connection);
    }
    return NULL;
}

static void waiters_are_served_in_order(void **state)
{
    struct weir_pool_opts opts = pool_opts("order", 0, 1);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_connection *connection;
    struct comer comers[QUEUE];
    pthread_t threads[QUEUE];
    _Atomic unsigned served = 0;

    (void)state;
    CHECK(weir_pool_acquire(fixture.pool, NULL, &connection, &error));
    for (unsigned i = 0; i < QUEUE; i++) {
        comers[i] = (struct comer){fixture.pool, &served, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, comer_acquire, &comers[i]), 0);
        AWAIT(pool_stats(fixture.pool).waiting == i + 1);
    }
    assert_int_equal(weir_connection_release(connection), 0);
    for (unsigned i = 0; i < QUEUE; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(comers[i].place, i + 1);
    }
    pool_fixture_close(&fixture);
}

/* Who comes while others wait does not get what is released, also if he is quick. */
static void nobody_overtakes(void **state)
{
    struct weir_pool_opts opts = pool_opts("overtake", 0, 1);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_acquire_opts at_once = {.size = sizeof(at_once), .timeout_ms = -1};
    struct weir_connection *connection, *other = NULL;
    struct weir_error *refused = NULL;
    struct weir_acquire *waiting;

    (void)state;
    CHECK(weir_pool_acquire(fixture.pool, NULL, &connection, &error));
    CHECK(weir_acquire_start(fixture.pool, NULL, &waiting, &error));
    assert_int_equal(weir_connection_release(connection), 0);
    assert_int_equal(weir_pool_acquire(fixture.pool, &at_once, &other, &refused),
                     WEIR_ERROR_TIMEOUT);
    assert_null(other);
    weir_error_free(refused);
    CHECK(weir_acquire_step(waiting, &connection, &error));
    assert_int_equal(weir_connection_release(connection), 0);
    pool_fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waiters_are_served_in_order),
        cmocka_unit_test(nobody_overtakes),
        cmocka_unit_test(a_million_pairs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
