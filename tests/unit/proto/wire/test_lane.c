/* The two halves of a lane against each other, and the reader against a writer that lies. */
#include "tests/unit/proto/wire/segment_fixture.h"

#include "base/cleanup.h"
#include "proto/wire/lane_reader.h"

enum { CAPACITY = 4096 };

static struct lane_record_copy copy;

static void reader_open(struct lane_reader *reader, struct lane *lane, uint32_t capacity)
{
    assert_int_equal(lane_reader_open(reader, lane, capacity + (uint32_t)sizeof(*lane)), 0);
}

/* Reads one record that must be there. */
static const struct record_header *reader_take(struct lane_reader *reader)
{
    const struct record_header *record = NULL;

    assert_int_equal(lane_reader_next(reader, &copy, &record), 0);
    assert_non_null(record);
    return record;
}

static void assert_end(struct lane_reader *reader)
{
    const struct record_header *record = NULL;

    assert_int_equal(lane_reader_next(reader, &copy, &record), LANE_READER_E_END);
}

static void assert_fault(struct lane_reader *reader, enum lane_fault fault)
{
    const struct record_header *record = NULL;

    assert_int_equal(reader->fault, fault);
    assert_int_equal(lane_reader_look(reader), LANE_READER_E_BAD);
    assert_int_equal(lane_reader_next(reader, &copy, &record), LANE_READER_E_BAD);
}

static void test_lane_carries_records_in_order(void **state)
{
    struct lane *CLEANUP(freep) lane = lane_fixture_new(CAPACITY);
    struct lane_reader reader;
    (void)state;

    reader_open(&reader, lane, CAPACITY);
    for (uint64_t i = 0; i < 10; i++)
        assert_int_equal(lane_fixture_write(lane, i, 96), 0);
    assert_end(&reader); /* nothing exists before the reader looks */
    assert_int_equal(lane_reader_look(&reader), 0);
    for (uint64_t i = 0; i < 10; i++) {
        const struct record_header *record = reader_take(&reader);
        assert_int_equal(record->time_ns, i);
        assert_int_equal(record->number, i);
        assert_int_equal(record->length, 96);
    }
    assert_end(&reader);
    assert_int_equal(reader.number, 10);
    assert_int_equal(lane_reader_recorded(&reader), 10);
}

static void test_record_that_ends_at_the_end_of_the_ring(void **state)
{
    struct lane *CLEANUP(freep) lane = lane_fixture_new(CAPACITY);
    struct lane_reader reader;
    (void)state;

    reader_open(&reader, lane, CAPACITY);
    for (uint64_t i = 0; i < CAPACITY / 128; i++)
        assert_int_equal(lane_fixture_write(lane, i, 128), 0);
    assert_int_equal(lane_fixture_write(lane, 99, 128), LANE_E_FULL);
    assert_int_equal(lane_reader_look(&reader), 0);
    for (uint64_t i = 0; i < CAPACITY / 128; i++)
        assert_int_equal(reader_take(&reader)->time_ns, i);
    lane_reader_commit(&reader, reader.position);
    /* Without a PAD between: the next record stands at the beginning. */
    assert_int_equal(lane_fixture_write(lane, 99, 128), 0);
    assert_int_equal(((struct record_header *)(void *)lane_data(lane))->time_ns, 99);
    assert_int_equal(lane_reader_look(&reader), 0);
    assert_int_equal(reader_take(&reader)->time_ns, 99);
}

static void test_pad_fills_the_rest(void **state)
{
    struct lane *CLEANUP(freep) lane = lane_fixture_new(CAPACITY);
    struct lane_reader reader;
    (void)state;

    reader_open(&reader, lane, CAPACITY);
    for (uint64_t i = 0; i < 25; i++) /* 25 x 160 = 4000: 96 bytes are left */
        assert_int_equal(lane_fixture_write(lane, i, 160), 0);
    assert_int_equal(lane_reader_look(&reader), 0);
    for (uint64_t i = 0; i < 25; i++)
        assert_int_equal(reader_take(&reader)->time_ns, i);
    lane_reader_commit(&reader, reader.position);
    assert_int_equal(lane_fixture_write(lane, 25, 160), 0);
    assert_int_equal(lane_reader_look(&reader), 0);
    assert_int_equal(reader_take(&reader)->time_ns, 25);
    assert_int_equal(reader.number, 26); /* the PAD is not counted */
    assert_int_equal(reader.position, CAPACITY + 160);
}

static void test_reading_frees_nothing_before_the_commit(void **state)
{
    struct lane *CLEANUP(freep) lane = lane_fixture_new(CAPACITY);
    struct lane_reader reader;
    (void)state;

    reader_open(&reader, lane, CAPACITY);
    for (uint64_t i = 0; i < CAPACITY / 128; i++)
        assert_int_equal(lane_fixture_write(lane, i, 128), 0);
    assert_int_equal(lane_reader_look(&reader), 0);
    for (uint64_t i = 0; i < CAPACITY / 128; i++)
        (void)reader_take(&reader);
    assert_int_equal(lane_reader_used(&reader), CAPACITY);
    assert_int_equal(lane_fixture_write(lane, 1, 128), LANE_E_FULL);
    lane_reader_commit(&reader, 128);
    assert_int_equal(lane_fixture_write(lane, 1, 128), 0);
    assert_int_equal(lane_fixture_write(lane, 1, 128), LANE_E_FULL);
    lane_reader_commit(&reader, UINT64_MAX); /* beyond what was read: ignored */
    assert_int_equal(reader.tail, 128);
}

static void test_abandoned_record_leaves_no_trace(void **state)
{
    struct lane *CLEANUP(freep) lane = lane_fixture_new(CAPACITY);
    struct lane_reader reader;
    struct lane_record record;
    (void)state;

    reader_open(&reader, lane, CAPACITY);
    for (uint64_t i = 0; i < 25; i++)
        assert_int_equal(lane_fixture_write(lane, i, 160), 0);
    assert_int_equal(lane_reader_look(&reader), 0);
    for (uint64_t i = 0; i < 25; i++)
        (void)reader_take(&reader);
    lane_reader_commit(&reader, reader.position);
    /* Taking wraps the lap; abandoning takes that back, so that a shorter record still fits before
     * the end. */
    assert_int_equal(lane_take(lane, 160, &record), 0);
    assert_int_equal(lane_take(lane, 96, &record), LANE_E_BUSY);
    assert_int_equal(lane_take(lane, 96, &(struct lane_record){0}), LANE_E_BUSY);
    lane_abandon(&record);
    assert_int_equal(lane_reader_look(&reader), 0);
    assert_end(&reader);
    assert_int_equal(lane_fixture_write(lane, 26, 96), 0);
    assert_int_equal(lane_reader_look(&reader), 0);
    assert_int_equal(reader_take(&reader)->time_ns, 26);
    assert_int_equal(reader.position, CAPACITY);
}

/* Random writes, reads and commits against a plain queue. */
static void test_lane_is_a_queue(void **state)
{
    enum { QUEUE_MAX = CAPACITY / RECORD_ALIGN };
    struct lane *CLEANUP(freep) lane = lane_fixture_new(CAPACITY);
    struct lane_reader reader;
    struct {
        uint64_t value;
        uint32_t length;
    } queue[QUEUE_MAX];
    uint64_t written = 0, read = 0, full = 0, wraps = 0;
    (void)state;

    srand(20);
    reader_open(&reader, lane, CAPACITY);
    for (int step = 0; step < 200000; step++) {
        switch (rand() % 4) {
        case 0:
        case 1: {
            uint32_t length = 32u * (1u + (unsigned)rand() % 40u);
            int r = lane_fixture_write(lane, written, length);
            if (r == LANE_E_FULL) {
                full++;
                /* Full is only said when it is so: what is left is less than record and PAD. */
                assert_true(reader.lane->head - reader.tail + 2 * length > CAPACITY);
                break;
            }
            assert_int_equal(r, 0);
            assert_true(written - read < QUEUE_MAX);
            queue[written % QUEUE_MAX].value = written;
            queue[written % QUEUE_MAX].length = length;
            written++;
            break;
        }
        case 2: {
            const struct record_header *record;
            assert_int_equal(lane_reader_look(&reader), 0);
            if (read == written) {
                assert_end(&reader);
                break;
            }
            record = reader_take(&reader);
            assert_int_equal(record->time_ns, queue[read % QUEUE_MAX].value);
            assert_int_equal(record->length, queue[read % QUEUE_MAX].length);
            for (size_t i = sizeof(*record); i < record->length && record->length < EVENT_CORE_SIZE;
                 i++)
                assert_int_equal(copy.bytes[i], (int)(read & 0x7f));
            read++;
            break;
        }
        default:
            wraps += reader.position / CAPACITY != reader.tail / CAPACITY;
            lane_reader_commit(&reader, reader.position);
            break;
        }
        assert_int_equal(reader.number, read);
        assert_int_equal(lane_reader_recorded(&reader), written);
    }
    assert_true(full > 1000);
    assert_true(wraps > 1000);
}

static void test_reader_resumes_where_a_checkpoint_stands(void **state)
{
    struct lane *CLEANUP(freep) lane = lane_fixture_new(CAPACITY);
    struct lane_reader first, second;
    (void)state;

    reader_open(&first, lane, CAPACITY);
    for (uint64_t i = 0; i < 8; i++)
        assert_int_equal(lane_fixture_write(lane, i, 96), 0);
    assert_int_equal(lane_reader_look(&first), 0);
    for (uint64_t i = 0; i < 5; i++)
        (void)reader_take(&first);
    /* Checkpoint after five; the tail in the segment never moved: the first reader died. */
    reader_open(&second, lane, CAPACITY);
    assert_int_equal(lane_reader_resume(&second, first.position, first.number), 0);
    assert_int_equal(lane->tail, 0);
    assert_int_equal(lane_reader_look(&second), 0);
    assert_int_equal(reader_take(&second)->time_ns, 5);
    assert_int_equal(second.missed, 0);
    lane_reader_commit(&second, second.position);
    assert_int_equal(lane->tail, 6 * 96);
}

static void test_reader_without_a_checkpoint_finds_its_number(void **state)
{
    struct lane *CLEANUP(freep) lane = lane_fixture_new(CAPACITY);
    struct lane_reader first, second;
    (void)state;

    reader_open(&first, lane, CAPACITY);
    for (uint64_t i = 0; i < 8; i++)
        assert_int_equal(lane_fixture_write(lane, i, 96), 0);
    assert_int_equal(lane_reader_look(&first), 0);
    for (uint64_t i = 0; i < 5; i++)
        (void)reader_take(&first);
    lane_reader_commit(&first, first.position);

    reader_open(&second, lane, CAPACITY);
    assert_int_equal(lane_reader_look(&second), 0);
    assert_int_equal(reader_take(&second)->time_ns, 5);
    assert_int_equal(second.missed, 5);
    assert_int_equal(second.number, 6);

    /* The same with a checkpoint that is behind the segment's own tail. */
    reader_open(&second, lane, CAPACITY);
    assert_int_equal(lane_reader_resume(&second, 2 * 96, 2), LANE_RESUME_E_MOVED);
    assert_int_equal(lane_reader_look(&second), 0);
    assert_int_equal(reader_take(&second)->time_ns, 5);
    assert_int_equal(second.missed, 3);

    /* And one that is beyond head. */
    reader_open(&second, lane, CAPACITY);
    assert_int_equal(lane_reader_resume(&second, 9 * 96, 9), LANE_RESUME_E_BEYOND);
}

static void test_number_over_32_bits(void **state)
{
    const uint64_t before = (UINT64_C(5) << 32) - 2;
    struct lane *CLEANUP(freep) lane = lane_fixture_new(CAPACITY);
    struct lane_reader reader;
    (void)state;

    lane->recorded = before;
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(lane_fixture_write(lane, i, 96), 0);
    reader_open(&reader, lane, CAPACITY);
    assert_int_equal(lane_reader_look(&reader), 0);
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(reader_take(&reader)->time_ns, i);
    assert_int_equal(reader.number, before + 4);
    assert_int_equal(reader.missed, before);
}

static void test_open_refuses_what_is_no_lane(void **state)
{
    struct lane *CLEANUP(freep) lane = lane_fixture_new(CAPACITY);
    struct lane_reader reader;
    (void)state;

    lane->magic++;
    assert_int_equal(lane_reader_open(&reader, lane, CAPACITY + sizeof(*lane)), LANE_READER_E_BAD);
    assert_fault(&reader, LANE_FAULT_MAGIC);
    lane->magic--;
    lane->capacity = UINT32_MAX & ~31u;
    assert_int_equal(lane_reader_open(&reader, lane, CAPACITY + sizeof(*lane)), LANE_READER_E_BAD);
    assert_fault(&reader, LANE_FAULT_CAPACITY);
    lane->capacity = CAPACITY;
    lane->tail = 7;
    assert_int_equal(lane_reader_open(&reader, lane, CAPACITY + sizeof(*lane)), LANE_READER_E_BAD);
    assert_fault(&reader, LANE_FAULT_HEAD_ALIGN);
}

static void test_head_that_jumps(void **state)
{
    static const struct {
        uint64_t head;
        enum lane_fault fault;
    } cases[] = {
        {0, LANE_FAULT_HEAD_BACK},
        {64, LANE_FAULT_HEAD_BACK},
        {CAPACITY + 32, LANE_FAULT_HEAD_BEYOND},
        {UINT64_MAX, LANE_FAULT_HEAD_BEYOND},
        {UINT64_MAX - 31, LANE_FAULT_HEAD_BEYOND},
        {97, LANE_FAULT_HEAD_ALIGN},
        {192, LANE_FAULT_LENGTH}, /* covers zeros: no record has length 0 */
        {CAPACITY, LANE_FAULT_LENGTH},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct lane *CLEANUP(freep) lane = lane_fixture_new(CAPACITY);
        struct lane_reader reader;
        const struct record_header *record;

        reader_open(&reader, lane, CAPACITY);
        assert_int_equal(lane_fixture_write(lane, 1, 96), 0);
        assert_int_equal(lane_reader_look(&reader), 0);
        (void)reader_take(&reader);
        lane->head = cases[i].head;
        if (lane_reader_look(&reader) == 0)
            assert_int_equal(lane_reader_next(&reader, &copy, &record), LANE_READER_E_BAD);
        assert_fault(&reader, cases[i].fault);
        assert_int_equal(reader.number, 1); /* what came before stays read */
    }
}

static void test_record_with_impossible_header(void **state)
{
    static const struct {
        struct record_header header;
        enum lane_fault fault;
    } cases[] = {
        {{.kind = RECORD_STATEMENT, .length = 0}, LANE_FAULT_LENGTH},
        {{.kind = RECORD_STATEMENT, .length = 16}, LANE_FAULT_LENGTH},
        {{.kind = RECORD_STATEMENT, .length = 97}, LANE_FAULT_LENGTH},
        {{.kind = RECORD_STATEMENT, .length = 128}, LANE_FAULT_LENGTH}, /* beyond head */
        {{.kind = RECORD_STATEMENT, .length = 65504}, LANE_FAULT_LENGTH},
        {{.kind = RECORD_STATEMENT, .length = 96, .number = 1}, LANE_FAULT_NUMBER},
        {{.kind = RECORD_STATEMENT, .length = 96, .number = UINT32_MAX}, LANE_FAULT_NUMBER},
        {{.kind = RECORD_PAD, .length = 96}, LANE_FAULT_PAD},
        {{.kind = RECORD_PAD, .length = 0}, LANE_FAULT_LENGTH},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct lane *CLEANUP(freep) lane = lane_fixture_new(CAPACITY);
        struct lane_reader reader;
        const struct record_header *record;

        assert_int_equal(lane_fixture_write(lane, 1, 96), 0);
        memcpy(lane_data(lane), &cases[i].header, sizeof(cases[i].header));
        reader_open(&reader, lane, CAPACITY);
        assert_int_equal(lane_reader_resume(&reader, 0, 0), 0);
        assert_int_equal(lane_reader_look(&reader), 0);
        assert_int_equal(lane_reader_next(&reader, &copy, &record), LANE_READER_E_BAD);
        assert_fault(&reader, cases[i].fault);
        assert_int_equal(reader.number, 0);
    }
}

static void test_condemned_record_does_not_count(void **state)
{
    struct lane *CLEANUP(freep) lane = lane_fixture_new(CAPACITY);
    struct lane_reader reader;
    (void)state;

    reader_open(&reader, lane, CAPACITY);
    assert_int_equal(lane_fixture_write(lane, 1, 96), 0);
    assert_int_equal(lane_fixture_write(lane, 2, 96), 0);
    assert_int_equal(lane_reader_look(&reader), 0);
    (void)reader_take(&reader);
    (void)reader_take(&reader);
    lane_reader_condemn(&reader);
    assert_fault(&reader, LANE_FAULT_RECORD);
    assert_int_equal(reader.number, 1);
    assert_int_equal(reader.position, 96);
    assert_string_equal(lane_fault_token(reader.fault), "record");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lane_carries_records_in_order),
        cmocka_unit_test(test_record_that_ends_at_the_end_of_the_ring),
        cmocka_unit_test(test_pad_fills_the_rest),
        cmocka_unit_test(test_reading_frees_nothing_before_the_commit),
        cmocka_unit_test(test_abandoned_record_leaves_no_trace),
        cmocka_unit_test(test_lane_is_a_queue),
        cmocka_unit_test(test_reader_resumes_where_a_checkpoint_stands),
        cmocka_unit_test(test_reader_without_a_checkpoint_finds_its_number),
        cmocka_unit_test(test_number_over_32_bits),
        cmocka_unit_test(test_open_refuses_what_is_no_lane),
        cmocka_unit_test(test_head_that_jumps),
        cmocka_unit_test(test_record_with_impossible_header),
        cmocka_unit_test(test_condemned_record_does_not_count),
    };

    return cmocka_run_group_tests_name("lane", tests, NULL, NULL);
}
