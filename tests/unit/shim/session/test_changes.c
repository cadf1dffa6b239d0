/* What a text may change in its session, read off the text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "shim/session/changes.h"
#include "shim/session/exchange.h"

struct expected {
    const char *sql;
    uint32_t traits;
};

static const struct expected plain[] = {
    {"", 0},
    {"  -- nothing\n", 0},
    {"SELECT 1", 0},
    {"select set_name, settings, listen_port, temp from prepare_list", 0},
    {"INSERT INTO t (a) VALUES ('SET x = 1; LISTEN c')", 0},
    {"UPDATE t SET a = 1 WHERE b = 'set_config(1)'", 0},
    {"SELECT $$ pg_advisory_lock(1) $$", 0},
    {"SELECT 1 /* SET a = 1 */", 0},
    {"SELECT pg_advisory_xact_lock(1), pg_try_advisory_xact_lock_shared(2)", 0},
    {"SELECT nextval('s')", 0},
    {"CREATE TABLE temporary_things (a int)", 0},
    {"CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = x AS 'SELECT 1'", 0},
    {"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", 0},
    {"SET CONSTRAINTS ALL DEFERRED", 0},
    {"PREPARE TRANSACTION 'x'", 0},
    {"DECLARE c CURSOR FOR SELECT 1", 0},
    {"DECLARE c CURSOR FOR SELECT hold FROM with_hold", 0},
    {"SELECT a INTO t FROM u", 0},
    {"BEGIN", 0},
    {"UNLISTEN *", TRAIT_LISTENS},
    {"DISCARD ALL", TRAIT_LISTENS},
    {"DEALLOCATE ALL", TRAIT_PREPARES},
    {"COMMIT", TRAIT_COMMITS},
    {"end work", TRAIT_COMMITS},
};

static const struct expected changing[] = {
    {"SET search_path = a", CHANGED_SETTINGS},
    {" /* x */ set local a = 1", CHANGED_SETTINGS},
    {"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", CHANGED_SETTINGS},
    {"RESET ALL", CHANGED_SETTINGS},
    {"SELECT set_config('a', 'b', false)", CHANGED_SETTINGS},
    {"SELECT pg_catalog.\"set_config\"('a', 'b', false)", CHANGED_SETTINGS},
    {"WITH x AS (SELECT SET_CONFIG('a', $1, $2)) SELECT 1", CHANGED_SETTINGS},
    {"SET ROLE r", CHANGED_ROLE},
    {"SET LOCAL ROLE r", CHANGED_ROLE},
    {"SET SESSION AUTHORIZATION r", CHANGED_ROLE},
    {"RESET ROLE", CHANGED_ROLE},
    {"LISTEN c", CHANGED_LISTEN | TRAIT_LISTENS},
    {"PREPARE p AS SELECT 1", CHANGED_PREPARED | TRAIT_PREPARES},
    {"PREPARE transaction_list AS SELECT 1", CHANGED_PREPARED | TRAIT_PREPARES},
    {"CREATE TEMP TABLE t (a int)", CHANGED_TEMPORARY},
    {"CREATE OR REPLACE TEMPORARY VIEW v AS SELECT 1", CHANGED_TEMPORARY},
    {"create local temporary table t as select 1", CHANGED_TEMPORARY},
    {"SELECT a INTO TEMP t FROM u", CHANGED_TEMPORARY},
    {"SELECT a INTO LOCAL TEMPORARY t FROM u", CHANGED_TEMPORARY},
    {"CREATE TABLE pg_temp.t (a int)", CHANGED_TEMPORARY},
    {"DECLARE c BINARY CURSOR WITH HOLD FOR SELECT 1", CHANGED_CURSORS},
    {"SELECT pg_advisory_lock(1)", CHANGED_LOCKS},
    {"SELECT pg_try_advisory_lock_shared(1, 2)", CHANGED_LOCKS},
    {"SELECT 1; SET a = 1; LISTEN b",
     CHANGED_SETTINGS | CHANGED_LISTEN | TRAIT_LISTENS | TRAIT_SCRIPT},
    {"BEGIN; SELECT 1; COMMIT", TRAIT_SCRIPT | TRAIT_COMMITS},
    {"SELECT 1;;; ", 0},
    {";; SELECT 1; ;SELECT 2", TRAIT_SCRIPT},
};

static void check(const struct expected *expected, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct view sql = view_from(expected[i].sql);
        if (traits_of(sql, false) != expected[i].traits)
            fail_msg("%s: %#x", expected[i].sql, traits_of(sql, false));
        /* Twice: read, and remembered. */
        for (int again = 0; again < 2; again++) {
            assert_int_equal(traits_recall(sql, text_hash(sql), NULL), expected[i].traits);
            assert_int_equal(changes_of(sql), expected[i].traits & TRAITS_CHANGES);
        }
    }
}

static void test_texts(void **state)
{
    (void)state;
    check(plain, sizeof(plain) / sizeof(plain[0]));
    check(changing, sizeof(changing) / sizeof(changing[0]));
}

/* Where the string ends depends on the setting. */
static void test_backslash_strings(void **state)
{
    struct view sql = VIEW_LITERAL("SELECT 'a\\'; SET b = 1; --'");

    (void)state;
    assert_int_equal(traits_of(sql, false), CHANGED_SETTINGS | TRAIT_SCRIPT | TRAIT_BACKSLASH);
    assert_int_equal(traits_of(sql, true), TRAIT_BACKSLASH);
    /* Without a connection that says otherwise they are as the standard says. */
    assert_int_equal(traits_recall(sql, text_hash(sql), NULL), CHANGED_SETTINGS | TRAIT_SCRIPT);
}

/* More texts than the table has places: they replace each other and are never mixed up. */
static void test_many_texts(void **state)
{
    char text[64];

    (void)state;
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 5000; i++) {
            (void)snprintf(text, sizeof(text), i % 2 ? "SET a = %d" : "SELECT %d", i);
            assert_int_equal(changes_of(view_from(text)), i % 2 ? CHANGED_SETTINGS : 0);
        }
}

/* It stands on the way of every statement. */
static void test_price(void **state)
{
    static const char text[] =
        "SELECT o.id, o.customer_id, o.total, c.name FROM orders o JOIN customers c ON c.id = "
        "o.customer_id WHERE o.created_at > $1 AND o.state = $2 ORDER BY o.created_at LIMIT $3";
    struct view sql = VIEW_LITERAL(text);
    enum { ROUNDS = 200000 };
    volatile uint32_t sum = 0;
    uint64_t begin_ns = clock_monotonic_ns(), known_ns;

    (void)state;
    for (int i = 0; i < ROUNDS; i++)
        sum += traits_recall(sql, text_hash(sql), NULL);
    known_ns = clock_monotonic_ns() - begin_ns;
    begin_ns = clock_monotonic_ns();
    for (int i = 0; i < ROUNDS / 10; i++)
        sum += traits_of(sql, false);
    print_message("a text of %zu bytes: %.0f ns when known, %.0f ns at first sight\n", sql.length,
                  (double)known_ns / ROUNDS,
                  (double)(clock_monotonic_ns() - begin_ns) / (ROUNDS / 10.0));
    assert_int_equal(sum, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_backslash_strings),
        cmocka_unit_test(test_many_texts),
        cmocka_unit_test(test_price),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
