/* Strings of SQL taken apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "shim/preload/script.h"

/* The parts of @sql, one a line. */
static void assert_parts(const char *sql, const char *expected)
{
    struct script script = script_of(view_from(sql), 0);
    struct statement_part part;
    char parts[512] = "";
    size_t length = 0;

    while (script_next(&script, &part))
        length += (size_t)snprintf(parts + length, sizeof(parts) - length, "%.*s\n",
                                   (int)part.sql.length, part.sql.bytes);
    assert_string_equal(parts, expected);
    assert_false(script_next(&script, &part));
}

static void test_parts(void **state)
{
    (void)state;
    assert_parts("", "");
    assert_parts(" \n;;", "");
    assert_parts("-- nothing", "");
    assert_parts("SELECT 1", "SELECT 1\n");
    assert_parts("SELECT 1; SELECT 2", "SELECT 1\nSELECT 2\n");
    assert_parts("SELECT ';' ; SELECT $$;$$;", "SELECT ';'\nSELECT $$;$$\n");
    assert_parts("SELECT ';'", "SELECT ';'\n");
    assert_parts("EXECUTE a; ", "EXECUTE a\n");
}

/* Whose request it is may stand in a comment around the only statement. */
static void test_a_single_statement_keeps_its_comments(void **state)
{
    (void)state;
    assert_parts("SELECT 1 /*traceparent='x'*/", "SELECT 1 /*traceparent='x'*/\n");
    assert_parts("SELECT 1 /*traceparent='x'*/;\n", "SELECT 1 /*traceparent='x'*/;\n\n");
}

static void test_verbs_and_names(void **state)
{
    struct script script =
        script_of(view_from("PREPARE p AS SELECT 1; EXECUTE p; COMMIT; DEALLOCATE ALL"), 0);
    struct statement_part part;

    (void)state;
    assert_true(script_next(&script, &part));
    assert_int_equal(part.verb, VERB_PREPARE);
    assert_memory_equal(part.name.bytes, "p", 1);
    assert_int_equal(part.body.length, 8);
    assert_true(script_next(&script, &part));
    assert_int_equal(part.verb, VERB_EXECUTE);
    assert_int_equal(part.name.length, 1);
    assert_true(script_has_more(&script));
    assert_true(script_next(&script, &part));
    assert_int_equal(part.verb, VERB_COMMIT);
    assert_true(script_next(&script, &part));
    assert_true(part.deallocate_all);
    assert_false(script_has_more(&script));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_a_single_statement_keeps_its_comments),
        cmocka_unit_test(test_verbs_and_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
