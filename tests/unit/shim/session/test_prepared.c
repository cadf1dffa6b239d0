/* The cache of prepared statements: bounded, ordered by use, names made once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shim/session/changes.h"
#include "shim/session/prepared.h"

static int texts;

static struct weir_probe_text *text_new(const char *text, size_t length, uint32_t flags)
{
    (void)text;
    (void)length;
    (void)flags;
    texts++;
    return malloc(1);
}

static void text_free(struct weir_probe_text *text)
{
    texts--;
    free(text);
}

static const struct probe_table probe = {.text_new = text_new, .text_free = text_free};
static const struct weir_statement_opts none = {.size = sizeof(none)};

static struct prepared_entry *find(struct prepared_cache *cache, const char *sql)
{
    return prepared_find(cache, view_from(sql), text_hash(view_from(sql)), &none);
}

static struct prepared_entry *add(struct prepared_cache *cache, const char *sql, uint32_t max)
{
    return prepared_add(cache, view_from(sql), text_hash(view_from(sql)), &none, max, false);
}

static void test_least_recently_used_goes(void **state)
{
    struct prepared_cache *cache = prepared_new(&probe);
    struct prepared_entry *doomed;

    (void)state;
    assert_null(find(cache, "a"));
    (void)add(cache, "a", 3);
    (void)add(cache, "b", 3);
    (void)add(cache, "c", 3);
    assert_non_null(find(cache, "a")); /* now b is the oldest */
    assert_false(prepared_has_doomed(cache));
    (void)add(cache, "d", 3);
    assert_int_equal(prepared_count(cache), 3);
    assert_null(find(cache, "b"));
    assert_non_null(find(cache, "a"));
    assert_true(prepared_has_doomed(cache));
    doomed = prepared_take_doomed(cache);
    assert_string_equal(doomed->sql.bytes, "b");
    prepared_closed(cache, doomed, true);
    doomed = prepared_take_doomed(cache);
    assert_string_equal(doomed->sql.bytes, "b");
    prepared_closed(cache, doomed, false);
    assert_null(prepared_take_doomed(cache));
    /* A smaller maximum takes effect at once. */
    (void)add(cache, "e", 1);
    assert_int_equal(prepared_count(cache), 1);
    assert_null(prepared_free(cache));
    assert_int_equal(texts, 0);
}

static void test_types_are_part_of_the_key(void **state)
{
    struct prepared_cache *cache = prepared_new(&probe);
    const Oid int4[] = {23}, int8[] = {20};
    struct weir_statement_opts with4 = {.size = sizeof(with4), .count = 1, .types = int4};
    struct weir_statement_opts with8 = {.size = sizeof(with8), .count = 1, .types = int8};
    struct weir_statement_opts without = {.size = sizeof(without), .count = 1};
    struct view sql = VIEW_LITERAL("SELECT $1");
    uint64_t hash = text_hash(sql);
    struct prepared_entry *entry = prepared_add(cache, sql, hash, &with4, 10, false);

    (void)state;
    assert_ptr_equal(prepared_find(cache, sql, hash, &with4), entry);
    assert_null(prepared_find(cache, sql, hash, &with8));
    assert_null(prepared_find(cache, sql, hash, &without));
    assert_int_equal(entry->types[0], 23);
    assert_string_equal(entry->sql.bytes, "SELECT $1");
    (void)prepared_free(cache);
}

static void test_names_are_made_once(void **state)
{
    struct prepared_cache *one = prepared_new(&probe), *other = prepared_new(&probe);
    struct prepared_entry *first = add(one, "a", 10), *second;
    char name[PREPARED_NAME_MAX];

    (void)state;
    assert_int_equal(strncmp(first->name, "weir_1_", 7), 0);
    memcpy(name, first->name, sizeof(name));
    assert_string_not_equal(name, add(other, "a", 10)->name);
    prepared_forget(one);
    second = add(one, "a", 10);
    assert_string_not_equal(name, second->name);
    (void)prepared_free(one);
    (void)prepared_free(other);
    assert_int_equal(texts, 0);
}

/* What runs holds its entry while the cache forgets it. */
static void test_entries_outlive_the_cache_of_them(void **state)
{
    struct prepared_cache *cache = prepared_new(&probe);
    struct prepared_entry *entry = prepared_ref(add(cache, "a", 10));

    (void)state;
    prepared_forget(cache);
    assert_int_equal(prepared_count(cache), 0);
    assert_string_equal(entry->sql.bytes, "a");
    prepared_drop(cache, entry); /* out already */
    prepared_doom(cache, entry);
    assert_false(prepared_has_doomed(cache));
    prepared_unref(entry);
    prepared_set_useless(cache);
    assert_true(prepared_is_useless(cache));
    (void)prepared_free(cache);
    assert_int_equal(texts, 0);
    prepared_forget(NULL);
    prepared_unref(NULL);
    assert_null(prepared_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_least_recently_used_goes),
        cmocka_unit_test(test_types_are_part_of_the_key),
        cmocka_unit_test(test_names_are_made_once),
        cmocka_unit_test(test_entries_outlive_the_cache_of_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
