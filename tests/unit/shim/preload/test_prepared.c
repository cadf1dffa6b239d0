/* The names that a connection prepared: bounded, by last use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/preload/prepared.h"

static struct prepared_text *put(struct prepared *prepared, const char *name)
{
    struct prepared_text *text = prepared_text_new(view_from("SELECT 1"), 0);

    prepared_put(prepared, view_from(name), text);
    prepared_text_unref(text); /* the table's now */
    return prepared_find(prepared, view_from(name));
}

static void test_put_find_remove(void **state)
{
    struct prepared prepared = {0};
    struct prepared_text *first, *second;

    (void)state;
    assert_null(prepared_find(&prepared, view_from("a")));
    prepared_remove(&prepared, view_from("a"));
    first = put(&prepared, "a");
    assert_non_null(first);
    assert_int_equal(first->references, 1);
    second = put(&prepared, "a");
    assert_ptr_equal(prepared_find(&prepared, view_from("a")), second);
    assert_int_equal(prepared.count, 1);
    prepared_put(&prepared, view_from("a"), second);
    assert_int_equal(second->references, 1);
    assert_non_null(put(&prepared, ""));
    prepared_remove(&prepared, view_from("a"));
    assert_null(prepared_find(&prepared, view_from("a")));
    assert_non_null(prepared_find(&prepared, view_from("")));
    prepared_deinit(&prepared);
    assert_int_equal(prepared.count, 0);
    assert_null(prepared_find(&prepared, view_from("")));
}

/* A request that is under way holds its text. */
static void test_a_reference_outlives_its_name(void **state)
{
    struct prepared prepared = {0};
    struct prepared_text *text = prepared_text_ref(put(&prepared, "a"));

    (void)state;
    prepared_clear(&prepared);
    assert_int_equal(text->references, 1);
    assert_int_equal(text->verb, VERB_OTHER);
    prepared_text_unref(text);
    prepared_deinit(&prepared);
}

static void test_the_one_used_longest_ago_goes(void **state)
{
    struct prepared prepared = {0};
    char name[16];

    (void)state;
    for (int i = 0; i < PREPARED_NAMES_MAX; i++) {
        (void)snprintf(name, sizeof(name), "name %d", i);
        (void)put(&prepared, name);
    }
    assert_non_null(prepared_find(&prepared, view_from("name 0")));
    (void)put(&prepared, "one more");
    assert_int_equal(prepared.count, PREPARED_NAMES_MAX);
    assert_non_null(prepared_find(&prepared, view_from("name 0")));
    assert_null(prepared_find(&prepared, view_from("name 1")));
    assert_non_null(prepared_find(&prepared, view_from("name 2")));
    prepared_deinit(&prepared);
}

static void test_names_are_as_long_as_postgresql_keeps_them(void **state)
{
    struct prepared prepared = {0};
    char name[101];

    (void)state;
    memset(name, 'n', 100);
    name[100] = '\0';
    assert_non_null(put(&prepared, name));
    name[63] = '\0';
    assert_non_null(prepared_find(&prepared, view_from(name)));
    prepared_deinit(&prepared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_find_remove),
        cmocka_unit_test(test_a_reference_outlives_its_name),
        cmocka_unit_test(test_the_one_used_longest_ago_goes),
        cmocka_unit_test(test_names_are_as_long_as_postgresql_keeps_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
