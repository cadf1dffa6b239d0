#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include "shim/probe/trace_context.h"

#define TRACE  "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"

static bool parses(const char *text)
{
    struct trace_context parsed;

    return trace_context_parse(view_from(text), &parsed);
}

static void test_valid(void **state)
{
    static const uint8_t trace[16] = {0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd,
                                      0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c};
    static const uint8_t parent[8] = {0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31};
    struct trace_context parsed;

    (void)state;
    assert_true(trace_context_parse(view_from("00-" TRACE "-" PARENT "-01"), &parsed));
    assert_memory_equal(parsed.trace_id, trace, sizeof(trace));
    assert_memory_equal(parsed.parent_span_id, parent, sizeof(parent));
    assert_int_equal(parsed.flags, 1);
    assert_true(parses("00-" TRACE "-" PARENT "-ff"));
    assert_true(parses("01-" TRACE "-" PARENT "-01-what-will-be"));
    assert_true(parses("cc-" TRACE "-" PARENT "-01"));
}

static void test_invalid(void **state)
{
    (void)state;
    assert_false(parses(NULL));
    assert_false(parses(""));
    assert_false(parses("00-" TRACE "-" PARENT));
    assert_false(parses("00-" TRACE "-" PARENT "-0"));
    assert_false(parses("00-" TRACE "-" PARENT "-01-more"));
    assert_false(parses("01-" TRACE "-" PARENT "-01more"));
    assert_false(parses("ff-" TRACE "-" PARENT "-01"));
    assert_false(parses("00-00000000000000000000000000000000-" PARENT "-01"));
    assert_false(parses("00-" TRACE "-0000000000000000-01"));
    assert_false(parses("00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01"));
    assert_false(parses("00_" TRACE "-" PARENT "-01"));
    assert_false(parses("0g-" TRACE "-" PARENT "-01"));
    assert_false(parses("00-" TRACE "-" PARENT "-0x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid),
        cmocka_unit_test(test_invalid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
