/* Names: bounds, the order of leaving, ids that do not fit, and texts made UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "agent/model/names.h"
#include "agent/model/utf8.h"

static struct names *names_of(uint32_t entries_max, uint64_t bytes_max)
{
    struct names *names = NULL;

    assert_int_equal(names_new(&(struct names_opts){entries_max, bytes_max}, &names), 0);
    return names;
}

/* Statements: any id fits. */
static void add(struct names *names, uint64_t id, const char *text)
{
    assert_int_equal(names_add(names, NAME_STATEMENT, id, 0, view_from(text)), 0);
}

static bool is_there(struct names *names, uint64_t id, const char *text)
{
    struct view found = names_find(names, NAME_STATEMENT, id);

    return found.bytes && view_equal(found, view_from(text));
}

static void texts_are_found_by_kind_and_id(void **state)
{
    struct names *CLEANUP(names_freep) names = names_of(10, 1000);
    struct view site = VIEW_LITERAL("shop/cart.c:12");
    uint64_t id = XXH3_64bits(site.bytes, site.length);
    (void)state;

    add(names, id, "SELECT $1");
    assert_int_equal(names_add(names, NAME_CALL_SITE, id, 0, site), 0);
    assert_true(is_there(names, id, "SELECT $1"));
    assert_true(view_equal(names_find(names, NAME_CALL_SITE, id), site));
    assert_null(names_find(names, NAME_TENANT, id).bytes);
    assert_null(names_find(names, NAME_STATEMENT, id + 1).bytes);
    assert_null(names_find(names, NAME_STATEMENT, 0).bytes);
    assert_int_equal(names_stats(names).entries, 2);
    assert_int_equal(names_stats(names).bytes, 9 + site.length);
}

static void the_first_text_stays(void **state)
{
    struct names *CLEANUP(names_freep) names = names_of(10, 1000);
    (void)state;

    add(names, 1, "SELECT $1");
    add(names, 1, "SELECT  $1");
    assert_true(is_there(names, 1, "SELECT $1"));
    assert_int_equal(names_stats(names).entries, 1);
    assert_int_equal(names_stats(names).bytes, 9);
}

static void the_one_unused_longest_leaves(void **state)
{
    struct names *CLEANUP(names_freep) names = names_of(3, 1000);
    (void)state;

    add(names, 1, "a");
    add(names, 2, "b");
    add(names, 3, "c");
    assert_true(is_there(names, 1, "a")); /* used */
    add(names, 2, "b");                   /* announced again: used */
    add(names, 4, "d");
    assert_null(names_find(names, NAME_STATEMENT, 3).bytes);
    add(names, 5, "e");
    assert_null(names_find(names, NAME_STATEMENT, 1).bytes);
    assert_true(is_there(names, 2, "b"));
    assert_true(is_there(names, 4, "d"));
    assert_true(is_there(names, 5, "e"));
    assert_int_equal(names_stats(names).evicted, 2);
    assert_int_equal(names_stats(names).entries, 3);
}

static void bytes_are_bounded(void **state)
{
    struct names *CLEANUP(names_freep) names = names_of(1000, 100);
    char text[101];
    (void)state;

    memset(text, 'x', sizeof(text));
    for (uint64_t id = 1; id <= 10; id++)
        assert_int_equal(names_add(names, NAME_STATEMENT, id, 0, (struct view){text, 10}), 0);
    assert_int_equal(names_stats(names).evicted, 0);
    assert_int_equal(names_add(names, NAME_STATEMENT, 11, 0, (struct view){text, 35}), 0);
    assert_int_equal(names_stats(names).evicted, 4);
    assert_int_equal(names_stats(names).bytes, 95);
    assert_int_equal(names_add(names, NAME_STATEMENT, 12, 0, (struct view){text, 100}), 0);
    assert_int_equal(names_stats(names).entries, 1);
    /* What can never fit sends nobody away. */
    assert_int_equal(names_add(names, NAME_STATEMENT, 13, 0, (struct view){text, 101}),
                     NAMES_E_REFUSED);
    assert_int_equal(names_stats(names).entries, 1);
    assert_int_equal(names_stats(names).bytes, 100);
}

static void ids_must_fit_their_text(void **state)
{
    struct names *CLEANUP(names_freep) names = names_of(10, 1 << 20);
    char *CLEANUP(freep) text = calloc(1, NAME_TEXT_MAX + 1);
    struct view tenant = VIEW_LITERAL("acme");
    (void)state;

    assert_int_equal(names_add(names, NAME_TENANT, 1, 0, tenant), NAMES_E_REFUSED);
    assert_int_equal(names_add(names, NAME_STATEMENT, 0, 0, tenant), NAMES_E_REFUSED);
    assert_int_equal(names_add(names, NAME_STATEMENT, 1, 0, (struct view){text, NAME_TEXT_MAX + 1}),
                     NAMES_E_REFUSED);
    assert_int_equal(names_stats(names).refused, 3);
    assert_int_equal(names_stats(names).entries, 0);
    assert_int_equal(names_add(names, NAME_STATEMENT, 1, 0, (struct view){text, NAME_TEXT_MAX}), 0);
    assert_int_equal(names_add(names, NAME_STATEMENT, 2, 0, (struct view){NULL, 0}), 0);
    assert_int_equal(
        names_add(names, NAME_TENANT, XXH3_64bits(tenant.bytes, tenant.length), 0, tenant), 0);
}

/* @length: texts with NULs. */
static void expect_repaired(const char *text, size_t length, const char *expected)
{
    char *CLEANUP(freep) exact = malloc(length); /* so that asan sees a look beyond the end */

    memcpy(exact, text, length);
    utf8_repair(exact, length);
    assert_int_equal(length, strlen(expected));
    assert_memory_equal(exact, expected, length);
    assert_true(utf8_is_valid((struct view){exact, length}));
    assert_int_equal(utf8_is_valid((struct view){text, length}),
                     memcmp(text, expected, length) == 0);
}

static void texts_become_utf8(void **state)
{
    struct names *CLEANUP(names_freep) names = names_of(10, 1000);
    (void)state;

    expect_repaired("abc", 3, "abc");
    expect_repaired("a\0c", 3, "a?c");
    expect_repaired("\x7f\x80\xbf", 3, "\x7f??");
    expect_repaired("\xc2\x80\xdf\xbf", 4, "\xc2\x80\xdf\xbf");
    expect_repaired("\xc0\xaf\xc1\xbf", 4, "????");     /* overlong */
    expect_repaired("\xe0\x9f\xbf", 3, "???");          /* overlong */
    expect_repaired("\xe0\xa0\x80", 3, "\xe0\xa0\x80"); /* U+0800 */
    expect_repaired("\xed\x9f\xbf", 3, "\xed\x9f\xbf"); /* U+D7FF */
    expect_repaired("\xed\xa0\x80", 3, "???");          /* a surrogate */
    expect_repaired("\xee\x80\x80", 3, "\xee\x80\x80"); /* U+E000 */
    expect_repaired("\xf0\x8f\xbf\xbf", 4, "????");     /* overlong */
    expect_repaired("\xf0\x90\x80\x80", 4, "\xf0\x90\x80\x80");
    expect_repaired("\xf1\x80\x80\x80", 4, "\xf1\x80\x80\x80");
    expect_repaired("\xf4\x8f\xbf\xbf", 4, "\xf4\x8f\xbf\xbf");
    expect_repaired("\xf4\x90\x80\x80", 4, "????"); /* beyond U+10FFFF */
    expect_repaired("\xf5\x80\x80\x80\xff", 5, "?????");
    expect_repaired("\xe2\x82", 2, "??"); /* cut */
    expect_repaired("\xf0\x9f\x90", 3, "???");
    expect_repaired("\xc3", 1, "?");
    expect_repaired("\xe2\x82x\xc3\xa9", 5, "??x\xc3\xa9"); /* broken off, then well again */

    add(names, 1, "SELECT '\xff'");
    assert_true(is_there(names, 1, "SELECT '?'"));
}

/* Ids that fall into one bucket, by many adds, finds and leavings, against a plain array. */
static void a_long_run_agrees_with_a_model(void **state)
{
    enum { IDS = 64, ROOM = 16 };
    struct names *CLEANUP(names_freep) names = names_of(ROOM, 1000);
    uint64_t used[IDS] = {0}, now = 0;
    uint32_t count = 0;
    unsigned seed = 1;
    (void)state;

    for (int i = 0; i < 20000; i++) {
        unsigned which = (unsigned)rand_r(&seed) % IDS;
        uint64_t id = 1 + (uint64_t)which * 4096;
        if (rand_r(&seed) % 2) {
            assert_int_equal(names_find(names, NAME_STATEMENT, id).bytes != NULL, used[which] > 0);
            used[which] = used[which] ? ++now : 0;
            continue;
        }
        add(names, id, "text");
        if (!used[which] && count == ROOM) {
            unsigned oldest = IDS;
            for (unsigned k = 0; k < IDS; k++) {
                if (used[k] && (oldest == IDS || used[k] < used[oldest]))
                    oldest = k;
            }
            used[oldest] = 0;
        } else if (!used[which]) {
            count++;
        }
        used[which] = ++now;
        assert_int_equal(names_stats(names).entries, count);
        assert_int_equal(names_stats(names).bytes, 4 * count);
    }
    assert_true(names_stats(names).evicted > 1000);
}

static void expect_target(const char *text, const char *pool, const char *namespace,
                          const char *address, const char *port)
{
    struct target target = target_parse(view_from(text));

    assert_true(view_equal(target.pool, view_from(pool)));
    assert_true(view_equal(target.namespace, view_from(namespace)));
    assert_true(view_equal(target.address, view_from(address)));
    assert_true(view_equal(target.port, view_from(port)));
}

static void targets_have_four_lines(void **state)
{
    (void)state;
    expect_target("main\nshop\ndb.example\n5433", "main", "shop", "db.example", "5433");
    expect_target("\nshop\n\n", "", "shop", "", "");
    expect_target("main", "main", "", "", "");
    expect_target("a\nb\nc\nd\ne\n", "a", "b", "c", "d");
    expect_target("", "", "", "", "");
    expect_target(NULL, "", "", "", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_found_by_kind_and_id), cmocka_unit_test(the_first_text_stays),
        cmocka_unit_test(the_one_unused_longest_leaves),  cmocka_unit_test(bytes_are_bounded),
        cmocka_unit_test(ids_must_fit_their_text),        cmocka_unit_test(texts_become_utf8),
        cmocka_unit_test(a_long_run_agrees_with_a_model), cmocka_unit_test(targets_have_four_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
