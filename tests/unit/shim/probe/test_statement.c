/* What the lanes and the board hold after the public calls, read as the agent reads them. */
#include "tests/unit/shim/probe/fake_agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "include/weir/probe.h"

static struct fake_agent agent;

static struct weir_probe_pool *pool_named(const char *name, uint32_t flags)
{
    struct weir_probe_pool_opts opts = {.size = sizeof(opts),
                                        .name = name,
                                        .connections_max = 20,
                                        .connections_min = 2,
                                        .flags = flags};
    return weir_probe_pool_open(&opts);
}

static struct weir_probe_connection *connect_to(struct weir_probe_pool *pool, const char *database)
{
    struct weir_probe_target target = {.size = sizeof(target),
                                       .address = "db.example",
                                       .port = 6543,
                                       .database = database,
                                       .schema = "shop"};
    struct weir_probe_connect_result result = {
        .size = sizeof(result), .backend_pid = 4711, .library_version = 150004};
    struct weir_probe_connection *connection = weir_probe_connect_begin(pool, &target);

    weir_probe_connect_end(connection, &result);
    return connection;
}

static void run(struct weir_probe_connection *connection, const char *text)
{
    struct weir_probe_statement statement;
    struct weir_probe_statement_result result = {.size = sizeof(result), .rows = 1};

    weir_probe_statement_begin(connection, &statement, text, SIZE_MAX, 0);
    weir_probe_statement_end(&statement, &result);
}

static struct pool_copy pool_on_board(uint64_t target)
{
    struct pool_copy copy = {0};

    for (uint32_t i = 0; i < agent.layout.pool_count; i++)
        if (board_read_pool(&agent.board, i, fake_agent_header(&agent)->created_monotonic_ns,
                            &copy) &&
            copy.target == target)
            return copy;
    fail_msg("pool is not on the board");
    return copy;
}

static struct slot_copy slot_on_board(uint16_t slot)
{
    struct slot_copy copy;

    assert_true(board_read_slot(&agent.board, slot, &copy));
    assert_false(copy.torn);
    return copy;
}

static void test_connect_and_close(void **state)
{
    struct weir_probe_pool *pool = pool_named("orders", 0);
    struct weir_probe_connection *connection = connect_to(pool, "shop");
    const struct seen_record *opened, *closed;
    uint16_t slot;

    (void)state;
    fake_agent_drain(&agent);
    assert_int_equal(agent.record_count, 1);
    opened = fake_agent_record(&agent, RECORD_CONNECT, 0);
    assert_int_equal(opened->connect.backend_pid, 4711);
    assert_int_equal(opened->connect.failure, FAILURE_NONE);
    assert_int_equal(opened->event.hold_id, 0);
    slot = opened->connect.slot;
    assert_string_equal(fake_agent_name(&agent, NAME_TARGET, opened->event.target)->text,
                        "orders\nshop|shop\ndb.example\n6543");
    assert_int_equal(slot_on_board(slot).state, SLOT_IDLE);
    assert_int_equal(slot_on_board(slot).backend_pid, 4711);
    assert_int_equal(slot_on_board(slot).connection, opened->connect.connection);
    assert_int_equal(pool_on_board(opened->event.target).idle, 1);
    assert_int_equal(pool_on_board(opened->event.target).connections_max, 20);
    assert_int_equal(pool_on_board(opened->event.target).connections_min, 2);
    assert_int_equal(board_read_process(&agent.board).library_version, 150004);

    weir_probe_connection_close(connection, WEIR_FAILURE_CONNECTION_LOST, "57P01");
    fake_agent_drain(&agent);
    closed = fake_agent_record(&agent, RECORD_CLOSE, 0);
    assert_int_equal(agent.record_count, 1);
    assert_int_equal(closed->close.failure, FAILURE_CONNECTION_LOST);
    assert_memory_equal(closed->close.sqlstate, "57P01", 5);
    assert_true(closed->close.lifetime_ns > 0);
    assert_false(board_read_slot(&agent.board, slot, &(struct slot_copy){0}));
    assert_int_equal(pool_on_board(closed->event.target).idle, 0);
    weir_probe_pool_close(pool);
    for (uint32_t i = 0; i < agent.layout.pool_count; i++)
        assert_false(board_read_pool(&agent.board, i, 0, &(struct pool_copy){0}));
}

static void test_failed_connect(void **state)
{
    struct weir_probe_pool *pool = pool_named(NULL, 0);
    struct weir_probe_target target = {
        .size = sizeof(target), .address = "/run/pg", .database = "x"};
    struct weir_probe_connect_result result = {
        .size = sizeof(result), .failure = WEIR_FAILURE_SQLSTATE, .sqlstate = "28P01"};
    struct weir_probe_connection *connection = weir_probe_connect_begin(pool, &target);
    const struct seen_record *failed;

    (void)state;
    weir_probe_connect_end(connection, &result);
    weir_probe_connection_close(connection, WEIR_FAILURE_NONE, NULL);
    fake_agent_drain(&agent);
    assert_int_equal(agent.record_count, 1); /* what never was open is not closed */
    failed = fake_agent_record(&agent, RECORD_CONNECT, 0);
    assert_int_equal(failed->connect.failure, FAILURE_SQLSTATE);
    assert_memory_equal(failed->connect.sqlstate, "28P01", 5);
    assert_string_equal(fake_agent_name(&agent, NAME_TARGET, failed->event.target)->text,
                        "/run/pg:5432/x\nx\n/run/pg\n5432");
    assert_int_equal(pool_on_board(failed->event.target).connecting, 0);
    weir_probe_pool_close(pool);
}

static void test_lone_statement_is_its_hold(void **state)
{
    struct weir_probe_pool *pool = pool_named("lone", 0);
    struct weir_probe_connection *connection = connect_to(pool, "a");
    const struct seen_record *first, *second;

    (void)state;
    fake_agent_drain(&agent);
    run(connection, "SELECT 1 FROM lone");
    run(connection, "SELECT 2 FROM lone");
    fake_agent_drain(&agent);
    assert_int_equal(agent.record_count, 2);
    first = fake_agent_record(&agent, RECORD_STATEMENT, 0);
    second = fake_agent_record(&agent, RECORD_STATEMENT, 1);
    assert_true(first->event.flags & STATEMENT_IS_HOLD);
    assert_false(first->event.flags & STATEMENT_IN_TRANSACTION);
    assert_int_equal(first->event.sequence, 1);
    assert_int_equal(second->event.sequence, 1);
    assert_int_not_equal(first->event.hold_id, 0);
    assert_int_not_equal(first->event.hold_id, second->event.hold_id);
    assert_int_equal(first->statement.rows, 1);
    assert_int_equal(first->statement.wait_ns, UNKNOWN_NS);
    assert_int_equal(first->statement.first_byte_ns, UNKNOWN_NS);
    assert_int_not_equal(first->statement.call_site, 0);
    assert_non_null(fake_agent_name(&agent, NAME_STATEMENT, first->statement.fingerprint));
    assert_non_null(fake_agent_name(&agent, NAME_CALL_SITE, first->statement.call_site));
    assert_int_equal(slot_on_board(first->statement.slot).state, SLOT_IDLE);
    assert_int_equal(slot_on_board(first->statement.slot).hold_id, 0);
    weir_probe_connection_close(connection, WEIR_FAILURE_NONE, NULL);
    weir_probe_pool_close(pool);
}

static void test_transaction_is_one_hold(void **state)
{
    struct weir_probe_pool *pool = pool_named("tx", 0);
    struct weir_probe_connection *connection = connect_to(pool, "a");
    struct weir_probe_statement statement;
    const struct seen_record *release, *transaction;
    uint64_t executing_ns = 0;

    (void)state;
    fake_agent_drain(&agent);
    weir_probe_statement_begin(connection, &statement, "BEGIN", SIZE_MAX, 0);
    weir_probe_transaction_begin(connection);
    weir_probe_statement_end(&statement, NULL);
    fake_agent_drain(&agent);
    assert_int_equal(fake_agent_record(&agent, RECORD_STATEMENT, 0)->event.flags &
                         (STATEMENT_IS_HOLD | STATEMENT_IN_TRANSACTION),
                     STATEMENT_IN_TRANSACTION);
    executing_ns += fake_agent_record(&agent, RECORD_STATEMENT, 0)->statement.duration_ns;
    assert_int_equal(
        slot_on_board(fake_agent_record(&agent, RECORD_STATEMENT, 0)->statement.slot).state,
        SLOT_IDLE_IN_TRANSACTION);
    assert_int_equal(
        pool_on_board(fake_agent_record(&agent, RECORD_STATEMENT, 0)->event.target).used, 1);

    run(connection, "UPDATE t SET a = 1");
    weir_probe_statement_begin(connection, &statement, "COMMIT", SIZE_MAX, 0);
    weir_probe_transaction_end(connection, WEIR_TRANSACTION_COMMITTED);
    weir_probe_statement_end(&statement, NULL);
    fake_agent_drain(&agent);
    assert_int_equal(agent.record_count, 4);
    transaction = fake_agent_record(&agent, RECORD_TRANSACTION, 0);
    assert_int_equal(transaction->transaction.outcome, TRANSACTION_COMMITTED);
    assert_int_equal(transaction->event.sequence, 3);
    assert_true(transaction->transaction.executing_ns <= transaction->transaction.duration_ns);
    assert_true(transaction->transaction.executing_ns >= executing_ns);
    release = fake_agent_record(&agent, RECORD_RELEASE, 0);
    assert_int_equal(release->event.sequence, 3);
    assert_int_equal(release->release.use_ns, release->release.executing_ns +
                                                  release->release.idle_in_transaction_ns +
                                                  release->release.idle_ns);
    assert_int_equal(release->release.idle_ns, 0);
    assert_true(release->release.idle_in_transaction_ns > 0);
    for (unsigned i = 0; i < 2; i++) {
        const struct seen_record *seen = fake_agent_record(&agent, RECORD_STATEMENT, i);
        assert_int_equal(seen->event.hold_id, release->event.hold_id);
        assert_int_equal(seen->event.sequence, i + 2);
        assert_true(seen->event.flags & STATEMENT_IN_TRANSACTION);
        assert_false(seen->event.flags & STATEMENT_IS_HOLD);
        executing_ns += seen->statement.duration_ns;
    }
    assert_int_equal(release->release.executing_ns, executing_ns);
    assert_int_equal(pool_on_board(release->event.target).used, 0);
    assert_int_equal(pool_on_board(release->event.target).idle, 1);
    weir_probe_connection_close(connection, WEIR_FAILURE_NONE, NULL);
    weir_probe_pool_close(pool);
}

static void test_acquire_and_release(void **state)
{
    struct weir_probe_pool *pool = pool_named("acquired", WEIR_PROBE_POOL_OBSERVES_ACQUIRE);
    struct weir_probe_connection *connection = connect_to(pool, "a");
    struct weir_probe_acquire acquire, late;
    const struct seen_record *got, *first, *release;
    struct waiter_copy waiter;
    struct pool_copy gauges;

    (void)state;
    fake_agent_drain(&agent);
    weir_probe_tenant_set("tenant-7");
    weir_probe_acquire_begin(pool, &acquire, "GET /orders");
    gauges = pool_on_board(fake_agent_record(&agent, RECORD_CONNECT, 0)->event.target);
    assert_int_equal(gauges.waiting, 1);
    assert_int_equal(gauges.waiting_peak, 0); /* one connection is idle */
    assert_true(board_read_waiter(&agent.board, 0, &waiter));
    assert_int_not_equal(waiter.since_ns, 0);
    weir_probe_acquire_end(&acquire, connection, WEIR_FAILURE_NONE, NULL);
    assert_false(board_read_waiter(&agent.board, 0, &waiter));
    run(connection, "SELECT 1");
    run(connection, "SELECT 2");
    weir_probe_acquire_begin(pool, &late, NULL);
    weir_probe_acquire_end(&late, NULL, WEIR_FAILURE_TIMEOUT, NULL);
    weir_probe_release(connection);
    fake_agent_drain(&agent);
    assert_int_equal(agent.record_count, 5);
    got = fake_agent_record(&agent, RECORD_ACQUIRE, 0);
    assert_int_equal(got->acquire.failure, FAILURE_NONE);
    assert_string_equal(fake_agent_name(&agent, NAME_CALL_SITE, got->acquire.call_site)->text,
                        "GET /orders");
    assert_string_equal(fake_agent_name(&agent, NAME_TENANT, got->context.tenant)->text,
                        "tenant-7");
    assert_int_equal(fake_agent_record(&agent, RECORD_ACQUIRE, 1)->acquire.failure,
                     FAILURE_TIMEOUT);
    assert_int_equal(fake_agent_record(&agent, RECORD_ACQUIRE, 1)->event.hold_id, 0);
    first = fake_agent_record(&agent, RECORD_STATEMENT, 0);
    assert_int_equal(first->event.hold_id, got->event.hold_id);
    assert_int_equal(first->statement.wait_ns, got->acquire.wait_ns);
    assert_false(first->event.flags & STATEMENT_IS_HOLD);
    assert_int_equal(fake_agent_record(&agent, RECORD_STATEMENT, 1)->statement.wait_ns, UNKNOWN_NS);
    release = fake_agent_record(&agent, RECORD_RELEASE, 0);
    assert_int_equal(release->event.hold_id, got->event.hold_id);
    assert_int_equal(release->event.sequence, 2);
    assert_int_equal(release->release.wait_ns, got->acquire.wait_ns);
    assert_int_equal(release->release.call_site, got->acquire.call_site);
    assert_int_equal(release->release.idle_in_transaction_ns, 0);
    assert_int_equal(release->release.use_ns,
                     release->release.executing_ns + release->release.idle_ns);
    gauges = pool_on_board(release->event.target);
    assert_int_equal(gauges.timeouts, 1);
    assert_int_equal(gauges.waiting, 0);
    assert_int_equal(gauges.flags & POOL_HAS_WAITERS, POOL_HAS_WAITERS);
    weir_probe_tenant_set(NULL);
    weir_probe_connection_close(connection, WEIR_FAILURE_NONE, NULL);
    weir_probe_pool_close(pool);
}

static void test_trace_context_travels(void **state)
{
    struct weir_probe_pool *pool = pool_named("traced", 0);
    struct weir_probe_connection *connection = connect_to(pool, "a");
    static const uint8_t trace_id[16] = {0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd,
                                         0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c};
    const struct seen_record *seen;

    (void)state;
    fake_agent_drain(&agent);
    weir_probe_trace_set("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b");
    weir_probe_trace_set("00-nonsense", NULL); /* ignored */
    weir_probe_call_site_set("checkout");
    run(connection, "SELECT 1");
    weir_probe_trace_set(NULL, NULL);
    weir_probe_call_site_set(NULL);
    run(connection, "SELECT 1");
    fake_agent_drain(&agent);
    seen = fake_agent_record(&agent, RECORD_STATEMENT, 0);
    assert_memory_equal(seen->context.trace_id, trace_id, 16);
    assert_int_equal(seen->context.parent_span_id[0], 0xb7);
    assert_int_equal(seen->context.trace_flags, 1);
    assert_int_equal(seen->context.backend_pid, 4711);
    assert_string_equal(fake_agent_name(&agent, NAME_TRACESTATE, seen->context.tracestate)->text,
                        "a=b");
    assert_string_equal(fake_agent_name(&agent, NAME_CALL_SITE, seen->statement.call_site)->text,
                        "checkout");
    assert_false(fake_agent_record(&agent, RECORD_STATEMENT, 1)->event.flags & EVENT_HAS_CONTEXT);
    weir_probe_connection_close(connection, WEIR_FAILURE_NONE, NULL);
    weir_probe_pool_close(pool);
}

static void test_comment_gives_parent_and_call_site(void **state)
{
    struct weir_probe_pool *pool = pool_named("commented", 0);
    struct weir_probe_connection *connection = connect_to(pool, "a");
    const struct seen_record *seen;

    (void)state;
    fake_agent_drain(&agent);
    run(connection, "SELECT 1 /*route='%2Fcart',traceparent='00-0af7651916cd43dd8448eb211c80319c-"
                    "b7ad6b7169203331-01'*/");
    run(connection, "SELECT 1");
    fake_agent_drain(&agent);
    seen = fake_agent_record(&agent, RECORD_STATEMENT, 0);
    assert_true(seen->event.flags & EVENT_HAS_CONTEXT);
    assert_int_equal(seen->context.trace_id[0], 0x0a);
    assert_non_null(
        strstr(fake_agent_name(&agent, NAME_CALL_SITE, seen->statement.call_site)->text, "/cart"));
    assert_int_equal(seen->statement.fingerprint,
                     fake_agent_record(&agent, RECORD_STATEMENT, 1)->statement.fingerprint);
    weir_probe_connection_close(connection, WEIR_FAILURE_NONE, NULL);
    weir_probe_pool_close(pool);
}

static void test_failed_statement(void **state)
{
    struct weir_probe_pool *pool = pool_named("failing", 0);
    struct weir_probe_connection *connection = connect_to(pool, "a");
    struct weir_probe_statement statement;
    struct weir_probe_statement_result result = {.size = sizeof(result),
                                                 .sqlstate = "23505",
                                                 .rows = WEIR_UNKNOWN,
                                                 .constraint_name = "orders_pkey",
                                                 .table_name = "orders"};
    const struct seen_record *seen;

    (void)state;
    fake_agent_drain(&agent);
    weir_probe_statement_begin(connection, &statement, "INSERT INTO orders VALUES (1)", SIZE_MAX,
                               WEIR_STATEMENT_PREPARED);
    weir_probe_statement_first_byte(&statement);
    result.flags = WEIR_STATEMENT_LATE_FETCH;
    weir_probe_statement_end(&statement, &result);
    weir_probe_statement_end(&statement, &result); /* twice does nothing */
    fake_agent_drain(&agent);
    assert_int_equal(agent.record_count, 1);
    seen = fake_agent_record(&agent, RECORD_STATEMENT, 0);
    assert_int_equal(seen->statement.failure, FAILURE_SQLSTATE);
    assert_memory_equal(seen->statement.sqlstate, "23505", 5);
    assert_int_equal(seen->statement.rows, ROWS_UNKNOWN);
    assert_true(seen->statement.first_byte_ns <= seen->statement.duration_ns);
    assert_int_equal(seen->event.flags & (STATEMENT_PREPARED | STATEMENT_LATE_FETCH),
                     STATEMENT_PREPARED | STATEMENT_LATE_FETCH);
    assert_string_equal(fake_agent_name(&agent, NAME_OBJECT, seen->context.object)->text,
                        "orders_pkey\norders\n");
    weir_probe_connection_close(connection, WEIR_FAILURE_NONE, NULL);
    weir_probe_pool_close(pool);
}

static void test_pipeline_shows_the_oldest(void **state)
{
    struct weir_probe_pool *pool = pool_named("pipeline", 0);
    struct weir_probe_connection *connection = connect_to(pool, "a");
    struct weir_probe_statement statements[40];
    char text[64];
    struct slot_copy slot;
    const struct seen_record *connect;
    uint64_t second;

    (void)state;
    fake_agent_drain(&agent);
    connect = fake_agent_record(&agent, RECORD_CONNECT, 0);
    for (int i = 0; i < 40; i++) {
        (void)snprintf(text, sizeof(text), "SELECT * FROM pipeline_%c%c", 'a' + i / 26,
                       'a' + i % 26);
        weir_probe_statement_begin(connection, &statements[i], text, SIZE_MAX,
                                   WEIR_STATEMENT_PIPELINED);
    }
    slot = slot_on_board(connect->connect.slot);
    assert_int_equal(slot.state, SLOT_EXECUTING);
    assert_int_equal(slot.oldest_open, 1);
    assert_int_equal(slot.newest_sent, 40);
    for (int i = 0; i < 30; i++)
        weir_probe_statement_end(&statements[i], NULL);
    slot = slot_on_board(connect->connect.slot);
    assert_int_equal(slot.oldest_open, 31);
    second = slot.fingerprint;
    for (int i = 30; i < 40; i++)
        weir_probe_statement_end(&statements[i], NULL);
    fake_agent_drain(&agent);
    assert_int_equal(fake_agent_count(&agent, RECORD_STATEMENT), 40);
    assert_int_equal(fake_agent_count(&agent, RECORD_RELEASE), 1);
    assert_int_equal(fake_agent_record(&agent, RECORD_STATEMENT, 30)->statement.fingerprint,
                     second);
    assert_int_equal(fake_agent_record(&agent, RECORD_RELEASE, 0)->event.sequence, 40);
    slot = slot_on_board(connect->connect.slot);
    assert_int_equal(slot.oldest_open, 0);
    assert_int_equal(slot.statement_since_ns, 0);
    weir_probe_connection_close(connection, WEIR_FAILURE_NONE, NULL);
    weir_probe_pool_close(pool);
}

static void test_prepared_text_and_events(void **state)
{
    struct weir_probe_pool *pool = pool_named("prepared", 0);
    struct weir_probe_connection *connection = connect_to(pool, "a");
    struct weir_probe_text *text = weir_probe_text_new("SELECT $1 FROM prep", SIZE_MAX, 0);
    struct weir_probe_statement statement;
    const struct seen_record *prepared, *seen;

    (void)state;
    fake_agent_drain(&agent);
    weir_probe_prepare(connection, text, WEIR_PREPARE_PARSE, 1234, NULL);
    weir_probe_statement_begin_prepared(connection, &statement, text, WEIR_STATEMENT_PREPARED);
    weir_probe_statement_end(&statement, NULL);
    weir_probe_statement_begin_prepared(connection, &statement, NULL, 0);
    weir_probe_cancel(connection);
    weir_probe_statement_end(&statement, NULL);
    fake_agent_drain(&agent);
    prepared = fake_agent_record(&agent, RECORD_PREPARE, 0);
    assert_int_equal(prepared->prepare.action, PREPARE_PARSE);
    assert_int_equal(prepared->prepare.duration_ns, 1234);
    seen = fake_agent_record(&agent, RECORD_STATEMENT, 0);
    assert_int_equal(seen->statement.fingerprint, prepared->prepare.fingerprint);
    assert_string_equal(fake_agent_name(&agent, NAME_STATEMENT, seen->statement.fingerprint)->text,
                        "SELECT $1 FROM prep");
    seen = fake_agent_record(&agent, RECORD_STATEMENT, 1);
    assert_string_equal(fake_agent_name(&agent, NAME_STATEMENT, seen->statement.fingerprint)->text,
                        "unknown");
    assert_int_equal(fake_agent_record(&agent, RECORD_CANCEL, 0)->event.hold_id,
                     fake_agent_record(&agent, RECORD_STATEMENT, 1)->event.hold_id);
    weir_probe_text_free(text);
    weir_probe_connection_close(connection, WEIR_FAILURE_NONE, NULL);
    weir_probe_pool_close(pool);
}

static void test_close_ends_everything(void **state)
{
    struct weir_probe_pool *pool = pool_named("ended", 0);
    struct weir_probe_connection *connection = connect_to(pool, "a");
    struct weir_probe_statement statement;
    struct weir_probe_statement_result lost = {.size = sizeof(lost),
                                               .failure = WEIR_FAILURE_CONNECTION_LOST};

    (void)state;
    fake_agent_drain(&agent);
    weir_probe_statement_begin(connection, &statement, "BEGIN", SIZE_MAX, 0);
    weir_probe_transaction_begin(connection);
    weir_probe_statement_end(&statement, NULL);
    weir_probe_statement_begin(connection, &statement, "SELECT 1", SIZE_MAX, 0);
    weir_probe_statement_end(&statement, &lost);
    weir_probe_connection_reset(connection);
    weir_probe_connect_end(connection, NULL);
    run(connection, "SELECT 1");
    weir_probe_connection_close(connection, WEIR_FAILURE_NONE, NULL);
    fake_agent_drain(&agent);
    assert_int_equal(fake_agent_count(&agent, RECORD_STATEMENT), 3);
    assert_int_equal(fake_agent_record(&agent, RECORD_TRANSACTION, 0)->transaction.outcome,
                     TRANSACTION_UNKNOWN);
    assert_int_equal(fake_agent_record(&agent, RECORD_RELEASE, 0)->event.sequence, 2);
    assert_true(fake_agent_record(&agent, RECORD_CONNECT, 0)->event.flags & CONNECT_IS_RESET);
    assert_true(fake_agent_record(&agent, RECORD_STATEMENT, 2)->event.flags & STATEMENT_IS_HOLD);
    assert_int_equal(fake_agent_count(&agent, RECORD_CLOSE), 1);
    weir_probe_pool_close(pool);
}

static void test_many_targets_of_one_stand_in(void **state)
{
    struct weir_probe_pool *pool = pool_named(NULL, 0);
    struct weir_probe_connection *a = connect_to(pool, "a"), *b = connect_to(pool, "b"),
                                 *again = connect_to(pool, "a");
    uint64_t target_a, target_b;

    (void)state;
    fake_agent_drain(&agent);
    target_a = fake_agent_record(&agent, RECORD_CONNECT, 0)->event.target;
    target_b = fake_agent_record(&agent, RECORD_CONNECT, 1)->event.target;
    assert_int_not_equal(target_a, target_b);
    assert_int_equal(fake_agent_record(&agent, RECORD_CONNECT, 2)->event.target, target_a);
    assert_int_equal(pool_on_board(target_a).idle, 2);
    assert_int_equal(pool_on_board(target_b).idle, 1);
    assert_int_equal(pool_on_board(target_a).flags & POOL_HAS_WAITERS, 0);
    weir_probe_connection_close(a, WEIR_FAILURE_NONE, NULL);
    weir_probe_connection_close(b, WEIR_FAILURE_NONE, NULL);
    weir_probe_connection_close(again, WEIR_FAILURE_NONE, NULL);
    weir_probe_pool_close(pool);
}

static void test_nothing_is_a_call(void **state)
{
    struct weir_probe_pool *pool = pool_named("nothing", 0);
    struct weir_probe_connection *connection = connect_to(pool, "a");
    struct weir_probe_statement statement;

    (void)state;
    fake_agent_drain(&agent);
    run(connection, "");
    run(connection, " /* nothing */ -- at all");
    run(NULL, "SELECT 1");
    weir_probe_statement_begin(NULL, &statement, NULL, 0, 0);
    weir_probe_statement_end(&statement, NULL);
    weir_probe_statement_begin(connection, NULL, NULL, 0, 0);
    weir_probe_statement_first_byte(NULL);
    weir_probe_statement_end(NULL, NULL);
    weir_probe_acquire_begin(NULL, NULL, NULL);
    weir_probe_acquire_end(NULL, NULL, WEIR_FAILURE_NONE, NULL);
    weir_probe_release(NULL);
    weir_probe_cancel(NULL);
    weir_probe_transaction_begin(NULL);
    weir_probe_transaction_end(NULL, WEIR_TRANSACTION_UNKNOWN);
    weir_probe_connection_close(NULL, WEIR_FAILURE_NONE, NULL);
    weir_probe_connection_reset(NULL);
    weir_probe_connect_end(NULL, NULL);
    weir_probe_pool_close(NULL);
    weir_probe_text_free(NULL);
    assert_null(weir_probe_connect_begin(NULL, NULL));
    fake_agent_drain(&agent);
    assert_int_equal(agent.record_count, 0);
    weir_probe_connection_close(connection, WEIR_FAILURE_NONE, NULL);
    weir_probe_pool_close(pool);
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
        cmocka_unit_test(test_connect_and_close),
        cmocka_unit_test(test_failed_connect),
        cmocka_unit_test(test_lone_statement_is_its_hold),
        cmocka_unit_test(test_transaction_is_one_hold),
        cmocka_unit_test(test_acquire_and_release),
        cmocka_unit_test(test_trace_context_travels),
        cmocka_unit_test(test_comment_gives_parent_and_call_site),
        cmocka_unit_test(test_failed_statement),
        cmocka_unit_test(test_pipeline_shows_the_oldest),
        cmocka_unit_test(test_prepared_text_and_events),
        cmocka_unit_test(test_close_ends_everything),
        cmocka_unit_test(test_many_targets_of_one_stand_in),
        cmocka_unit_test(test_nothing_is_a_call),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
