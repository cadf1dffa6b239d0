/* A hello there and back, and every way in which one can be wrong. */
#include "tests/unit/proto/wire/segment_fixture.h"

#include "base/cleanup.h"
#include "proto/wire/hello.h"
#include "proto/wire/message_codec.h"

static const struct hello_fields fields = {
    .kind = HELLO_SEGMENT,
    .pid = 4711,
    .client_id = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
    .monotonic_ns = 1000,
    .realtime_ns = 2000,
};

/* A good hello with two attributes; returns its size. */
static size_t hello_make(char *bytes, size_t size)
{
    struct hello_writer writer;

    hello_begin(&writer, bytes, size, &fields);
    assert_true(hello_attribute(&writer, view_from(HELLO_KEY_SERVICE), view_from("shop")));
    assert_true(hello_attribute(&writer, view_from(HELLO_KEY_SHIM_NAME), view_from("probe")));
    return hello_end(&writer);
}

/* Decodes from memory exactly as long as the message, so that a sanitizer sees a read past it. */
static int decode(const char *bytes, size_t length, struct hello *ret)
{
    char *CLEANUP(freep) exact = malloc(length + (length == 0));

    assert_non_null(exact);
    memcpy(exact, bytes, length);
    return hello_decode((struct view){exact, length}, ret);
}

static void test_there_and_back(void **state)
{
    char bytes[512];
    struct hello hello;
    size_t size = hello_make(bytes, sizeof(bytes));
    uint32_t length;
    (void)state;

    memcpy(&length, bytes, sizeof(length));
    assert_int_equal(length + 4, size);
    assert_int_equal(hello_decode((struct view){bytes + 4, length}, &hello), 0);
    assert_int_equal(hello.kind, HELLO_SEGMENT);
    assert_int_equal(hello.pid, 4711);
    assert_memory_equal(hello.client_id, fields.client_id, 16);
    assert_int_equal(hello.monotonic_ns, 1000);
    assert_int_equal(hello.realtime_ns, 2000);
    assert_int_equal(hello.version_major, WIRE_VERSION_MAJOR);
    assert_int_equal(hello.attribute_count, 2);
    assert_true(view_equal(hello_find(&hello, view_from(HELLO_KEY_SERVICE)), view_from("shop")));
    assert_true(view_equal(hello_find(&hello, view_from("weir.shim.name")), view_from("probe")));
    assert_int_equal(hello_find(&hello, view_from("absent")).length, 0);
}

static void test_last_of_equal_keys_counts(void **state)
{
    char bytes[512];
    struct hello_writer writer;
    struct hello hello;
    size_t size;
    (void)state;

    hello_begin(&writer, bytes, sizeof(bytes), &fields);
    assert_true(hello_attribute(&writer, view_from("a"), view_from("1")));
    assert_true(hello_attribute(&writer, view_from("a"), view_from("2")));
    assert_true(hello_attribute(&writer, view_from("b"), (struct view){0})); /* left out */
    size = hello_end(&writer);
    assert_int_equal(hello_decode((struct view){bytes + 4, size - 4}, &hello), 0);
    assert_int_equal(hello.attribute_count, 2);
    assert_true(view_equal(hello_find(&hello, view_from("a")), view_from("2")));
}

static void test_writer_stays_in_its_buffer(void **state)
{
    char long_value[HELLO_LENGTH_MAX];
    char *CLEANUP(freep) bytes = malloc(2 * HELLO_LENGTH_MAX);
    struct hello_writer writer;
    struct hello hello;
    size_t size;
    (void)state;

    memset(long_value, 'x', sizeof(long_value));
    for (size_t room = 0; room < 128; room++) {
        char *CLEANUP(freep) exact = malloc(room + 1);
        hello_begin(&writer, exact, room, &fields);
        (void)hello_attribute(&writer, view_from("key"), view_from("a value of some length"));
        assert_false(hello_attribute(&writer, view_from("key"),
                                     (struct view){long_value, sizeof(long_value)}));
        size = hello_end(&writer);
        assert_int_equal(size, room < 60 ? 0 : room < 60 + 4 + 3 + 22 ? 60 : 89);
    }
    /* Room enough, but longer than the agent takes: the long one is left out, the rest goes on. */
    hello_begin(&writer, bytes, 2 * HELLO_LENGTH_MAX, &fields);
    assert_false(hello_attribute(&writer, view_from("key"),
                                 (struct view){long_value, sizeof(long_value) - 1}));
    for (int i = 0; i < HELLO_ATTRIBUTES_MAX; i++)
        assert_true(hello_attribute(&writer, view_from("key"), view_from("value")));
    assert_false(hello_attribute(&writer, view_from("key"), view_from("value")));
    size = hello_end(&writer);
    assert_int_equal(hello_decode((struct view){bytes + 4, size - 4}, &hello), 0);
    assert_int_equal(hello.attribute_count, HELLO_ATTRIBUTES_MAX);
}

static void test_every_cut_is_refused(void **state)
{
    char bytes[512];
    struct hello hello;
    size_t size = hello_make(bytes, sizeof(bytes));
    (void)state;

    for (size_t length = 0; length < size - 4; length++)
        assert_int_equal(decode(bytes + 4, length, &hello), REFUSAL_MALFORMED);
    bytes[size] = 0;
    assert_int_equal(decode(bytes + 4, size - 3, &hello), REFUSAL_MALFORMED); /* one too many */
}

/* Puts @value at @offset of a good hello. */
static int decode_changed(size_t offset, const void *value, size_t length)
{
    char bytes[512];
    struct hello hello;
    size_t size = hello_make(bytes, sizeof(bytes));

    memcpy(bytes + 4 + offset, value, length);
    return decode(bytes + 4, size - 4, &hello);
}

static int decode_with_u16(size_t offset, uint16_t value)
{
    return decode_changed(offset, &value, sizeof(value));
}

static void test_wrong_fields(void **state)
{
    static const char zeros[16];
    (void)state;

    assert_int_equal(decode_with_u16(offsetof(struct message_header, magic), 1), REFUSAL_MALFORMED);
    assert_int_equal(decode_with_u16(offsetof(struct message_header, kind), MESSAGE_FRAME),
                     REFUSAL_UNEXPECTED);
    assert_int_equal(decode_with_u16(offsetof(struct message_hello, hello_kind), 0),
                     REFUSAL_MALFORMED);
    assert_int_equal(decode_with_u16(offsetof(struct message_hello, hello_kind), 4),
                     REFUSAL_MALFORMED);
    assert_int_equal(decode_with_u16(offsetof(struct message_hello, attribute_count), 1),
                     REFUSAL_MALFORMED);
    assert_int_equal(decode_with_u16(offsetof(struct message_hello, attribute_count), 3),
                     REFUSAL_MALFORMED);
    assert_int_equal(
        decode_with_u16(offsetof(struct message_hello, attribute_count), HELLO_ATTRIBUTES_MAX + 1),
        REFUSAL_MALFORMED);
    assert_int_equal(decode_with_u16(sizeof(struct message_hello), 0), REFUSAL_MALFORMED);
    assert_int_equal(decode_with_u16(sizeof(struct message_hello), UINT16_MAX), REFUSAL_MALFORMED);
    assert_int_equal(decode_with_u16(sizeof(struct message_hello) + 2, UINT16_MAX),
                     REFUSAL_MALFORMED);
    assert_int_equal(decode_changed(offsetof(struct message_hello, client_id), zeros, 16),
                     REFUSAL_MALFORMED);
}

static void test_versions(void **state)
{
    static const struct {
        uint16_t newest, oldest;
        int expected;
    } cases[] = {
        {1, 1, 0},
        {2, 1, 0}, /* a newer shim that still speaks ours */
        {9, 1, 0},
        {2, 2, REFUSAL_VERSION},
        {UINT16_MAX, 2, REFUSAL_VERSION},
        {0, 0, REFUSAL_VERSION},
        {1, 0, REFUSAL_VERSION},
        {1, 2, REFUSAL_VERSION},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char bytes[512];
        struct hello hello;
        size_t size = hello_make(bytes, sizeof(bytes));

        memcpy(bytes + 4 + offsetof(struct message_header, version_major), &cases[i].newest, 2);
        memcpy(bytes + 4 + offsetof(struct message_header, version_major_oldest), &cases[i].oldest,
               2);
        assert_int_equal(decode(bytes + 4, size - 4, &hello), cases[i].expected);
        assert_int_equal(hello.offered_major, cases[i].newest);
        if (cases[i].expected == 0)
            assert_int_equal(hello.version_major, 1);
    }
}

static void test_too_long(void **state)
{
    char *CLEANUP(freep) bytes = calloc(1, HELLO_LENGTH_MAX + 1);
    struct hello hello;
    (void)state;

    assert_int_equal(hello_decode((struct view){bytes, HELLO_LENGTH_MAX + 1}, &hello),
                     REFUSAL_TOO_LONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_last_of_equal_keys_counts),
        cmocka_unit_test(test_writer_stays_in_its_buffer),
        cmocka_unit_test(test_every_cut_is_refused),
        cmocka_unit_test(test_wrong_fields),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_too_long),
    };

    return cmocka_run_group_tests_name("hello", tests, NULL, NULL);
}
