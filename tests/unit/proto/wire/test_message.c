/* The agent's answers and frames, there and back and broken. */
#include "tests/unit/proto/wire/segment_fixture.h"

#include "base/cleanup.h"
#include "proto/wire/frame_reader.h"
#include "proto/wire/message_codec.h"

static const struct message_version version = {1, 0};

/* Decodes from memory exactly as long as the message. */
static int decode(const char *bytes, size_t length, struct answer *ret)
{
    char *CLEANUP(freep) exact = malloc(length + (length == 0));

    assert_non_null(exact);
    memcpy(exact, bytes, length);
    return answer_decode((struct view){exact, length}, ret);
}

static void test_answers(void **state)
{
    char bytes[ANSWER_SIZE_MAX];
    struct answer answer;
    size_t size;
    (void)state;

    size = welcome_encode(bytes, sizeof(bytes), version, WELCOME_ANNOUNCE, 77);
    assert_int_equal(size, 36);
    assert_int_equal(answer_decode((struct view){bytes + 4, size - 4}, &answer), 0);
    assert_int_equal(answer.kind, MESSAGE_WELCOME);
    assert_int_equal(answer.flags, WELCOME_ANNOUNCE);
    assert_int_equal(answer.acknowledged, 77);
    assert_int_equal(answer.version.major, 1);
    for (size_t length = 0; length < size - 4; length++)
        assert_int_equal(decode(bytes + 4, length, &answer), REFUSAL_MALFORMED);

    size = ack_encode(bytes, sizeof(bytes), version, UINT64_MAX);
    assert_int_equal(answer_decode((struct view){bytes + 4, size - 4}, &answer), 0);
    assert_int_equal(answer.kind, MESSAGE_ACK);
    assert_true(answer.acknowledged == UINT64_MAX);
    for (size_t length = 0; length < size - 4; length++)
        assert_int_equal(decode(bytes + 4, length, &answer), REFUSAL_MALFORMED);

    size = refused_encode(bytes, sizeof(bytes), REFUSAL_SEALS, view_from("seal it"));
    assert_int_equal(answer_decode((struct view){bytes + 4, size - 4}, &answer), 0);
    assert_int_equal(answer.kind, MESSAGE_REFUSED);
    assert_int_equal(answer.reason, REFUSAL_SEALS);
    assert_true(view_equal(answer.text, view_from("seal it")));
    for (size_t length = 0; length < size - 4; length++)
        assert_int_equal(decode(bytes + 4, length, &answer), REFUSAL_MALFORMED);
}

static void test_answers_stay_in_their_buffer(void **state)
{
    char text[2 * REFUSED_TEXT_MAX];
    char bytes[ANSWER_SIZE_MAX];
    struct answer answer;
    (void)state;

    memset(text, 'x', sizeof(text));
    assert_int_equal(
        refused_encode(bytes, sizeof(bytes), REFUSAL_MALFORMED, (struct view){text, sizeof(text)}),
        ANSWER_SIZE_MAX);
    assert_int_equal(answer_decode((struct view){bytes + 4, ANSWER_SIZE_MAX - 4}, &answer), 0);
    assert_int_equal(answer.text.length, REFUSED_TEXT_MAX);
    assert_int_equal(welcome_encode(bytes, 35, version, 0, 0), 0);
    assert_int_equal(ack_encode(bytes, 27, version, 0), 0);
    assert_int_equal(refused_encode(bytes, 30, REFUSAL_SEALS, view_from("abc")), 0);
}

static void test_what_no_agent_says(void **state)
{
    char bytes[ANSWER_SIZE_MAX];
    struct answer answer;
    size_t size = welcome_encode(bytes, sizeof(bytes), version, 0, 0);
    (void)state;

    bytes[4 + offsetof(struct message_header, kind)] = MESSAGE_HELLO;
    assert_int_equal(answer_decode((struct view){bytes + 4, size - 4}, &answer),
                     REFUSAL_UNEXPECTED);
    bytes[4] = 'X';
    assert_int_equal(answer_decode((struct view){bytes + 4, size - 4}, &answer), REFUSAL_MALFORMED);
}

static void test_every_refusal_has_a_token(void **state)
{
    (void)state;
    for (uint32_t reason = 1; reason < REFUSAL_END; reason++) {
        assert_string_not_equal(refusal_token(reason), "unknown");
        for (uint32_t other = 1; other < reason; other++)
            assert_string_not_equal(refusal_token(reason), refusal_token(other));
    }
    assert_string_equal(refusal_token(0), "unknown");
    assert_string_equal(refusal_token(REFUSAL_END), "unknown");
    assert_string_equal(refusal_token(UINT32_MAX), "unknown");
}

static void test_lengths(void **state)
{
    (void)state;
    assert_int_equal(message_length_check(0), REFUSAL_MALFORMED);
    assert_int_equal(message_length_check(15), REFUSAL_MALFORMED);
    assert_int_equal(message_length_check(16), 0);
    assert_int_equal(message_length_check(MESSAGE_LENGTH_MAX), 0);
    assert_int_equal(message_length_check(MESSAGE_LENGTH_MAX + 1), REFUSAL_TOO_LONG);
    assert_int_equal(message_length_check(UINT32_MAX), REFUSAL_TOO_LONG);
}

/* A frame of three records of 96, 128 and 160 bytes; returns its size. */
static size_t frame_make(char *bytes, size_t size)
{
    struct frame_writer writer;

    assert_true(frame_begin(&writer, bytes, size, 5));
    for (unsigned i = 0; i < 3; i++) {
        struct {
            alignas(RECORD_ALIGN) char bytes[160];
        } record = {0};
        struct record_header header = {.kind = RECORD_STATEMENT,
                                       .length = (uint16_t)(96 + 32 * i),
                                       .number = i,
                                       .time_ns = 1000 + i};
        memcpy(record.bytes, &header, sizeof(header));
        assert_true(
            frame_append(&writer, (const struct record_header *)(const void *)record.bytes));
    }
    return frame_end(&writer);
}

static int frame_decode(const char *bytes, size_t length)
{
    static struct lane_record_copy copy;
    char *CLEANUP(freep) exact = malloc(length + (length == 0));
    const struct record_header *record;
    struct frame_reader reader;
    uint32_t count = 0;
    int r;

    assert_non_null(exact);
    memcpy(exact, bytes, length);
    r = frame_open(&reader, (struct view){exact, length});
    if (r != 0)
        return r;
    while (frame_next(&reader, &copy, &record)) {
        assert_int_equal(record->number, count);
        assert_int_equal(record->time_ns, 1000 + count);
        count++;
    }
    assert_int_equal(count, reader.record_count);
    return 0;
}

static void test_frames(void **state)
{
    char bytes[1024];
    size_t size = frame_make(bytes, sizeof(bytes));
    (void)state;

    assert_int_equal(size, 4 + 32 + 96 + 128 + 160);
    assert_int_equal(frame_decode(bytes + 4, size - 4), 0);
    for (size_t length = 0; length < size - 4; length++)
        assert_int_equal(frame_decode(bytes + 4, length), REFUSAL_MALFORMED);
    memset(bytes + size, 0, 32);
    assert_int_equal(frame_decode(bytes + 4, size - 4 + 32), REFUSAL_MALFORMED);
}

static void test_frames_that_are_wrong(void **state)
{
    static const struct {
        size_t offset;
        uint16_t value;
        int expected;
    } cases[] = {
        {offsetof(struct message_header, magic), 0, REFUSAL_MALFORMED},
        {offsetof(struct message_header, kind), MESSAGE_HELLO, REFUSAL_UNEXPECTED},
        {offsetof(struct message_frame, number), 0, REFUSAL_MALFORMED},
        {offsetof(struct message_frame, record_count), 2, REFUSAL_MALFORMED},
        {offsetof(struct message_frame, record_count), 4, REFUSAL_MALFORMED},
        {32, RECORD_PAD, REFUSAL_MALFORMED},
        {34, 0, REFUSAL_MALFORMED},
        {34, 31, REFUSAL_MALFORMED},
        {34, 97, REFUSAL_MALFORMED},
        {34, 65504, REFUSAL_MALFORMED},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char bytes[1024];
        size_t size = frame_make(bytes, sizeof(bytes));

        memcpy(bytes + 4 + cases[i].offset, &cases[i].value, 2);
        assert_int_equal(frame_decode(bytes + 4, size - 4), cases[i].expected);
    }
}

static void test_frame_writer_stays_in_its_buffer(void **state)
{
    char *CLEANUP(freep) bytes = malloc(2 * MESSAGE_LENGTH_MAX);
    struct {
        alignas(RECORD_ALIGN) char bytes[RECORD_LENGTH_MAX];
    } record = {0};
    struct record_header header = {.kind = RECORD_STATEMENT, .length = RECORD_LENGTH_MAX};
    struct frame_writer writer;
    int count = 0;
    (void)state;

    memcpy(record.bytes, &header, sizeof(header));
    assert_false(frame_begin(&writer, bytes, 35, 1));
    assert_true(frame_begin(&writer, bytes, 36 + 95, 1));
    assert_false(frame_append(&writer, (const struct record_header *)(const void *)record.bytes));
    assert_int_equal(frame_end(&writer), 36);
    /* However large the buffer, no frame is longer than the agent takes. */
    assert_true(frame_begin(&writer, bytes, 2 * MESSAGE_LENGTH_MAX, 1));
    while (frame_append(&writer, (const struct record_header *)(const void *)record.bytes))
        count++;
    assert_int_equal(count, (MESSAGE_LENGTH_MAX - 32) / RECORD_LENGTH_MAX);
    assert_int_equal(message_length_check((uint32_t)frame_end(&writer) - 4), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_answers_stay_in_their_buffer),
        cmocka_unit_test(test_what_no_agent_says),
        cmocka_unit_test(test_every_refusal_has_a_token),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_frames_that_are_wrong),
        cmocka_unit_test(test_frame_writer_stays_in_its_buffer),
    };

    return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
