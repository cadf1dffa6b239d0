/* Every kind of record as a shim writes it, then with each field that can be wrong, wrong. */
#include "tests/unit/proto/wire/segment_fixture.h"

#include "proto/wire/record_check.h"

union any_record {
    alignas(RECORD_ALIGN) char bytes[512];
    struct record_header header;
    struct event_head event;
    struct record_name name;
    struct record_statement statement;
    struct record_transaction transaction;
    struct record_prepare prepare;
    struct record_parameters parameters;
};

static union any_record record_of(enum record_kind kind, uint16_t length)
{
    union any_record record;

    memset(&record, 0, sizeof(record));
    record.header.kind = (uint16_t)kind;
    record.header.length = length;
    if (kind == RECORD_TRANSACTION)
        record.transaction.outcome = TRANSACTION_COMMITTED;
    if (kind == RECORD_PREPARE)
        record.prepare.action = PREPARE_SQL;
    if (kind == RECORD_NAME) {
        record.name.id = 1;
        record.name.name_kind = NAME_STATEMENT;
    }
    return record;
}

static void test_every_kind_passes(void **state)
{
    (void)state;
    for (int kind = RECORD_NAME; kind < RECORD_KIND_END; kind++) {
        union any_record record = record_of((enum record_kind)kind, 96);
        assert_int_equal(record_check(&record.header), 0);
        assert_null(record_context(&record.header));
    }
}

static void test_events_shorter_than_their_core(void **state)
{
    (void)state;
    for (int kind = RECORD_CONNECT; kind < RECORD_KIND_END; kind++) {
        union any_record record = record_of((enum record_kind)kind, 64);
        assert_int_equal(record_check(&record.header), RECORD_E_LENGTH);
        record.header.length = 128; /* a later minor version may append */
        assert_int_equal(record_check(&record.header), 0);
        record.header.length = 100;
        assert_int_equal(record_check(&record.header), RECORD_E_LENGTH);
        record.header.length = 0;
        assert_int_equal(record_check(&record.header), RECORD_E_LENGTH);
    }
}

static void test_context_must_fit(void **state)
{
    (void)state;
    for (int kind = RECORD_CONNECT; kind < RECORD_KIND_END; kind++) {
        union any_record record = record_of((enum record_kind)kind, 96);
        record.event.flags = EVENT_HAS_CONTEXT;
        assert_int_equal(record_check(&record.header), RECORD_E_LENGTH);
        record.header.length = 160;
        assert_int_equal(record_check(&record.header), 0);
        assert_ptr_equal(record_context(&record.header), record.bytes + 96);
    }
}

static void test_unknown_kinds_are_to_be_skipped(void **state)
{
    union any_record record = record_of((enum record_kind)RECORD_KIND_END, 96);
    (void)state;

    assert_int_equal(record_check(&record.header), RECORD_E_UNKNOWN_KIND);
    record.header.kind = UINT16_MAX;
    assert_int_equal(record_check(&record.header), RECORD_E_UNKNOWN_KIND);
    record.header.kind = RECORD_PAD;
    assert_int_equal(record_check(&record.header), RECORD_E_ENUM);
}

static void test_names(void **state)
{
    union any_record record = record_of(RECORD_NAME, 64);
    struct view text;
    (void)state;

    record.name.text_length = 32;
    memcpy(record.bytes + sizeof(record.name), "SELECT abalance FROM accounts wh", 32);
    assert_int_equal(record_check(&record.header), 0);
    text = record_name_text(&record.header);
    assert_true(view_equal(text, VIEW_LITERAL("SELECT abalance FROM accounts wh")));
    record.name.text_length = 33;
    assert_int_equal(record_check(&record.header), RECORD_E_LENGTH);
    record.name.text_length = UINT32_MAX;
    assert_int_equal(record_check(&record.header), RECORD_E_LENGTH);
    record.name.text_length = 32;
    record.name.id = 0;
    assert_int_equal(record_check(&record.header), RECORD_E_ENUM);
    record.name.id = 1;
    record.name.name_kind = 0;
    assert_int_equal(record_check(&record.header), RECORD_E_ENUM);
    record.name.name_kind = NAME_KIND_END;
    assert_int_equal(record_check(&record.header), RECORD_E_UNKNOWN_KIND);
    /* Longer than any text may be, though the record would hold it. */
    record = record_of(RECORD_NAME, RECORD_LENGTH_MAX);
    record.name.text_length = NAME_TEXT_MAX + 1;
    assert_int_equal(record_check(&record.header), RECORD_E_LENGTH);
}

static void test_failures(void **state)
{
    static const enum record_kind kinds[] = {RECORD_CONNECT, RECORD_CLOSE,   RECORD_ACQUIRE,
                                             RECORD_CANCEL,  RECORD_PREPARE, RECORD_STATEMENT};
    (void)state;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        union any_record record = record_of(kinds[i], 96);
        record.statement.failure = FAILURE_END;
        assert_int_equal(record_check(&record.header), RECORD_E_ENUM);
        record.statement.failure = FAILURE_PROCESS_DIED; /* for the agent alone to say */
        assert_int_equal(record_check(&record.header), RECORD_E_ENUM);
        record.statement.failure = FAILURE_SQLSTATE;
        memcpy(record.statement.sqlstate, "23505", 5);
        assert_int_equal(record_check(&record.header), 0);
        record.statement.sqlstate[4] = 0;
        assert_int_equal(record_check(&record.header), RECORD_E_TEXT);
        record.statement.sqlstate[4] = '\n';
        assert_int_equal(record_check(&record.header), RECORD_E_TEXT);
        record.statement.sqlstate[4] = (char)0xff;
        assert_int_equal(record_check(&record.header), RECORD_E_TEXT);
    }
}

static void test_outcomes_and_actions(void **state)
{
    union any_record transaction = record_of(RECORD_TRANSACTION, 96);
    union any_record prepare = record_of(RECORD_PREPARE, 96);
    (void)state;

    transaction.transaction.outcome = 0;
    assert_int_equal(record_check(&transaction.header), RECORD_E_ENUM);
    transaction.transaction.outcome = TRANSACTION_UNKNOWN + 1;
    assert_int_equal(record_check(&transaction.header), RECORD_E_ENUM);
    prepare.prepare.action = 0;
    assert_int_equal(record_check(&prepare.header), RECORD_E_ENUM);
    prepare.prepare.action = PREPARE_DEALLOCATE + 1;
    assert_int_equal(record_check(&prepare.header), RECORD_E_ENUM);
}

static void test_parameters(void **state)
{
    union any_record record = record_of(RECORD_PARAMETERS, 128);
    (void)state;

    record.parameters.bytes_length = 32;
    assert_int_equal(record_check(&record.header), 0);
    assert_int_equal(record_parameter_bytes(&record.header).length, 32);
    assert_ptr_equal(record_parameter_bytes(&record.header).bytes, record.bytes + 96);
    record.parameters.bytes_length = 33;
    assert_int_equal(record_check(&record.header), RECORD_E_LENGTH);
    record.parameters.bytes_length = UINT32_MAX;
    assert_int_equal(record_check(&record.header), RECORD_E_LENGTH);
    record.parameters.bytes_length = 32;
    record.event.flags = EVENT_HAS_CONTEXT;
    record.header.length = 160;
    assert_int_equal(record_check(&record.header), RECORD_E_LENGTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_passes),
        cmocka_unit_test(test_events_shorter_than_their_core),
        cmocka_unit_test(test_context_must_fit),
        cmocka_unit_test(test_unknown_kinds_are_to_be_skipped),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_outcomes_and_actions),
        cmocka_unit_test(test_parameters),
    };

    return cmocka_run_group_tests_name("record_check", tests, NULL, NULL);
}
