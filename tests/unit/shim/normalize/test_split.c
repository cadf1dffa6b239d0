/* The statements of a string, their names, and names as PostgreSQL compares them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "shim/probe/normalize.h"
#include "tests/unit/shim/normalize/guarded.h"

static const struct {
    const char *sql;
    const char *parts; /* each followed by | */
} examples[] = {
    {"", ""},
    {" ;; -- x", ""},
    {"a", "a|"},
    {"a;", "a|"},
    {"a; b", "a|b|"},
    {" /* x */ a /* y */ ; -- z\n b -- w", "a|b|"},
    {"a /* ; */ b; c", "a /* ; */ b|c|"},
    {"';'; \";\"; $$;$$; E'\\';'; a -- ;\n", "';'|\";\"|$$;$$|E'\\';'|a|"},
    {"a (b; c); d", "a (b; c)|d|"},
    {"a) ; b", "a)|b|"},
    {"a (b; c", "a (b; c|"},
    {"CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2); b",
     "CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2)|b|"},
    {"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; b",
     "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END|b|"},
    {"CREATE OR REPLACE PROCEDURE p() begin\natomic SELECT CASE WHEN a THEN 1 END; END; b",
     "CREATE OR REPLACE PROCEDURE p() begin\natomic SELECT CASE WHEN a THEN 1 END; END|b|"},
    {"CREATE FUNCTION f() BEGIN ATOMIC SELECT 1 AS end; SELECT t.case; END; b",
     "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1 AS end; SELECT t.case; END|b|"},
    {"CREATE FUNCTION f() BEGIN ATOMIC CREATE FUNCTION g() BEGIN ATOMIC SELECT 1; END; END; b",
     "CREATE FUNCTION f() BEGIN ATOMIC CREATE FUNCTION g() BEGIN ATOMIC SELECT 1; END; END|b|"},
    {"CREATE FUNCTION begin() RETURNS int RETURN 1; b",
     "CREATE FUNCTION begin() RETURNS int RETURN 1|b|"},
    {"CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN; END $$; b",
     "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN; END $$|b|"},
    {"CREATE TABLE begin (a int); b", "CREATE TABLE begin (a int)|b|"},
    {"BEGIN; SELECT 1; END; b", "BEGIN|SELECT 1|END|b|"},
    {"BEGIN ATOMIC; b", "BEGIN ATOMIC|b|"},
    {"a; 'b; c", "a|'b; c|"},
    {"a; /* b; c", "a|"},
};

static void split(struct view sql, char *ret)
{
    struct statement_part part;
    size_t offset = 0;

    while (statement_split_next(sql, 0, &offset, &part)) {
        assert_true(offset <= sql.length);
        ret += sprintf(ret, "%.*s|", (int)part.sql.length, part.sql.bytes);
    }
    *ret = '\0';
}

static void test_split(void **state)
{
    struct guarded guarded = guarded_new(4096);
    char parts[1024];

    (void)state;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        struct view sql = view_from(examples[i].sql);
        for (size_t length = 0; length < sql.length; length++)
            split(guarded_copy(&guarded, (struct view){sql.bytes, length}), parts);
        split(guarded_copy(&guarded, sql), parts);
        assert_string_equal(parts, examples[i].parts);
    }
    guarded_free(&guarded);
}

static void test_split_backslashes(void **state)
{
    struct view sql = VIEW_LITERAL("'\\';'; b");
    struct statement_part part;
    size_t offset = 0;

    (void)state;
    assert_true(statement_split_next(sql, NORMALIZE_BACKSLASH_STRINGS, &offset, &part));
    assert_int_equal(part.sql.length, 5);
    assert_true(statement_split_next(sql, NORMALIZE_BACKSLASH_STRINGS, &offset, &part));
    assert_int_equal(part.sql.length, 1);
    assert_false(statement_split_next(sql, NORMALIZE_BACKSLASH_STRINGS, &offset, &part));
    assert_false(statement_split_next((struct view){NULL, 0}, 0, &offset, &part));
}

static void test_parts(void **state)
{
    static const struct {
        const char *sql, *name, *body;
        enum statement_verb verb;
        bool deallocate_all;
    } parts[] = {
        {"PREPARE p AS SELECT 1;", "p", "SELECT 1", VERB_PREPARE, false},
        {"PREPARE \"P q\" (int, text) AS\n/* x */ SELECT $1", "\"P q\"", "SELECT $1", VERB_PREPARE,
         false},
        {"PREPARE p (numeric(1,2)) AS SELECT 1 AS x", "p", "SELECT 1 AS x", VERB_PREPARE, false},
        {"PREPARE p", "p", "", VERB_PREPARE, false},
        {"PREPARE p AS", "p", "", VERB_PREPARE, false},
        {"PREPARE", "", "", VERB_PREPARE, false},
        {"PREPARE TRANSACTION 'x'", "", "", VERB_OTHER, false},
        {"EXECUTE p(1)", "p", "", VERB_EXECUTE, false},
        {"EXECUTE /* x */ \"a\"\"b\"", "\"a\"\"b\"", "", VERB_EXECUTE, false},
        {"DEALLOCATE p", "p", "", VERB_DEALLOCATE, false},
        {"DEALLOCATE PREPARE p", "p", "", VERB_DEALLOCATE, false},
        {"DEALLOCATE ALL", "", "", VERB_DEALLOCATE, true},
        {"deallocate prepare all", "", "", VERB_DEALLOCATE, true},
        {"DEALLOCATE \"all\"", "\"all\"", "", VERB_DEALLOCATE, false},
        {"LISTEN c", "c", "", VERB_LISTEN, false},
        {"UNLISTEN c", "c", "", VERB_UNLISTEN, false},
        {"UNLISTEN *", "", "", VERB_UNLISTEN, false},
        {"SELECT p", "", "", VERB_OTHER, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        struct statement_part part;
        size_t offset = 0;
        assert_true(statement_split_next(view_from(parts[i].sql), 0, &offset, &part));
        assert_int_equal(part.verb, parts[i].verb);
        assert_true(view_equal(part.name, view_from(parts[i].name)));
        assert_true(view_equal(part.body, view_from(parts[i].body)));
        assert_int_equal(part.deallocate_all, parts[i].deallocate_all);
    }
}

static void test_name_fold(void **state)
{
    static const struct {
        const char *name, *folded;
    } names[] = {
        {"Abc_1$", "abc_1$"},
        {"\"Abc\"", "Abc"},
        {"\"a\"\"b\"", "a\"b"},
        {"\"\"\"\"", "\""},
        {"U&\"A\"", "A"},
        {"\xc3\x84", "\xc3\x84"},
        {"u", "u"},
        {"", ""},
        {"A234567890123456789012345678901234567890123456789012345678901234567890",
         "a23456789012345678901234567890123456789012345678901234567890123"},
        {"\"A234567890123456789012345678901234567890123456789012345678901234567890\"",
         "A23456789012345678901234567890123456789012345678901234567890123"},
    };
    char folded[64];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t length = statement_name_fold(view_from(names[i].name), folded, sizeof(folded));
        assert_int_equal(length, strlen(names[i].folded));
        assert_memory_equal(folded, names[i].folded, length);
    }
    assert_int_equal(statement_name_fold(VIEW_LITERAL("abc"), folded, 2), 0);
    assert_int_equal(statement_name_fold(VIEW_LITERAL("abc"), folded, 3), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_split_backslashes),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_name_fold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
