/* What a pool of our own asks of the probe: acquires that wait for nobody, releases that say what
 * was rolled back, a tenant and a trace for one acquire, connections that the preload leaves alone.
 */
#include "tests/unit/shim/probe/fake_agent.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "include/weir/probe.h"
#include "shim/probe/table.h"
#include "shim/probe/thread.h"

#define TRACE       "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#define OTHER_TRACE "00-11111111111111111111111111111111-2222222222222222-00"

static struct fake_agent agent;

struct fixture {
    struct weir_probe_pool *pool;
    struct weir_probe_connection *connection;
    uint64_t target;
    uint16_t slot;
};

static int fixture_open(void **state)
{
    static struct fixture fixture;
    struct weir_probe_pool_opts opts = {.size = sizeof(opts),
                                        .name = "acquires",
                                        .connections_max = 20,
                                        .flags = WEIR_PROBE_POOL_OBSERVES_ACQUIRE};
    struct weir_probe_target target = {
        .size = sizeof(target), .address = "db.example", .database = "shop"};

    fixture.pool = weir_probe_pool_open(&opts);
    fixture.connection = weir_probe_connect_begin(fixture.pool, &target);
    weir_probe_connect_end(fixture.connection, NULL);
    fake_agent_drain(&agent);
    fixture.target = fake_agent_record(&agent, RECORD_CONNECT, 0)->event.target;
    fixture.slot = fake_agent_record(&agent, RECORD_CONNECT, 0)->connect.slot;
    *state = &fixture;
    return 0;
}

static int fixture_close(void **state)
{
    struct fixture *fixture = *state;

    weir_probe_connection_close(fixture->connection, WEIR_FAILURE_NONE, NULL);
    weir_probe_pool_close(fixture->pool);
    fake_agent_drain(&agent);
    return 0;
}

static struct pool_copy pool_on_board(const struct fixture *fixture)
{
    struct pool_copy copy = {0};

    for (uint32_t i = 0; i < agent.layout.pool_count; i++)
        if (board_read_pool(&agent.board, i, fake_agent_header(&agent)->created_monotonic_ns,
                            &copy) &&
            copy.target == fixture->target)
            return copy;
    fail_msg("the pool is not on the board");
    return copy;
}

static struct slot_copy slot_on_board(const struct fixture *fixture)
{
    struct slot_copy copy;

    assert_true(board_read_slot(&agent.board, fixture->slot, &copy));
    assert_false(copy.torn);
    return copy;
}

static void run(struct weir_probe_connection *connection, const char *text)
{
    struct weir_probe_statement statement;

    weir_probe_statement_begin(connection, &statement, text, SIZE_MAX, 0);
    weir_probe_statement_end(&statement, NULL);
}

static const char *tenant_named(const struct seen_record *seen)
{
    const struct seen_name *name = fake_agent_name(&agent, NAME_TENANT, seen->context.tenant);

    assert_true(seen->event.flags & EVENT_HAS_CONTEXT);
    assert_non_null(name);
    return name->text;
}

static void test_immediate_acquire_is_a_hold_without_wait(void **state)
{
    struct fixture *fixture = *state;
    const struct seen_record *first, *release;
    struct waiter_copy waiter;
    struct slot_copy slot;

    weir_probe_acquire_immediate(fixture->pool, fixture->connection, "GET /cart");
    assert_int_equal(pool_on_board(fixture).used, 1);
    assert_int_equal(pool_on_board(fixture).idle, 0);
    assert_int_equal(pool_on_board(fixture).waiting, 0);
    assert_int_equal(pool_on_board(fixture).used_peak, 1);
    assert_false(board_read_waiter(&agent.board, 0, &waiter));
    slot = slot_on_board(fixture);
    assert_int_equal(slot.state, SLOT_HELD);
    assert_int_not_equal(slot.hold_id, 0);
    assert_int_not_equal(slot.acquired_ns, 0);
    run(fixture->connection, "SELECT 1");
    weir_probe_release(fixture->connection);
    assert_int_equal(pool_on_board(fixture).used, 0);
    assert_int_equal(pool_on_board(fixture).idle, 1);
    assert_int_equal(slot_on_board(fixture).state, SLOT_IDLE);
    assert_int_equal(slot_on_board(fixture).hold_id, 0);

    fake_agent_drain(&agent);
    first = fake_agent_record(&agent, RECORD_STATEMENT, 0);
    release = fake_agent_record(&agent, RECORD_RELEASE, 0);
    assert_int_equal(fake_agent_count(&agent, RECORD_ACQUIRE), 0); /* the release tells it too */
    assert_true(release->event.flags & RELEASE_HAS_ACQUIRE);
    assert_int_equal(first->statement.wait_ns, 0);
    assert_int_equal(first->event.hold_id, slot.hold_id);
    assert_int_equal(release->event.hold_id, slot.hold_id);
    assert_int_equal(release->event.sequence, 1);
    assert_int_equal(release->release.wait_ns, 0);
    assert_int_equal(release->release.use_ns,
                     release->release.executing_ns + release->release.idle_ns);
    assert_string_equal(fake_agent_name(&agent, NAME_CALL_SITE, release->release.call_site)->text,
                        "GET /cart");
}

/* A request that waits has an event at once, and its release none of it. */
static void test_waited_acquire_has_its_own_event(void **state)
{
    struct fixture *fixture = *state;
    struct weir_probe_acquire acquire;

    weir_probe_acquire_begin(fixture->pool, &acquire, NULL);
    weir_probe_acquire_end(&acquire, fixture->connection, WEIR_FAILURE_NONE, NULL);
    weir_probe_release(fixture->connection);
    fake_agent_drain(&agent);
    assert_int_equal(fake_agent_count(&agent, RECORD_ACQUIRE), 1);
    assert_int_equal(fake_agent_count(&agent, RECORD_RELEASE), 1);
    assert_false(fake_agent_record(&agent, RECORD_RELEASE, 0)->event.flags & RELEASE_HAS_ACQUIRE);
}

/* A pool that pings before it hands out: its own hold ends, and only the acquire's counts as one.
 */
static void test_acquire_ends_the_pools_own_hold(void **state)
{
    struct fixture *fixture = *state;

    weir_probe_transaction_begin(fixture->connection); /* an implicit hold, left open */
    weir_probe_acquire_immediate(fixture->pool, fixture->connection, NULL);
    weir_probe_connection_reset(fixture->connection); /* the server went away in the hold */
    weir_probe_connect_end(fixture->connection, NULL);
    weir_probe_release(fixture->connection); /* is over already */
    fake_agent_drain(&agent);
    assert_int_equal(fake_agent_count(&agent, RECORD_RELEASE), 2);
    assert_false(fake_agent_record(&agent, RECORD_RELEASE, 0)->event.flags & RELEASE_HAS_ACQUIRE);
    assert_true(fake_agent_record(&agent, RECORD_RELEASE, 1)->event.flags & RELEASE_HAS_ACQUIRE);
    assert_int_equal(pool_on_board(fixture).used, 0);
    assert_int_equal(pool_on_board(fixture).idle, 1);
}

static void test_release_says_what_was_rolled_back(void **state)
{
    struct fixture *fixture = *state;

    weir_probe_acquire_immediate(fixture->pool, fixture->connection, NULL);
    weir_probe_release_noting(fixture->connection, WEIR_PROBE_RELEASE_ROLLED_BACK);
    weir_probe_release_noting(fixture->connection, WEIR_PROBE_RELEASE_ROLLED_BACK); /* no hold */
    weir_probe_acquire_immediate(fixture->pool, fixture->connection, NULL);
    weir_probe_release_noting(fixture->connection, 0x80000000u); /* of a later version */
    fake_agent_drain(&agent);
    assert_int_equal(fake_agent_count(&agent, RECORD_RELEASE), 2);
    assert_true(fake_agent_record(&agent, RECORD_RELEASE, 0)->event.flags & RELEASE_ROLLED_BACK);
    assert_false(fake_agent_record(&agent, RECORD_RELEASE, 1)->event.flags & RELEASE_ROLLED_BACK);
}

/* A pool may roll back in a way that is no statement of its own. */
static void test_rolling_back_ends_the_transaction(void **state)
{
    struct fixture *fixture = *state;
    struct weir_probe_statement statement;

    weir_probe_acquire_immediate(fixture->pool, fixture->connection, NULL);
    weir_probe_statement_begin(fixture->connection, &statement, "BEGIN", SIZE_MAX, 0);
    weir_probe_transaction_begin(fixture->connection);
    weir_probe_statement_end(&statement, NULL);
    assert_int_equal(slot_on_board(fixture).state, SLOT_IDLE_IN_TRANSACTION);
    weir_probe_release_noting(fixture->connection, WEIR_PROBE_RELEASE_ROLLED_BACK);
    assert_int_equal(slot_on_board(fixture).state, SLOT_IDLE);
    fake_agent_drain(&agent);
    assert_int_equal(fake_agent_count(&agent, RECORD_TRANSACTION), 1);
    assert_int_equal(fake_agent_record(&agent, RECORD_TRANSACTION, 0)->transaction.outcome,
                     TRANSACTION_ROLLED_BACK);
    assert_true(fake_agent_record(&agent, RECORD_RELEASE, 0)->event.flags & RELEASE_ROLLED_BACK);
    assert_true(fake_agent_record(&agent, RECORD_RELEASE, 0)->release.idle_in_transaction_ns > 0);
}

static void acquire_for(struct fixture *fixture, const char *tenant, const char *traceparent)
{
    const struct probe_table *probe = probe_table();
    struct probe_context own;

    probe->context_save(&own);
    probe->tenant_set(tenant);
    probe->trace_set(traceparent, NULL);
    weir_probe_acquire_immediate(fixture->pool, fixture->connection, NULL);
    probe->context_restore(&own);
}

static void *run_elsewhere(void *connection)
{
    run(connection, "SELECT 2");
    return NULL;
}

static void test_statements_take_the_context_of_their_acquire(void **state)
{
    struct fixture *fixture = *state;
    const struct seen_record *seen;
    pthread_t thread;

    acquire_for(fixture, "tenant-1", TRACE);
    run(fixture->connection, "SELECT 1");
    assert_int_equal(pthread_create(&thread, NULL, run_elsewhere, fixture->connection), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    weir_probe_release(fixture->connection);
    run(fixture->connection, "SELECT 3"); /* in no acquire */
    fake_agent_drain(&agent);
    assert_int_equal(fake_agent_count(&agent, RECORD_STATEMENT), 3);
    for (unsigned i = 0; i < 3; i++) {
        seen = fake_agent_record(&agent, RECORD_STATEMENT, i);
        assert_int_not_equal(seen->statement.call_site, 0);
        if (seen->event.flags & STATEMENT_IS_HOLD) {
            assert_false(seen->event.flags & EVENT_HAS_CONTEXT);
            continue;
        }
        assert_string_equal(tenant_named(seen), "tenant-1");
        assert_int_equal(seen->context.trace_id[0], 0x0a);
        assert_int_equal(seen->context.parent_span_id[0], 0xb7);
        assert_int_equal(seen->context.trace_flags, 1);
    }
    assert_string_equal(tenant_named(fake_agent_record(&agent, RECORD_RELEASE, 0)), "tenant-1");
}

static void test_what_the_thread_says_comes_first(void **state)
{
    struct fixture *fixture = *state;

    weir_probe_tenant_set("tenant-2");
    acquire_for(fixture, "tenant-1", TRACE);
    run(fixture->connection, "SELECT 1");
    weir_probe_tenant_set(NULL);
    weir_probe_trace_set(OTHER_TRACE, NULL);
    run(fixture->connection, "SELECT 1");
    weir_probe_trace_set(NULL, NULL);
    weir_probe_release(fixture->connection);
    fake_agent_drain(&agent);
    assert_string_equal(tenant_named(fake_agent_record(&agent, RECORD_STATEMENT, 0)), "tenant-2");
    assert_int_equal(fake_agent_record(&agent, RECORD_STATEMENT, 0)->context.trace_id[0], 0);
    assert_int_equal(fake_agent_record(&agent, RECORD_STATEMENT, 1)->context.tenant, 0);
    assert_int_equal(fake_agent_record(&agent, RECORD_STATEMENT, 1)->context.trace_id[0], 0x11);
}

/* A comment adds what the acquire did not say. */
static void test_comment_adds_to_the_acquires_context(void **state)
{
    struct fixture *fixture = *state;
    const struct seen_record *seen;

    acquire_for(fixture, "tenant-1", NULL);
    run(fixture->connection, "SELECT 1 /*traceparent='" OTHER_TRACE "'*/");
    weir_probe_release(fixture->connection);
    fake_agent_drain(&agent);
    seen = fake_agent_record(&agent, RECORD_STATEMENT, 0);
    assert_string_equal(tenant_named(seen), "tenant-1");
    assert_int_equal(seen->context.trace_id[0], 0x11);
}

/* The agent was started anew in the middle of a hold: it asks for all names. */
static void test_raised_epoch_announces_the_acquires_names(void **state)
{
    struct fixture *fixture = *state;
    uint64_t tenant;

    acquire_for(fixture, "tenant-3", NULL);
    run(fixture->connection, "SELECT 1");
    fake_agent_drain(&agent);
    tenant = fake_agent_record(&agent, RECORD_STATEMENT, 0)->context.tenant;
    assert_int_equal(fake_agent_name_count(&agent, NAME_TENANT, tenant), 1);
    atomic_fetch_add(&fake_agent_header(&agent)->epoch, 1);
    run(fixture->connection, "SELECT 1");
    run(fixture->connection, "SELECT 1");
    weir_probe_release(fixture->connection);
    fake_agent_drain(&agent);
    assert_int_equal(fake_agent_name_count(&agent, NAME_TENANT, tenant), 2);
}

/* The epoch is raised while another tenant stands for the thread's own: its own is told again. */
static void test_restored_context_is_announced_again(void **state)
{
    const struct probe_table *probe = probe_table();
    struct fixture *fixture = *state;
    struct probe_context own;
    uint64_t tenant;

    weir_probe_tenant_set("tenant-own");
    run(fixture->connection, "SELECT 1");
    probe->context_save(&own);
    atomic_fetch_add(&fake_agent_header(&agent)->epoch, 1);
    probe->tenant_set("tenant-4");
    run(fixture->connection, "SELECT 1");
    probe->context_restore(&own);
    run(fixture->connection, "SELECT 1");
    weir_probe_tenant_set(NULL);
    fake_agent_drain(&agent);
    tenant = fake_agent_record(&agent, RECORD_STATEMENT, 0)->context.tenant;
    assert_string_equal(tenant_named(fake_agent_record(&agent, RECORD_STATEMENT, 1)), "tenant-4");
    assert_int_equal(fake_agent_record(&agent, RECORD_STATEMENT, 2)->context.tenant, tenant);
    assert_int_equal(fake_agent_name_count(&agent, NAME_TENANT, tenant), 2);
}

static void *is_covered_elsewhere(void *ret)
{
    *(int *)ret = probe_table()->connects_are_covered();
    return NULL;
}

static void test_covered_connects_are_of_one_thread(void **state)
{
    int elsewhere = -1;
    pthread_t thread;

    (void)state;
    assert_false(probe_table()->connects_are_covered());
    weir_probe_connects_covered(4); /* any truth */
    assert_true(probe_table()->connects_are_covered());
    assert_int_equal(pthread_create(&thread, NULL, is_covered_elsewhere, &elsewhere), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(elsewhere, 0);
    weir_probe_connects_covered(0);
    assert_false(probe_table()->connects_are_covered());
    assert_int_not_equal(thread_enter()->lane, 0); /* its neighbour in the word */
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { THREADS = 4, SHARED = 3, HOLDS = 400 };

struct shared {
    struct weir_probe_pool *pool;
    struct weir_probe_connection *connections[SHARED];
    atomic_bool is_taken[SHARED]; /* hands a connection from thread to thread */
};

static unsigned shared_take(struct shared *shared)
{
    for (unsigned i = 0;; i = (i + 1) % SHARED)
        if (!atomic_exchange_explicit(&shared->is_taken[i], true, memory_order_acquire))
            return i;
}

static void *hold_often(void *argument)
{
    struct shared *shared = argument;

    for (unsigned i = 0; i < HOLDS; i++) {
        unsigned taken = shared_take(shared);
        weir_probe_acquire_immediate(shared->pool, shared->connections[taken], NULL);
        if (i % 8 == 0)
            run(shared->connections[taken], "SELECT 1");
        weir_probe_release_noting(shared->connections[taken],
                                  i % 2 ? WEIR_PROBE_RELEASE_ROLLED_BACK : 0);
        atomic_store_explicit(&shared->is_taken[taken], false, memory_order_release);
    }
    return NULL;
}

/* Each hold is one event, and the gauges come back to where they were, whoever held it last. */
static void test_connections_pass_between_threads(void **state)
{
    struct fixture *fixture = *state;
    struct weir_probe_target target = {
        .size = sizeof(target), .address = "db.example", .database = "shop"};
    struct shared shared = {.pool = fixture->pool};
    pthread_t threads[THREADS];
    struct pool_copy gauges;

    for (unsigned i = 0; i < SHARED; i++) {
        shared.connections[i] = weir_probe_connect_begin(fixture->pool, &target);
        weir_probe_connect_end(shared.connections[i], NULL);
    }
    fake_agent_drain(&agent);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hold_often, &shared), 0);
    do { /* reads as the agent does, while they write */
        gauges = pool_on_board(fixture);
        assert_true(gauges.used <= SHARED && gauges.used + gauges.idle == SHARED + 1);
    } while (gauges.used);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    gauges = pool_on_board(fixture);
    assert_int_equal(gauges.used, 0);
    assert_int_equal(gauges.idle, SHARED + 1);
    assert_in_range(gauges.used_peak, 1, SHARED);
    fake_agent_drain(&agent);
    assert_int_equal(fake_agent_count(&agent, RECORD_RELEASE), THREADS * HOLDS);
    assert_int_equal(fake_agent_count(&agent, RECORD_STATEMENT), THREADS * HOLDS / 8);
    for (unsigned i = 0; i < SHARED; i++)
        weir_probe_connection_close(shared.connections[i], WEIR_FAILURE_NONE, NULL);
}

static void test_nothing_is_refused(void **state)
{
    struct fixture *fixture = *state;

    weir_probe_acquire_immediate(NULL, fixture->connection, NULL);
    weir_probe_acquire_immediate(fixture->pool, NULL, NULL);
    weir_probe_release_noting(NULL, WEIR_PROBE_RELEASE_ROLLED_BACK);
    fake_agent_drain(&agent);
    assert_int_equal(agent.record_count, 0);
    assert_int_equal(pool_on_board(fixture).used, 0);
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

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, fixture_open, fixture_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(immediate_acquire_is_a_hold_without_wait),
        TEST(waited_acquire_has_its_own_event),
        TEST(acquire_ends_the_pools_own_hold),
        TEST(release_says_what_was_rolled_back),
        TEST(rolling_back_ends_the_transaction),
        TEST(statements_take_the_context_of_their_acquire),
        TEST(what_the_thread_says_comes_first),
        TEST(comment_adds_to_the_acquires_context),
        TEST(raised_epoch_announces_the_acquires_names),
        TEST(restored_context_is_announced_again),
        TEST(covered_connects_are_of_one_thread),
        TEST(connections_pass_between_threads),
        TEST(nothing_is_refused),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
