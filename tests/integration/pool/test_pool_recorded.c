/* What the probe is told of statements, read as the agent reads it: each statement once, with its
 * own result, in the transaction that it belongs to. */
#include "statement_test.h"
#include "tests/unit/shim/probe/fake_agent.h"

static struct fake_agent agent;
static struct held held;

static int setup(void **state)
{
    struct weir_pool_opts opts = pool_opts("recorded", 0, 1);

    (void)state;
    fake_agent_start(&agent);
    held = held_open(&opts, NULL);
    fake_agent_accept(&agent);
    fake_agent_welcome(&agent);
    fake_agent_drain(&agent);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    held_close(&held);
    fake_agent_stop(&agent);
    return 0;
}

/* The statement that was recorded as the @nth since the last drain. */
static const struct record_statement *told(unsigned nth, const char *text)
{
    const struct record_statement *record =
        &fake_agent_record(&agent, RECORD_STATEMENT, nth)->statement;
    const struct seen_name *name = fake_agent_name(&agent, NAME_STATEMENT, record->fingerprint);

    assert_non_null(name);
    assert_string_equal(name->text, text);
    return record;
}

static void one_each(void **state)
{
    (void)state;
    run(held.connection, "SELECT generate_series(1, 7)");
    refused(held.connection, "SELECT 1/0", NULL, WEIR_ERROR_DATA, "22012");
    run(held.connection, "");
    fake_agent_drain(&agent);
    assert_int_equal(fake_agent_count(&agent, RECORD_STATEMENT), 2);
    assert_int_equal(told(0, "SELECT generate_series($1, $2)")->rows, 7);
    assert_int_equal(told(0, "SELECT generate_series($1, $2)")->failure, FAILURE_NONE);
    assert_in_range(told(0, "SELECT generate_series($1, $2)")->first_byte_ns, 1,
                    told(0, "SELECT generate_series($1, $2)")->duration_ns);
    assert_memory_equal(told(1, "SELECT $1/$2")->sqlstate, "22012", 5);
    assert_int_equal(told(1, "SELECT $1/$2")->failure, FAILURE_SQLSTATE);
}

/* Parts of a string: each with its own time and its own result; what was not executed is none. */
static void strings_of_several(void **state)
{
    const struct record_statement *slow, *quick;

    (void)state;
    run(held.connection, "BEGIN; SELECT 1; SELECT pg_sleep(0.1); SELECT 1, 2; COMMIT");
    fake_agent_drain(&agent);
    assert_int_equal(fake_agent_count(&agent, RECORD_STATEMENT), 5);
    assert_int_equal(fake_agent_count(&agent, RECORD_TRANSACTION), 1);
    slow = told(2, "SELECT pg_sleep($1)");
    assert_int_equal(slow->rows, 1);
    for (unsigned i = 0; i < 5; i++)
        assert_true(fake_agent_record(&agent, RECORD_STATEMENT, i)->statement.head.flags &
                        STATEMENT_IN_TRANSACTION ||
                    i == 0 || i == 4);
    assert_int_equal(fake_agent_record(&agent, RECORD_TRANSACTION, 0)->transaction.outcome,
                     TRANSACTION_COMMITTED);
    assert_int_equal(fake_agent_record(&agent, RECORD_TRANSACTION, 0)->transaction.head.sequence,
                     5);

    refused(held.connection, "SELECT 1; SELECT 1/0; SELECT 3", NULL, WEIR_ERROR_DATA, "22012");
    fake_agent_drain(&agent);
    assert_int_equal(fake_agent_count(&agent, RECORD_STATEMENT), 2);
    quick = told(0, "SELECT $1");
    assert_int_equal(quick->failure, FAILURE_NONE);
    assert_int_equal(told(1, "SELECT $1/$2")->failure, FAILURE_SQLSTATE);
}

static void transactions(void **state)
{
    static const struct {
        const char *end;
        enum transaction_outcome outcome;
    } ends[] = {
        {"COMMIT", TRANSACTION_COMMITTED},
        {"ROLLBACK", TRANSACTION_ROLLED_BACK},
        {"SAVEPOINT s; ROLLBACK TO s; RELEASE s; COMMIT", TRANSACTION_COMMITTED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        run(held.connection, "BEGIN");
        run(held.connection, "SELECT 1");
        run(held.connection, ends[i].end);
        fake_agent_drain(&agent);
        assert_int_equal(fake_agent_count(&agent, RECORD_TRANSACTION), 1);
        assert_int_equal(fake_agent_record(&agent, RECORD_TRANSACTION, 0)->transaction.outcome,
                         ends[i].outcome);
    }
    /* A failed one that is committed is rolled back. */
    run(held.connection, "BEGIN");
    refused(held.connection, "SELECT 1/0", NULL, WEIR_ERROR_DATA, "22012");
    run(held.connection, "COMMIT");
    run(held.connection, "BEGIN");
    run(held.connection, "COMMIT AND CHAIN");
    run(held.connection, "ROLLBACK");
    fake_agent_drain(&agent);
    assert_int_equal(fake_agent_count(&agent, RECORD_TRANSACTION), 3);
    assert_int_equal(fake_agent_record(&agent, RECORD_TRANSACTION, 0)->transaction.outcome,
                     TRANSACTION_ROLLED_BACK);
    assert_int_equal(fake_agent_record(&agent, RECORD_TRANSACTION, 1)->transaction.outcome,
                     TRANSACTION_COMMITTED);
    assert_int_equal(fake_agent_record(&agent, RECORD_TRANSACTION, 2)->transaction.outcome,
                     TRANSACTION_ROLLED_BACK);
}

static void prepared_ones(void **state)
{
    struct weir_statement_opts opts = {.size = sizeof(opts), .is_prepared = 1};

    (void)state;
    for (int i = 0; i < 3; i++)
        CHECK(weir_execute(held.connection, "SELECT 'prepared'", &opts, NULL, &error));
    run(held.connection, "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$");
    CHECK(weir_execute(held.connection, "SELECT 'prepared'", &opts, NULL, &error));
    run(held.connection, "PREPARE by_hand AS SELECT 2");
    run(held.connection, "DEALLOCATE by_hand");
    fake_agent_drain(&agent);
    /* Four of its own and the DO; preparing is an event. */
    assert_int_equal(fake_agent_count(&agent, RECORD_STATEMENT), 5);
    assert_int_equal(fake_agent_count(&agent, RECORD_PREPARE), 4);
    for (unsigned i = 0; i < 3; i++)
        assert_true(told(i, "SELECT $1")->head.flags & STATEMENT_PREPARED);
    assert_int_equal(told(4, "SELECT $1")->failure, FAILURE_NONE);
}

/* A neighbour's time is not charged, and what a failure keeps from being executed is no call. */
static void pipelines(void **state)
{
    struct weir_pipeline *pipeline = NULL;
    PGresult *result = NULL;

    (void)state;
    CHECK(weir_pipeline_open(held.connection, 0, &pipeline, &error));
    CHECK(weir_pipeline_add(pipeline, "SELECT pg_sleep(0.2)", NULL, &error));
    CHECK(weir_pipeline_add(pipeline, "SELECT 2", NULL, &error));
    CHECK(weir_pipeline_add(pipeline, "SELECT 3/0", NULL, &error));
    CHECK(weir_pipeline_add(pipeline, "SELECT 4, 4", NULL, &error));
    CHECK(weir_pipeline_sync(pipeline, &error));
    for (int i = 0; i < 4; i++) {
        (void)weir_pipeline_next(pipeline, &result, NULL);
        PQclear(result);
        result = NULL;
    }
    weir_pipeline_close(pipeline);
    fake_agent_drain(&agent);
    assert_int_equal(fake_agent_count(&agent, RECORD_STATEMENT), 3);
    assert_in_range(told(0, "SELECT pg_sleep($1)")->duration_ns, 200 * NS_PER_MS, 10 * NS_PER_S);
    assert_in_range(told(1, "SELECT $1")->duration_ns, 0, 150 * NS_PER_MS);
    assert_true(told(1, "SELECT $1")->head.flags & STATEMENT_PIPELINED);
    assert_memory_equal(told(2, "SELECT $1/$2")->sqlstate, "22012", 5);
}

/* Also not that of one behind it, nor with names: a Parse is part of its statement. */
static void pipelines_of_prepared_ones(void **state)
{
    struct weir_statement_opts opts = {.size = sizeof(opts), .is_prepared = 1};
    struct weir_pipeline *pipeline = NULL;
    PGresult *result = NULL;

    (void)state;
    CHECK(weir_pipeline_open(held.connection, 0, &pipeline, &error));
    CHECK(weir_pipeline_add(pipeline, "SELECT 'quick', 1", &opts, &error));
    CHECK(weir_pipeline_add(pipeline, "SELECT pg_sleep(0.2), 'slow'", &opts, &error));
    CHECK(weir_pipeline_add(pipeline, "SELECT nothing FROM nowhere", &opts, &error));
    CHECK(weir_pipeline_sync(pipeline, &error));
    for (int i = 0; i < 3; i++) {
        (void)weir_pipeline_next(pipeline, &result, NULL);
        PQclear(result);
        result = NULL;
    }
    weir_pipeline_close(pipeline);
    fake_agent_drain(&agent);
    assert_int_equal(fake_agent_count(&agent, RECORD_STATEMENT), 3);
    assert_in_range(told(0, "SELECT $1, $2")->duration_ns, 1, 150 * NS_PER_MS);
    assert_in_range(told(1, "SELECT pg_sleep($1), $2")->duration_ns, 190 * NS_PER_MS,
                    10 * NS_PER_S);
    assert_memory_equal(told(2, "SELECT nothing FROM nowhere")->sqlstate, "42P01", 5);
}

static void given_up(void **state)
{
    struct weir_stream *stream = NULL;
    PGresult *row = NULL;

    (void)state;
    CHECK(weir_stream_open(held.connection, "SELECT generate_series(1, 10000000)", NULL, &stream,
                           &error));
    CHECK(weir_stream_next(stream, &row, &error));
    PQclear(row);
    held_again(&held); /* released while it is open */
    weir_stream_close(stream);
    fake_agent_drain(&agent);
    assert_int_equal(fake_agent_count(&agent, RECORD_STATEMENT), 1);
    assert_int_equal(told(0, "SELECT generate_series($1, $2)")->failure, FAILURE_CANCELLED);
    assert_int_equal(fake_agent_count(&agent, RECORD_CANCEL), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_each),     cmocka_unit_test(strings_of_several),
        cmocka_unit_test(transactions), cmocka_unit_test(prepared_ones),
        cmocka_unit_test(pipelines),    cmocka_unit_test(pipelines_of_prepared_ones),
        cmocka_unit_test(given_up),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
