/* Rows of a checkpoint: there and back, failures that stick, reading past the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "agent/model/rows.h"
#include "base/cleanup.h"

static void put(struct rows *rows, enum row_table table, const char *key, const char *value)
{
    rows_put(rows, table, view_from(key), view_from(value));
}

static void expect(const struct rows *rows, size_t *offset, enum row_table table, const char *key,
                   const char *value)
{
    struct row row;

    assert_true(rows_next(rows, offset, &row));
    assert_int_equal(row.table, table);
    assert_true(view_equal(row.key, view_from(key)));
    assert_true(view_equal(row.value, view_from(value)));
}

static void rows_come_back_in_order(void **state)
{
    struct rows CLEANUP(rows_deinit) rows;
    char key[ROW_KEY_MAX + 1] = {0}, *CLEANUP(freep) big = malloc(100000);
    size_t offset = 0;
    struct row row;
    (void)state;

    memset(key, 'k', ROW_KEY_MAX);
    memset(big, '\xff', 100000);
    rows_init(&rows, 1 << 20);
    assert_false(rows_next(&rows, &offset, &row));
    put(&rows, ROWS_SERIES, "a", "one");
    put(&rows, ROWS_SPANS, key, "");
    put(&rows, ROWS_LEDGER, "", "x");
    rows_put(&rows, ROWS_POOLS, VIEW_LITERAL("b\0c"), (struct view){big, 100000});
    assert_false(rows.bytes.failed);
    assert_int_equal(rows.count, 4);
    expect(&rows, &offset, ROWS_SERIES, "a", "one");
    expect(&rows, &offset, ROWS_SPANS, key, "");
    expect(&rows, &offset, ROWS_LEDGER, "", "x");
    assert_true(rows_next(&rows, &offset, &row));
    assert_true(view_equal(row.key, VIEW_LITERAL("b\0c")));
    assert_true(view_equal(row.value, (struct view){big, 100000}));
    assert_false(rows_next(&rows, &offset, &row));
}

static void what_does_not_fit_fails_for_good(void **state)
{
    struct rows CLEANUP(rows_deinit) rows;
    size_t offset = 0;
    struct row row;
    (void)state;

    rows_init(&rows, 30);
    put(&rows, ROWS_SERIES, "key", "value"); /* 6 + 3 + 5 */
    put(&rows, ROWS_SERIES, "other", "valuevalue");
    assert_true(rows.bytes.failed);
    put(&rows, ROWS_SERIES, "k", "v"); /* would fit, but something is missing already */
    assert_true(rows.bytes.failed);
    /* Those before are whole, and nothing torn follows. */
    assert_int_equal(rows.count, 1);
    expect(&rows, &offset, ROWS_SERIES, "key", "value");
    assert_false(rows_next(&rows, &offset, &row));
}

static void keys_have_a_limit(void **state)
{
    struct rows CLEANUP(rows_deinit) rows;
    char key[ROW_KEY_MAX + 1] = {0};
    (void)state;

    rows_init(&rows, 1000);
    rows_put(&rows, ROWS_SERIES, (struct view){key, ROW_KEY_MAX}, VIEW_LITERAL("v"));
    assert_false(rows.bytes.failed);
    rows_put(&rows, ROWS_SERIES, (struct view){key, ROW_KEY_MAX + 1}, VIEW_LITERAL("v"));
    assert_true(rows.bytes.failed);
    assert_int_equal(rows.count, 1);
}

static void rows_move_with_their_failure(void **state)
{
    struct rows CLEANUP(rows_deinit) to, CLEANUP(rows_deinit) from;
    size_t offset = 0;
    struct row row;
    (void)state;

    rows_init(&to, 1000);
    rows_init(&from, 20);
    put(&to, ROWS_SERIES, "a", "1");
    rows_move(&to, &from); /* nothing */
    put(&from, ROWS_POOLS, "b", "2");
    rows_move(&to, &from);
    assert_int_equal(from.count, 0);
    assert_int_equal(from.bytes.length, 0);
    put(&from, ROWS_POOLS, "c", "3"); /* usable again */
    rows_move(&to, &from);
    assert_int_equal(to.count, 3);
    expect(&to, &offset, ROWS_SERIES, "a", "1");
    expect(&to, &offset, ROWS_POOLS, "b", "2");
    expect(&to, &offset, ROWS_POOLS, "c", "3");
    assert_false(rows_next(&to, &offset, &row));
    put(&from, ROWS_POOLS, "d", "far too long a value");
    assert_true(from.bytes.failed);
    rows_move(&to, &from);
    assert_true(to.bytes.failed);
    assert_false(from.bytes.failed);
}

static void values_come_back(void **state)
{
    static const double numbers[] = {0, -0.0, 1.5, DBL_MIN / 2, DBL_MAX, -1e-300};
    struct buffer CLEANUP(buffer_deinit) value;
    (void)state;

    buffer_init(&value, 1000);
    row_write_u8(&value, 0xfe);
    row_write_u32(&value, 0xfedcba98);
    row_write_u64(&value, UINT64_MAX - 1);
    for (size_t i = 0; i < 6; i++)
        row_write_double(&value, numbers[i]);
    row_write_view(&value, VIEW_LITERAL("text"));
    row_write_view(&value, (struct view){NULL, 0});
    /* The fields are little-endian, one after the other. */
    assert_memory_equal(value.bytes, "\xfe\x98\xba\xdc\xfe\xfe\xff", 7);
    struct row_reader reader = {.bytes = {value.bytes, value.length}};
    assert_int_equal(row_read_u8(&reader), 0xfe);
    assert_int_equal(row_read_u32(&reader), 0xfedcba98);
    assert_true(row_read_u64(&reader) == UINT64_MAX - 1);
    for (size_t i = 0; i < 6; i++) {
        double back = row_read_double(&reader);
        assert_memory_equal(&back, &numbers[i], sizeof(back));
    }
    assert_true(view_equal(row_read_view(&reader), VIEW_LITERAL("text")));
    assert_int_equal(row_read_view(&reader).length, 0);
    assert_false(reader.failed);
    assert_int_equal(reader.offset, value.length);
}

/* Every cut of a value fails at the first field that is missing, and gives zeros from there on. */
static void reading_past_the_end_sticks(void **state)
{
    struct buffer CLEANUP(buffer_deinit) value;
    (void)state;

    buffer_init(&value, 1000);
    row_write_u8(&value, 1);
    row_write_u64(&value, 2);
    row_write_view(&value, VIEW_LITERAL("abc"));
    row_write_u32(&value, 4);
    for (size_t length = 0; length < value.length; length++) {
        char *CLEANUP(freep) cut = malloc(length ? length : 1); /* asan sees a look beyond */
        memcpy(cut, value.bytes, length);
        struct row_reader reader = {.bytes = {cut, length}};
        assert_int_equal(row_read_u8(&reader), length >= 1 ? 1 : 0);
        assert_int_equal(row_read_u64(&reader), length >= 9 ? 2 : 0);
        assert_int_equal(row_read_view(&reader).length, length >= 16 ? 3 : 0);
        assert_int_equal(row_read_u32(&reader), 0);
        assert_true(reader.failed);
        assert_int_equal(row_read_u8(&reader), 0);
        assert_true(row_read_double(&reader) == 0);
        assert_true(reader.failed);
    }
    /* A length beyond everything does not wrap. */
    struct row_reader reader = {.bytes = VIEW_LITERAL("\xff\xff\xff\xff"
                                                      "abc")};
    assert_null(row_read_view(&reader).bytes);
    assert_true(reader.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_back_in_order),
        cmocka_unit_test(what_does_not_fit_fails_for_good),
        cmocka_unit_test(keys_have_a_limit),
        cmocka_unit_test(rows_move_with_their_failure),
        cmocka_unit_test(values_come_back),
        cmocka_unit_test(reading_past_the_end_sticks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
