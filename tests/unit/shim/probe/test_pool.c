/* A pool whose first connections are made by several threads at once is one pool on the board. */
#include "tests/unit/shim/probe/fake_agent.h"

#include <pthread.h>

#include "include/weir/probe.h"

enum { THREADS = 4, ROUNDS = 500 };

static struct fake_agent agent;

struct opener {
    struct weir_probe_pool *pool;
    pthread_barrier_t *barrier;
    const char *database;
    struct weir_probe_connection *connection;
};

static void *opener_run(void *userdata)
{
    struct opener *opener = userdata;
    struct weir_probe_target target = {
        .size = sizeof(target), .address = "db.example", .database = opener->database};
    struct weir_probe_connect_result result = {.size = sizeof(result), .backend_pid = 1};

    (void)pthread_barrier_wait(opener->barrier);
    opener->connection = weir_probe_connect_begin(opener->pool, &target);
    weir_probe_connect_end(opener->connection, &result);
    return NULL;
}

/* Opens a connection a thread, each to the next of @databases in turn. */
static void open_at_once(struct weir_probe_pool *pool, struct opener *openers,
                         const char *const *databases, unsigned database_count)
{
    pthread_t threads[THREADS];
    pthread_barrier_t barrier;

    assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        openers[i] = (struct opener){pool, &barrier, databases[i % database_count], NULL};
        assert_int_equal(pthread_create(&threads[i], NULL, opener_run, &openers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    (void)pthread_barrier_destroy(&barrier);
}

/* Rows on the board, and what all of them together hold. */
static unsigned rows_on_board(struct pool_copy *ret_sum)
{
    struct pool_copy copy;
    unsigned rows = 0;

    *ret_sum = (struct pool_copy){0};
    for (uint32_t i = 0; i < agent.layout.pool_count; i++) {
        if (!board_read_pool(&agent.board, i, 0, &copy))
            continue;
        rows++;
        ret_sum->connecting += copy.connecting;
        ret_sum->idle += copy.idle;
        ret_sum->connections_max += copy.connections_max;
    }
    return rows;
}

static void rounds(const char *const *databases, unsigned count)
{
    struct weir_probe_pool_opts opts = {
        .size = sizeof(opts), .name = "at once", .connections_max = 8};

    for (unsigned round = 0; round < ROUNDS; round++) {
        struct weir_probe_pool *pool = weir_probe_pool_open(&opts);
        struct opener openers[THREADS];
        struct pool_copy sum;

        open_at_once(pool, openers, databases, count);
        assert_int_equal(rows_on_board(&sum), count);
        assert_int_equal(sum.connecting, 0);
        assert_int_equal(sum.idle, THREADS);
        assert_int_equal(sum.connections_max, 8 * count);
        for (unsigned i = 0; i < THREADS; i++)
            weir_probe_connection_close(openers[i].connection, WEIR_FAILURE_NONE, NULL);
        weir_probe_pool_close(pool);
        assert_int_equal(rows_on_board(&sum), 0);
        fake_agent_drain(&agent);
    }
}

static void test_one_target_has_one_row(void **state)
{
    (void)state;
    rounds((const char *[]){"shop"}, 1);
}

static void test_two_targets_have_a_row_each(void **state)
{
    (void)state;
    rounds((const char *[]){"shop", "bank"}, 2);
}

static int group_setup(void **state)
{
    struct weir_probe_pool *pool;

    (void)state;
    fake_agent_start(&agent);
    pool = weir_probe_pool_open(NULL); /* attaches */
    fake_agent_accept(&agent);
    fake_agent_welcome(&agent);
    weir_probe_pool_close(pool);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    fake_agent_stop(&agent);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_target_has_one_row),
        cmocka_unit_test(test_two_targets_have_a_row_each),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
