/* Sets of attributes: order, duplicates, equality, limit, and sharing between threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/model/attributes.h"

static void keys_are_sorted_by_bytes(void **state)
{
    const struct attribute items[] = {
        attribute_int("b", 2),     attribute_string("a.b", VIEW_LITERAL("x")),
        attribute_bool("a", true), attribute_int("\xc3\xa9", 5),
        attribute_int("", 6),
    };
    static const char *const order[] = {"", "a", "a.b", "b", "\xc3\xa9"};
    const struct attributes *CLEANUP(attributes_unrefp) set = attributes_new(items, 5);
    (void)state;

    assert_int_equal(set->count, 5);
    for (size_t i = 0; i < 5; i++)
        assert_true(view_equal(set->items[i].key, view_from(order[i])));
    assert_true(attributes_find(set, VIEW_LITERAL("a"))->value.boolean);
    assert_int_equal(attributes_find(set, VIEW_LITERAL("b"))->value.integer, 2);
    assert_null(attributes_find(set, VIEW_LITERAL("a.")));
    assert_null(attributes_find(NULL, VIEW_LITERAL("a")));
}

static void of_equal_keys_the_last_wins(void **state)
{
    const struct attribute items[] = {
        attribute_int("k", 1),
        attribute_int("j", 7),
        attribute_string("k", VIEW_LITERAL("two")),
        attribute_int("k", 3),
    };
    const struct attributes *CLEANUP(attributes_unrefp) set = attributes_new(items, 4);
    (void)state;

    assert_int_equal(set->count, 2);
    assert_int_equal(attributes_find(set, VIEW_LITERAL("k"))->type, ATTRIBUTE_INT);
    assert_int_equal(attributes_find(set, VIEW_LITERAL("k"))->value.integer, 3);
}

static void nothing_is_borrowed(void **state)
{
    char key[] = "key", value[] = "value";
    const struct attribute item = attribute_string(key, view_from(value));
    const struct attributes *CLEANUP(attributes_unrefp) set = attributes_new(&item, 1);
    (void)state;

    memset(key, 'x', 3);
    memset(value, 'x', 5);
    const struct attribute *found = attributes_find(set, VIEW_LITERAL("key"));
    assert_non_null(found);
    assert_true(view_equal(found->value.string, VIEW_LITERAL("value")));
}

static void equal_sets_have_equal_hashes(void **state)
{
    struct attribute items[] = {
        attribute_int("a", 1),
        attribute_string("b", VIEW_LITERAL("")),
        attribute_bool("c", false),
        {VIEW_LITERAL("d"), ATTRIBUTE_DOUBLE, {.number = 0.5}},
    };
    const struct attribute reversed[] = {items[3], items[2], items[1], items[0]};
    const struct attributes *CLEANUP(attributes_unrefp) one = attributes_new(items, 4);
    const struct attributes *CLEANUP(attributes_unrefp) two = attributes_new(reversed, 4);
    (void)state;

    assert_int_equal(one->hash, two->hash);
    assert_true(attributes_equal(one, two));
    assert_true(attributes_equal(one, one));
    assert_false(attributes_equal(one, NULL));
    assert_false(attributes_equal(NULL, one));
}

static void different_sets_differ(void **state)
{
    const struct attribute variants[][2] = {
        {attribute_int("a", 1), attribute_int("b", 1)},
        {attribute_int("a", 2), attribute_int("b", 1)},
        {attribute_int("a", 1), attribute_bool("b", true)},
        {attribute_int("a", 1), attribute_string("b", VIEW_LITERAL("1"))},
        {attribute_int("a", 1), attribute_int("bc", 1)},
        {attribute_string("a", VIEW_LITERAL("bc")), attribute_string("d", VIEW_LITERAL(""))},
        {attribute_string("a", VIEW_LITERAL("b")), attribute_string("d", VIEW_LITERAL("c"))},
        {attribute_int("a", 1), attribute_int("a", 1)}, /* one item */
        {attribute_bool("a", true), attribute_bool("b", true)},
        {attribute_bool("a", true), attribute_bool("b", false)},
    };
    enum { COUNT = sizeof(variants) / sizeof(variants[0]) };
    const struct attributes *sets[COUNT];
    (void)state;

    for (size_t i = 0; i < COUNT; i++)
        sets[i] = attributes_new(variants[i], 2);
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t j = 0; j < COUNT; j++) {
            assert_int_equal(attributes_equal(sets[i], sets[j]), i == j);
            assert_int_equal(sets[i]->hash == sets[j]->hash, i == j);
        }
    }
    for (size_t i = 0; i < COUNT; i++)
        attributes_unref(sets[i]);
}

static void a_set_has_a_limit(void **state)
{
    enum { MANY = ATTRIBUTES_MAX + 50 };
    struct attribute items[MANY];
    char keys[MANY][8];
    (void)state;

    for (int i = 0; i < MANY; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "k%03d", MANY - i);
        items[i] = attribute_int(keys[i], i);
    }
    items[MANY - 1] = attribute_int(keys[0], 99); /* one that is in already: replaced, not cut */
    const struct attributes *CLEANUP(attributes_unrefp) set = attributes_new(items, MANY);
    assert_int_equal(set->count, ATTRIBUTES_MAX);
    assert_int_equal(attributes_find(set, view_from(keys[0]))->value.integer, 99);
    assert_non_null(attributes_find(set, view_from(keys[ATTRIBUTES_MAX - 1])));
    assert_null(attributes_find(set, view_from(keys[ATTRIBUTES_MAX])));
}

static void the_empty_set_is_a_set(void **state)
{
    const struct attributes *CLEANUP(attributes_unrefp) one = attributes_new(NULL, 0);
    const struct attributes *CLEANUP(attributes_unrefp) two = attributes_new(NULL, 0);
    (void)state;

    assert_int_equal(one->count, 0);
    assert_true(attributes_equal(one, two));
    assert_null(attributes_ref(NULL));
    assert_null(attributes_unref(NULL));
}

static void *share(void *set)
{
    for (int i = 0; i < 10000; i++) {
        const struct attributes *mine = attributes_ref(set);
        if (mine->items[0].value.integer != 42)
            abort();
        attributes_unref(mine);
    }
    attributes_unref(set);
    return NULL;
}

/* The last reference may go on any thread; asan sees a leak or a second free, tsan a race. */
static void references_go_on_any_thread(void **state)
{
    const struct attribute item = attribute_int("a", 42);
    const struct attributes *set = attributes_new(&item, 1);
    pthread_t threads[4];
    (void)state;

    for (size_t i = 0; i < 4; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, share, (void *)(uintptr_t)attributes_ref(set)), 0);
    set = attributes_unref(set);
    assert_null(set);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_sorted_by_bytes), cmocka_unit_test(of_equal_keys_the_last_wins),
        cmocka_unit_test(nothing_is_borrowed),      cmocka_unit_test(equal_sets_have_equal_hashes),
        cmocka_unit_test(different_sets_differ),    cmocka_unit_test(a_set_has_a_limit),
        cmocka_unit_test(the_empty_set_is_a_set),   cmocka_unit_test(references_go_on_any_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
