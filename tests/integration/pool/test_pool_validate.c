/* Connections that went bad are found before anybody has them, as cheaply as can be. */
#include <signal.h>

#include "feature_test.h"

enum { LOOK_MS = 250 }; /* the manager looks at quiet pools so often */

static void hold_many(struct weir_pool *pool, unsigned count, struct weir_connection *held[],
                      uint32_t pids[])
{
    for (unsigned i = 0; i < count; i++) {
        held[i] = hold(pool);
        pids[i] = weir_connection_backend_pid(held[i]);
    }
}

static void release_many(unsigned count, struct weir_connection *held[])
{
    for (unsigned i = 0; i < count; i++)
        give_back(held[i]);
}

static struct weir_pool_opts never_asked(const char *name, int max)
{
    struct weir_pool_opts opts = pool_opts(name, 0, max);

    opts.validate_after_ms = opts.validate_every_ms = WEIR_NEVER;
    opts.connects_max = max;
    opts.connect_rate_max = 1000;
    return opts;
}

static void killed_ones_are_not_handed_out_after_an_idle_time(void **state)
{
    struct weir_pool_opts opts = never_asked("killed", 6);
    struct pool_fixture fixture;
    struct weir_connection *held[6];
    PGconn *admin = admin_open();
    uint32_t before[6], after[6];

    (void)state;
    opts.validate_after_ms = 50;
    fixture = pool_fixture_open(&opts, NULL);
    hold_many(fixture.pool, 6, held, before);
    release_many(6, held);
    pass_ms(50 + 2 * LOOK_MS + 50);
    for (unsigned i = 0; i < 6; i += 2)
        admin_terminate(admin, before[i]);
    hold_many(fixture.pool, 6, held, after);
    for (unsigned i = 0; i < 6; i++) {
        assert_string_equal(ask(held[i], "SELECT 1"), "1");
        for (unsigned j = 0; j < 6; j += 2)
            assert_int_not_equal(after[i], before[j]);
    }
    assert_int_equal(pool_stats(fixture.pool).validations_failed, 3);
    assert_int_equal(pool_stats(fixture.pool).failed, 0);
    release_many(6, held);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

/* Every connection is looked at once one was found dead, however short it was idle: the server may
 * have gone. Those that live cost one question and are kept. */
static void one_dead_connection_puts_all_in_doubt(void **state)
{
    struct weir_pool_opts opts = never_asked("doubt", 6);
    struct pool_fixture fixture = pool_fixture_open(&opts, NULL);
    struct weir_connection *held[6];
    PGconn *admin = admin_open();
    uint32_t before[6], after[6];
    unsigned kept = 0;

    (void)state;
    hold_many(fixture.pool, 6, held, before);
    for (unsigned i = 0; i < 5; i++)
        admin_terminate(admin, before[i]);
    /* The first holder notices. */
    assert_int_not_equal(weir_execute(held[0], "SELECT 1", NULL, NULL, NULL), 0);
    release_many(6, held);
    hold_many(fixture.pool, 6, held, after);
    for (unsigned i = 0; i < 6; i++) {
        assert_string_equal(ask(held[i], "SELECT 1"), "1");
        kept += after[i] == before[5];
    }
    assert_int_equal(kept, 1);
    release_many(6, held);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

static void idle_ones_are_asked_in_the_background(void **state)
{
    struct weir_pool_opts opts = never_asked("background", 4);
    struct pool_fixture fixture;
    struct weir_connection *connection;
    PGconn *admin = admin_open();
    uint32_t pid;
    long word;

    (void)state;
    opts.connections_min = 4;
    opts.validate_every_ms = 100;
    fixture = pool_fixture_open(&opts, NULL);
    AWAIT(admin_connections(admin, "background") == 4);
    connection = hold(fixture.pool);
    pid = weir_connection_backend_pid(connection);
    give_back(connection);
    word = admin_last_word(admin, pid);
    AWAIT(admin_last_word(admin, pid) != word);
    admin_terminate(admin, pid);
    AWAIT(pool_stats(fixture.pool).validations_failed == 1);
    AWAIT(admin_connections(admin, "background") == 4);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

static void a_fresh_one_is_not_asked_and_an_idle_one_is(void **state)
{
    struct weir_pool_opts opts = never_asked("asked", 1);
    struct pool_fixture fixture;
    PGconn *admin = admin_open();
    struct weir_connection *connection;
    uint32_t pid;
    long word;

    (void)state;
    opts.validate_after_ms = 200;
    fixture = pool_fixture_open(&opts, NULL);
    connection = hold(fixture.pool);
    pid = weir_connection_backend_pid(connection);
    assert_string_equal(ask(connection, "SELECT 1"), "1");
    give_back(connection);
    word = admin_last_word(admin, pid);
    for (unsigned i = 0; i < 100; i++)
        give_back(hold(fixture.pool));
    assert_int_equal(admin_last_word(admin, pid), word);
    pass_ms(200 + 2 * LOOK_MS + 50);
    assert_int_equal(admin_last_word(admin, pid), word);
    give_back(hold(fixture.pool));
    assert_int_not_equal(admin_last_word(admin, pid), word);
    assert_true(admin_has(admin, pid));
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

/* A server process that does not answer: the question has its own time, and another connection is
 * made for the request. */
static void one_that_does_not_answer_is_replaced(void **state)
{
    struct weir_pool_opts opts = never_asked("silent", 1);
    struct pool_fixture fixture;
    PGconn *admin = admin_open();
    struct weir_connection *connection;
    uint64_t begin_ns;
    uint32_t pid;

    (void)state;
    opts.validate_after_ms = 50;
    opts.validate_timeout_ms = 200;
    fixture = pool_fixture_open(&opts, NULL);
    connection = hold(fixture.pool);
    pid = weir_connection_backend_pid(connection);
    give_back(connection);
    pass_ms(50 + 2 * LOOK_MS + 50);
    assert_int_equal(kill((pid_t)pid, SIGSTOP), 0);
    begin_ns = clock_monotonic_ns();
    connection = hold(fixture.pool);
    assert_true(elapsed_ms(begin_ns) >= 200);
    assert_int_not_equal(weir_connection_backend_pid(connection), pid);
    assert_string_equal(ask(connection, "SELECT 1"), "1");
    assert_int_equal(kill((pid_t)pid, SIGCONT), 0);
    give_back(connection);
    AWAIT(!admin_has(admin, pid));
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

static struct weir_health health_of(struct weir_manager *manager)
{
    struct weir_health health;

    weir_manager_health(manager, &health, sizeof(health));
    return health;
}

static void health_asks_the_server_nothing(void **state)
{
    struct weir_pool_opts opts = never_asked("health", 2);
    struct pool_fixture fixture;
    struct weir_connection *connection;
    PGconn *admin = admin_open();
    uint64_t begin_ns;
    uint32_t pid;
    long word;

    (void)state;
    opts.connections_min = 1;
    fixture = pool_fixture_open(&opts, NULL);
    connection = hold(fixture.pool);
    pid = weir_connection_backend_pid(connection);
    give_back(connection);
    word = admin_last_word(admin, pid);
    begin_ns = clock_monotonic_ns();
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(health_of(fixture.manager).is_ready, 1);
    assert_true(elapsed_ms(begin_ns) < 1000);
    assert_int_equal(admin_last_word(admin, pid), word);
    assert_int_equal(admin_connections(admin, "health"), 1);
    weir_pool_suspend(fixture.pool);
    assert_int_equal(health_of(fixture.manager).is_ready, 0);
    assert_non_null(strstr(health_of(fixture.manager).reason, "health: suspended"));
    weir_pool_resume(fixture.pool);
    assert_string_equal(health_of(fixture.manager).reason, "");
    (void)weir_manager_drain(fixture.manager, 1000, NULL);
    assert_int_equal(health_of(fixture.manager).is_ready, 0);
    pool_fixture_close(&fixture);
    PQfinish(admin);
}

static void a_pool_without_a_server_is_not_ready(void **state)
{
    struct weir_pool_opts opts = pool_opts("no-server", 1, 1);
    struct pool_fixture fixture;

    (void)state;
    opts.conninfo = "host=127.0.0.1 port=1";
    fixture = pool_fixture_open(&opts, NULL);
    AWAIT(!health_of(fixture.manager).is_ready);
    assert_non_null(strstr(health_of(fixture.manager).reason, "no-server"));
    pool_fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_ones_are_not_handed_out_after_an_idle_time),
        cmocka_unit_test(one_dead_connection_puts_all_in_doubt),
        cmocka_unit_test(idle_ones_are_asked_in_the_background),
        cmocka_unit_test(a_fresh_one_is_not_asked_and_an_idle_one_is),
        cmocka_unit_test(one_that_does_not_answer_is_replaced),
        cmocka_unit_test(health_asks_the_server_nothing),
        cmocka_unit_test(a_pool_without_a_server_is_not_ready),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
