#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "agent/trace/tracestate.h"

static void members(void **state)
{
    static const char *const table[][3] = {
        /* as it came, copied, without threshold */
        {"", "", ""},
        {"a=1", "a=1", "a=1"},
        {"a=1,b=2", "a=1,b=2", "a=1,b=2"},
        {" a=1 ,\t,b=2 ,", "a=1,b=2", "a=1,b=2"},
        {"ot=th:8", "ot=th:8", ""},
        {"ot=th:8;rv:0123456789abcd", "ot=th:8;rv:0123456789abcd", "ot=rv:0123456789abcd"},
        {"ot=rv:0123456789abcd;th:8;x:y,b=2", "ot=rv:0123456789abcd;th:8;x:y,b=2",
         "ot=rv:0123456789abcd;x:y,b=2"},
        {"a=1,ot=th:0,b=2", "a=1,ot=th:0,b=2", "a=1,b=2"},
        {"a=1,ot=x:y", "a=1,ot=x:y", "a=1,ot=x:y"},
        {"other=th:8", "other=th:8", "other=th:8"},
    };
    char copy[TRACESTATE_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        tracestate_copy(view_from(table[i][0]), false, copy);
        assert_string_equal(copy, table[i][1]);
        tracestate_copy(view_from(table[i][0]), true, copy);
        assert_string_equal(copy, table[i][2]);
    }
    tracestate_copy((struct view){NULL, 0}, true, copy);
    assert_string_equal(copy, "");
}

/* Half of one would be another one. */
static void too_long(void **state)
{
    char text[TRACESTATE_SIZE + 1], copy[TRACESTATE_SIZE];

    (void)state;
    memset(text, 'a', sizeof(text));
    tracestate_copy((struct view){text, TRACESTATE_SIZE}, false, copy);
    assert_string_equal(copy, "");
    tracestate_copy((struct view){text, TRACESTATE_SIZE - 1}, true, copy);
    assert_int_equal(strlen(copy), TRACESTATE_SIZE - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members),
        cmocka_unit_test(too_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
