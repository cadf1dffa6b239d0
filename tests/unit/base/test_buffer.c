#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/cleanup.h"

static void grows_and_keeps_content(void **state)
{
    (void)state;
    struct buffer CLEANUP(buffer_deinit) buffer;
    buffer_init(&buffer, 1 << 20);
    for (int i = 0; i < 1000; i++)
        buffer_format(&buffer, "%03d,", i);
    assert_false(buffer.failed);
    assert_int_equal(buffer.length, 4000);
    assert_memory_equal(buffer.bytes + 3996, "999,", 4);
}

static void refuses_beyond_its_maximum(void **state)
{
    (void)state;
    struct buffer CLEANUP(buffer_deinit) buffer;
    buffer_init(&buffer, 8);
    buffer_append_text(&buffer, "12345678");
    assert_false(buffer.failed);
    buffer_append_char(&buffer, '9');
    assert_true(buffer.failed);
    assert_int_equal(buffer.length, 8);
    assert_null(buffer_take(&buffer, NULL));
}

static void hands_out_its_bytes(void **state)
{
    (void)state;
    struct buffer CLEANUP(buffer_deinit) buffer;
    buffer_init(&buffer, 64);
    buffer_append_text(&buffer, "weir");
    size_t length;
    char *CLEANUP(freep) bytes = buffer_take(&buffer, &length);
    assert_string_equal(bytes, "weir");
    assert_int_equal(length, 4);
    assert_int_equal(buffer.length, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_and_keeps_content),
        cmocka_unit_test(refuses_beyond_its_maximum),
        cmocka_unit_test(hands_out_its_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
