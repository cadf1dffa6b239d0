/* From statement to normalized text, verb and fingerprint, by tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "shim/probe/normalize.h"
#include "tests/unit/shim/normalize/guarded.h"

struct example {
    const char *sql, *text;
};

static const struct example literals[] = {
    {"SELECT 1", "SELECT $1"},
    {"SELECT 'a', E'b', N'c', B'1', X'F', U&'d'", "SELECT $1, $2, $3, $4, $5, $6"},
    {"SELECT $$a$$, $x$b$x$", "SELECT $1, $2"},
    {"SELECT U&'d!0061' UESCAPE '!'", "SELECT $1 UESCAPE $2"},
    {"SELECT U&\"d!0061\" UESCAPE '!'", "SELECT U&\"d!0061\" UESCAPE $1"},
    {"SELECT 0x1F, 0o17, 0b1, 1_000, 1.5e-3, .5, 1.", "SELECT $1, $2, $3, $4, $5, $6, $7"},
    {"SELECT TRUE, false, NULL", "SELECT TRUE, false, NULL"},
    {"SELECT 'a'\n  'b', 1", "SELECT $1, $2"},
    {"SELECT '1'::int, CAST('2' AS int), int '3'", "SELECT $1::int, CAST($2 AS int), int $3"},
    {"SELECT interval '1' day, date'2024-01-01'", "SELECT interval $1 day, date $2"},
    {"SELECT a::numeric(10,2)", "SELECT a::numeric($1,$2)"},
    {"SELECT 1AS a,'b'AS c", "SELECT $1 AS a,$2 AS c"},
    {"SELECT 1.5.2", "SELECT $1 $2"},
    {"SELECT a.5", "SELECT a $1"},
    {"SELECT \"1\", \"a\"\"b\", t.\"C\"", "SELECT \"1\", \"a\"\"b\", t.\"C\""},
    {"SELECT a ? 'b', a ?| ARRAY['c'], a ?& b, a @> '{}'",
     "SELECT a ? $1, a ?| ARRAY[$2], a ?& b, a @> $3"},
    {"SELECT a[1], a[2:3]", "SELECT a[$1], a[$2:$3]"},
    {"COPY t FROM '/secret' WITH (DELIMITER E'\\t')", "COPY t FROM $1 WITH (DELIMITER $2)"},
    {"ALTER ROLE r PASSWORD 'p'", "ALTER ROLE r PASSWORD $1"},
    {"DO $x$ BEGIN PERFORM 'y'; END $x$", "DO $1"},
    {"SET application_name TO 'x'", "SET application_name TO $1"},
    {"SELECT 1;", "SELECT $1"},
    {"SELECT 1 ; ; -- x", "SELECT $1"},
    {";SELECT 1", ";SELECT $1"},
    {"SELECT 1 ; SELECT 2;", "SELECT $1; SELECT $2"},
};

static const struct example parameters[] = {
    {"SELECT $1, 'a'", "SELECT $1, $2"},
    {"SELECT 'a', $1", "SELECT $2, $1"},
    {"SELECT 'a', $9, 'b', $3", "SELECT $10, $9, $11, $3"},
    {"SELECT '$7', $2", "SELECT $3, $2"},
    {"SELECT $$ $5 $$, 1", "SELECT $1, $2"},
    {"SELECT a$8, 1 -- $6", "SELECT a$8, $1"},
    {"SELECT 1 IN ($4, $5)", "SELECT $6 IN ($4)"},
    {"SELECT $2147483647, 1", "SELECT $2147483647, $2147483648"},
    {"SELECT $99999999999999999999, 1", "SELECT $99999999999999999999, $1"},
    {"SELECT $0, 1", "SELECT $0, $1"},
    {"SELECT $1a", "SELECT $1 a"},
};

/* What PostgreSQL folds into its number, and what it does not. */
static const struct example signs[] = {
    {"SELECT b + -5", "SELECT b + $1"},
    {"SELECT b - 5", "SELECT b - $1"},
    {"SELECT b -5", "SELECT b -$1"},
    {"SELECT b-5", "SELECT b-$1"},
    {"SELECT -5", "SELECT $1"},
    {"SELECT - 5", "SELECT $1"},
    {"SELECT - /* x */ 5", "SELECT $1"},
    {"-5", "$1"},
    {"SELECT - -5", "SELECT - $1"},
    {"SELECT 5 - -5", "SELECT $1 - $2"},
    {"SELECT -5::int", "SELECT -$1::int"},
    {"SELECT (-5)::int", "SELECT ($1)::int"},
    {"SELECT -5 ^ 2", "SELECT $1 ^ $2"},
    {"SELECT -5[1]", "SELECT -$1[$2]"},
    {"SELECT -5 . x", "SELECT -$1 . x"},
    {"SELECT -'5'", "SELECT -$1"},
    {"SELECT -$1", "SELECT -$1"},
    {"SELECT +5", "SELECT +$1"},
    {"SELECT -a", "SELECT -a"},
    {"SELECT a[-1] - 1", "SELECT a[$1] - $2"},
    {"SELECT (a) - 1", "SELECT (a) - $1"},
    {"SELECT \"a\" - 1", "SELECT \"a\" - $1"},
    {"SELECT 'a' - 1, 2 - 1, $1 - 1", "SELECT $2 - $3, $4 - $5, $1 - $6"},
    {"SELECT a::int - 1", "SELECT a::int - $1"},
    {"SELECT f(-1, -2), ARRAY[-3]", "SELECT f($1, $2), ARRAY[$3]"},
    {"SELECT a*-1, a/-1, a||-1, a= -1", "SELECT a*$1, a/$2, a||-$3, a= $4"},
    {"SELECT a=-1", "SELECT a=$1"},
    {"SELECT a BETWEEN -1 AND -2 LIMIT -3 OFFSET -4",
     "SELECT a BETWEEN $1 AND $2 LIMIT $3 OFFSET $4"},
    {"SELECT CASE WHEN -1 > a THEN -2 ELSE -3 END", "SELECT CASE WHEN $1 > a THEN $2 ELSE $3 END"},
    {"SELECT CASE a WHEN 1 THEN 2 END -5", "SELECT CASE a WHEN $1 THEN $2 END -$3"},
    {"SELECT now() -1, current_date -1", "SELECT now() -$1, current_date -$2"},
    {"SELECT NULL -1", "SELECT NULL -$1"},
    {"UPDATE t SET b = b + -17 WHERE a = 3", "UPDATE t SET b = b + $1 WHERE a = $2"},
    {"SELECT 1 RETURNING -1", "SELECT $1 RETURNING $2"},
    {"FETCH BACKWARD -1 FROM c", "FETCH BACKWARD -$1 FROM c"},
};

static const struct example lists[] = {
    {"SELECT 1 IN (1)", "SELECT $1 IN ($2)"},
    {"SELECT a IN (1, 2, 3)", "SELECT a IN ($1)"},
    {"SELECT a IN (1,'b',$1,TRUE,FALSE,NULL,-5)", "SELECT a IN ($2)"},
    {"SELECT a IN ($1, $2)", "SELECT a IN ($1)"},
    {"SELECT a in(1,2) AND b NOT IN (3, 4)", "SELECT a in($1) AND b NOT IN ($2)"},
    {"SELECT a IN (NULL, 1)", "SELECT a IN ($1)"},
    {"SELECT a IN (NULL)", "SELECT a IN (NULL)"},
    {"SELECT a IN (1, b)", "SELECT a IN ($1, b)"},
    {"SELECT a IN (1, 2 + 3)", "SELECT a IN ($1, $2 + $3)"},
    {"SELECT a IN (1, -2::int)", "SELECT a IN ($1, -$2::int)"},
    {"SELECT a IN (SELECT 1, 2)", "SELECT a IN (SELECT $1, $2)"},
    {"SELECT (1, 2)", "SELECT ($1, $2)"},
    {"SELECT f(1, 2)", "SELECT f($1, $2)"},
    {"SELECT a IN (1, 2", "SELECT a IN ($1, $2"},
    {"SELECT a IN (1,, 2)", "SELECT a IN ($1,, $2)"},
    {"SELECT a IN ()", "SELECT a IN ()"},
    {"SELECT a IN (1 /* x */, /* y */ 2 /* z */) - 1", "SELECT a IN ($1 ) - $2"},
    {"SELECT ARRAY[1,2,3]", "SELECT ARRAY[$1]"},
    {"SELECT a = ANY (ARRAY['x', 'y'])", "SELECT a = ANY (ARRAY[$1])"},
    {"SELECT ARRAY[1,a]", "SELECT ARRAY[$1,a]"},
    {"SELECT ARRAY[[1,2],[3,4]]", "SELECT ARRAY[[$1,$2],[$3,$4]]"},
    {"SELECT a[1,2]", "SELECT a[$1,$2]"},
    {"INSERT INTO t VALUES (1, 'a')", "INSERT INTO t VALUES ($1, $2)"},
    {"INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')", "INSERT INTO t VALUES ($1, $2)"},
    {"INSERT INTO t (a) VALUES ($1), ($2) RETURNING 1",
     "INSERT INTO t (a) VALUES ($1) RETURNING $3"},
    {"INSERT INTO t VALUES (-1, TRUE), (2, NULL) ON CONFLICT DO NOTHING",
     "INSERT INTO t VALUES ($1, TRUE) ON CONFLICT DO NOTHING"},
    {"INSERT INTO t VALUES (1, DEFAULT), (2, 3)", "INSERT INTO t VALUES ($1, DEFAULT), ($2, $3)"},
    {"INSERT INTO t VALUES (1), (now())", "INSERT INTO t VALUES ($1), (now())"},
    {"INSERT INTO t VALUES (1), (2", "INSERT INTO t VALUES ($1), ($2"},
    {"SELECT * FROM (VALUES (1), (2)) v WHERE a IN (VALUES (3), (4))",
     "SELECT * FROM (VALUES ($1)) v WHERE a IN (VALUES ($2))"},
    {"SELECT values, (1), (2)", "SELECT values, ($1), ($2)"},
};

static const struct example names[] = {
    {"SAVEPOINT sp_12_3", "SAVEPOINT sp_0_0"},
    {"RELEASE sp1", "RELEASE sp0"},
    {"RELEASE SAVEPOINT \"sa 99\"", "RELEASE SAVEPOINT \"sa 0\""},
    {"ROLLBACK TO sp1", "ROLLBACK TO sp0"},
    {"ROLLBACK WORK TO SAVEPOINT sp1", "ROLLBACK WORK TO SAVEPOINT sp0"},
    {"DECLARE c_7 CURSOR FOR SELECT a1 FROM t2", "DECLARE c_0 CURSOR FOR SELECT a1 FROM t2"},
    {"FETCH 100 FROM c7", "FETCH $1 FROM c0"},
    {"FETCH FORWARD ALL IN c7", "FETCH FORWARD ALL IN c0"},
    {"MOVE NEXT FROM c7", "MOVE NEXT FROM c0"},
    {"FETCH c7", "FETCH c7"},
    {"CLOSE c7", "CLOSE c0"},
    {"PREPARE p3 (int) AS SELECT a1 FROM t1 WHERE x = $1",
     "PREPARE p0 (int) AS SELECT a1 FROM t1 WHERE x = $1"},
    {"EXECUTE p3(17, 'x')", "EXECUTE p0($1, $2)"},
    {"DEALLOCATE p3", "DEALLOCATE p0"},
    {"DEALLOCATE PREPARE p3", "DEALLOCATE PREPARE p0"},
    {"LISTEN ch1", "LISTEN ch0"},
    {"UNLISTEN ch1", "UNLISTEN ch0"},
    {"UNLISTEN *", "UNLISTEN *"},
    {"NOTIFY ch1, 'secret'", "NOTIFY ch0, $1"},
    {"CREATE TEMP TABLE tmp_17 (a1 int)", "CREATE TEMP TABLE tmp_0 (a1 int)"},
    {"CREATE LOCAL TEMPORARY TABLE IF NOT EXISTS t9 AS SELECT 1",
     "CREATE LOCAL TEMPORARY TABLE IF NOT EXISTS t0 AS SELECT $1"},
    {"CREATE TABLE t9 (a int)", "CREATE TABLE t9 (a int)"},
    {"CREATE TEMP VIEW v9 AS SELECT 1", "CREATE TEMP VIEW v9 AS SELECT $1"},
    {"SELECT a1 FROM t1", "SELECT a1 FROM t1"},
    {"savepoint 9", "savepoint $1"},
    {"BEGIN; SAVEPOINT s1", "BEGIN; SAVEPOINT s0"},
    {"LISTEN a1b22c333", "LISTEN a0b0c0"},
};

static const struct example spaces[] = {
    {"  SELECT\n\t1  ,\r\n 2 ", "SELECT $1 , $2"},
    {"SELECT/**/1", "SELECT $1"},
    {"SELECT a/* x */+/* y */b", "SELECT a + b"},
    {"SELECT a -- x\n, b", "SELECT a , b"},
    {"/* x */ SELECT 1 -- y", "SELECT $1"},
    {"SELECT 1 /* a /* b */ c */ + 2", "SELECT $1 + $2"},
    {"SELECT a- -b", "SELECT a- -b"},
    {"SELECT a-/**/-b", "SELECT a- -b"},
    {"SELECT a/ /**/ *b", "SELECT a/ *b"},
    {"", ""},
    {" -- x", ""},
    {"/* x */ ; ;", ""},
};

static struct normalized run(struct view sql, uint32_t options, char text[NORMALIZE_TEXT_MAX])
{
    struct normalized normalized;

    normalize(sql, options, text, NORMALIZE_TEXT_MAX, &normalized);
    assert_true(normalized.text_length <= NORMALIZE_TEXT_MAX);
    return normalized;
}

static uint64_t fingerprint_of(const char *sql)
{
    struct normalized normalized;

    normalize(view_from(sql), 0, NULL, 0, &normalized);
    return normalized.fingerprint;
}

static void check(const struct example *examples, size_t count)
{
    struct guarded guarded = guarded_new(4096);
    static char text[NORMALIZE_TEXT_MAX], again[NORMALIZE_TEXT_MAX];

    for (size_t i = 0; i < count; i++) {
        struct view sql = view_from(examples[i].sql), is;
        struct normalized normalized, second;
        for (size_t length = 0; length < sql.length; length++)
            (void)run(guarded_copy(&guarded, (struct view){sql.bytes, length}), 0, text);
        normalized = run(guarded_copy(&guarded, sql), 0, text);
        is = (struct view){text, normalized.text_length};
        if (!view_equal(is, view_from(examples[i].text)))
            fail_msg("%s\nis  %.*s\nnot %s", sql.bytes, (int)is.length, text, examples[i].text);
        assert_int_equal(normalized.flags, 0);
        assert_int_equal(normalized.fingerprint == 0, is.length == 0);
        assert_int_equal(normalized.fingerprint, fingerprint_of(examples[i].sql));
        /* A normalized text is its own. */
        second = run(guarded_copy(&guarded, is), 0, again);
        if (!view_equal((struct view){again, second.text_length}, is))
            fail_msg("%.*s\nagain is  %.*s", (int)is.length, text, (int)second.text_length, again);
        assert_int_equal(second.fingerprint, normalized.fingerprint);
    }
    guarded_free(&guarded);
}

#define CHECK(table) check(table, sizeof(table) / sizeof(table[0]))

static void test_literals(void **state)
{
    (void)state;
    CHECK(literals);
}

static void test_parameters(void **state)
{
    (void)state;
    CHECK(parameters);
}

static void test_signs(void **state)
{
    (void)state;
    CHECK(signs);
}

static void test_lists(void **state)
{
    (void)state;
    CHECK(lists);
}

static void test_names(void **state)
{
    (void)state;
    CHECK(names);
}

static void test_spaces(void **state)
{
    (void)state;
    CHECK(spaces);
}

static void test_options(void **state)
{
    static const struct {
        const char *sql, *text;
        uint32_t options;
    } examples[] = {
        {"SELECT a IN (1, 2), -5", "SELECT a IN ($1, $2), $3", NORMALIZE_KEEP_LISTS},
        {"VALUES (1), (2)", "VALUES ($1), ($2)", NORMALIZE_KEEP_LISTS},
        {"SELECT ARRAY[1,-2]", "SELECT ARRAY[$1,$2]", NORMALIZE_KEEP_LISTS},
        {"SELECT -5, a IN (1, 2)", "SELECT -$1, a IN ($2)", NORMALIZE_KEEP_SIGNS},
        {"SELECT a IN (1, -2)", "SELECT a IN ($1, -$2)", NORMALIZE_KEEP_SIGNS},
        {"SAVEPOINT s1", "SAVEPOINT s1", NORMALIZE_KEEP_NAMES},
        {"SELECT 'a\\'b', 1", "SELECT $1, $2", NORMALIZE_BACKSLASH_STRINGS},
        {"SELECT n'a\\'b', U&'\\' , 1", "SELECT $1, $2 , $3", NORMALIZE_BACKSLASH_STRINGS},
        {"SELECT $$\\$$, B'\\', \"\\\"", "SELECT $1, $2, \"\\\"", NORMALIZE_BACKSLASH_STRINGS},
    };
    static char text[NORMALIZE_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        struct normalized normalized = run(view_from(examples[i].sql), examples[i].options, text);
        text[normalized.text_length] = '\0';
        assert_string_equal(text, examples[i].text);
        assert_int_equal(normalized.flags, 0);
    }
}

static void test_verbs(void **state)
{
    static const struct {
        const char *sql;
        enum statement_verb verb;
    } examples[] = {
        {"", VERB_EMPTY},
        {" ; -- x", VERB_EMPTY},
        {"SELECT 1", VERB_OTHER},
        {"(SELECT 1)", VERB_OTHER},
        {"BEGIN", VERB_BEGIN},
        {"/* x */ begin ISOLATION LEVEL SERIALIZABLE", VERB_BEGIN},
        {"START TRANSACTION", VERB_BEGIN},
        {"START x", VERB_OTHER},
        {"COMMIT", VERB_COMMIT},
        {"COMMIT AND CHAIN", VERB_COMMIT},
        {"COMMIT PREPARED 'x'", VERB_OTHER},
        {"END", VERB_COMMIT},
        {"END WORK", VERB_COMMIT},
        {"ROLLBACK", VERB_ROLLBACK},
        {"ROLLBACK WORK", VERB_ROLLBACK},
        {"ROLLBACK TO s", VERB_OTHER},
        {"ROLLBACK TRANSACTION TO SAVEPOINT s", VERB_OTHER},
        {"ROLLBACK PREPARED 'x'", VERB_OTHER},
        {"ABORT", VERB_ROLLBACK},
        {"PREPARE p AS SELECT 1", VERB_PREPARE},
        {"PREPARE transaction AS SELECT 1", VERB_PREPARE},
        {"PREPARE TRANSACTION 'x'", VERB_OTHER},
        {"EXECUTE p", VERB_EXECUTE},
        {"DEALLOCATE p", VERB_DEALLOCATE},
        {"DISCARD ALL", VERB_DISCARD},
        {"LISTEN c", VERB_LISTEN},
        {"UNLISTEN c", VERB_UNLISTEN},
        {"COPY t FROM STDIN", VERB_COPY},
        {"SET x = 1", VERB_SET},
        {"\"begin\"", VERB_OTHER},
        {"BEGINS", VERB_OTHER},
        {";;BEGIN", VERB_BEGIN},
        {"'x'", VERB_OTHER},
    };
    static char text[NORMALIZE_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        enum statement_verb verb = run(view_from(examples[i].sql), 0, text).verb;
        if (verb != examples[i].verb)
            fail_msg("%s is %d", examples[i].sql, (int)verb);
    }
}

static void test_equal_fingerprints(void **state)
{
    static const char *const pairs[][2] = {
        {"SELECT 1", "select 2;"},
        {"SELECT 1", "SELECT $1"},
        {"SELECT 1", "SELECT 'x'"},
        {"SELECT 1", "SELECT\n-- c\n $$x$$ /* d */"},
        {"SELECT 1+2", "SELECT 1 + 2"},
        {"SELECT Abc", "select aBC"},
        {"SELECT b + 5", "SELECT b + -5"},
        {"SELECT a IN (1)", "SELECT a IN (1, 2, 3)"},
        {"SELECT a IN ($1)", "SELECT a IN ('x', NULL)"},
        {"VALUES (1, 2)", "VALUES (3, 4), (5, 6)"},
        {"SELECT ARRAY[1]", "SELECT ARRAY[1, 2]"},
        {"SAVEPOINT s1", "SAVEPOINT s22"},
        {"LISTEN c1", "LISTEN c2"},
        {"SELECT $1, $2", "SELECT $2, $1"},
        {"SELECT 0x1F", "SELECT .5e10"},
        {"SELECT \xc3\xa4", "select \xc3\xa4"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        if (fingerprint_of(pairs[i][0]) != fingerprint_of(pairs[i][1]))
            fail_msg("%s\n%s", pairs[i][0], pairs[i][1]);
}

static void test_unequal_fingerprints(void **state)
{
    static const char *const pairs[][2] = {
        {"SELECT 1", "SELECT 1, 2"},
        {"SELECT a", "SELECT b"},
        {"SELECT \"a\"", "SELECT a"},
        {"SELECT \"a\"", "SELECT \"A\""},
        {"SELECT a b", "SELECT ab"},
        {"SELECT a.b", "SELECT a . b . c"},
        {"SELECT 1", "SELECT NULL"},
        {"SELECT TRUE", "SELECT FALSE"},
        {"SELECT - -5", "SELECT -5"},
        {"SELECT a - -b", "SELECT a -- b"},
        {"SELECT a <> b", "SELECT a != b"},
        {"SELECT t1", "SELECT t2"},
        {"SAVEPOINT a1", "SAVEPOINT a"},
        {"SELECT \xc3\xa4", "SELECT \xc3\x84"},
        {"a; b", "a b"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        if (fingerprint_of(pairs[i][0]) == fingerprint_of(pairs[i][1]))
            fail_msg("%s\n%s", pairs[i][0], pairs[i][1]);
}

/* What the text cannot hold is cut at a token, and marked; the fingerprint is of all. */
static void test_capacity(void **state)
{
    static const char sql[] = "SELECT alpha, 'x', beta FROM gamma";
    static const char whole[] = "SELECT alpha, $1, beta FROM gamma";
    struct guarded guarded = guarded_new(4096);

    (void)state;
    for (size_t capacity = 0; capacity <= sizeof(whole); capacity++) {
        char *text = guarded.map + guarded.room - capacity;
        struct normalized normalized;
        normalize(VIEW_LITERAL(sql), 0, text, capacity, &normalized);
        assert_true(normalized.text_length <= capacity);
        assert_memory_equal(text, whole, normalized.text_length);
        if (normalized.text_length < sizeof(whole) - 1)
            assert_false(whole[normalized.text_length] == 'l'); /* never inside a word */
        assert_int_equal(normalized.flags, capacity < sizeof(whole) - 1 ? NORMALIZED_CUT : 0);
        assert_int_equal(normalized.fingerprint, fingerprint_of(sql));
    }
    guarded_free(&guarded);
}

/* Longer than the fingerprint's room: hashed as a stream, to the same value however it is cut. */
static void test_long_fingerprint(void **state)
{
    static char sql[2][40000];
    size_t length[2] = {0, 0};

    (void)state;
    for (int i = 0; i < 3000; i++) {
        length[0] += (size_t)sprintf(sql[0] + length[0], "column%d, ", i);
        length[1] += (size_t)sprintf(sql[1] + length[1], "COLUMN%d  ,", i);
        assert_int_equal(fingerprint_of(sql[0]), fingerprint_of(sql[1]));
    }
}

/* A tenth of a gigabit of statement: its first 64 KiB are read, and marked. */
static void test_ten_megabytes(void **state)
{
    enum { LENGTH = 10 << 20 };
    static const char *const units[] = {
        "SELECT x, ", "'a' ", "(",         "- ",          "/*", "1,", "$1 ",  ";",  "\"",
        "'",          "$a$",  "-1 IN (1,", "VALUES (1),", "\n", "a",  "E'\\", "..", "--\n",
    };
    static char text[NORMALIZE_TEXT_MAX];
    struct guarded guarded = guarded_new(LENGTH);

    (void)state;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        size_t unit = strlen(units[i]), offset = 0, parts = 0;
        char *at = guarded.map + guarded.room - LENGTH;
        struct view sql = {at, LENGTH};
        struct statement_part part;
        bool is_commented;
        memcpy(at, units[i], unit);
        for (size_t filled = unit; filled < LENGTH; filled *= 2) /* whole units, but for the last */
            memcpy(at + filled, at, filled < LENGTH - filled ? filled : LENGTH - filled);
        assert_true(run(sql, 0, text).flags & NORMALIZED_CUT);
        assert_int_equal(run(sql, 0, text).fingerprint,
                         run((struct view){at, NORMALIZE_INPUT_MAX + 1}, 0, text).fingerprint);
        while (statement_split_next(sql, 0, &offset, &part))
            parts++;
        assert_true(parts <= LENGTH);
        (void)text_key_of(sql, 1, &is_commented);
    }
    guarded_free(&guarded);
}

static void test_limits_of_input(void **state)
{
    static char sql[NORMALIZE_INPUT_MAX + 1], text[NORMALIZE_TEXT_MAX];

    (void)state;
    memset(sql, ' ', sizeof(sql));
    memcpy(sql, "SELECT 1", 8);
    assert_int_equal(run((struct view){sql, NORMALIZE_INPUT_MAX}, 0, text).flags, 0);
    assert_int_equal(run((struct view){sql, sizeof(sql)}, 0, text).flags, NORMALIZED_CUT);
    /* A literal that the cut ends is not malformed. */
    sql[7] = '\'';
    assert_int_equal(run((struct view){sql, sizeof(sql)}, 0, text).flags, NORMALIZED_CUT);
    assert_int_equal(run((struct view){sql, NORMALIZE_INPUT_MAX}, 0, text).flags,
                     NORMALIZED_MALFORMED);
    assert_int_equal(run((struct view){NULL, 0}, 0, text).verb, VERB_EMPTY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literals),
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_signs),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_spaces),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_verbs),
        cmocka_unit_test(test_equal_fingerprints),
        cmocka_unit_test(test_unequal_fingerprints),
        cmocka_unit_test(test_capacity),
        cmocka_unit_test(test_long_fingerprint),
        cmocka_unit_test(test_ten_megabytes),
        cmocka_unit_test(test_limits_of_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
