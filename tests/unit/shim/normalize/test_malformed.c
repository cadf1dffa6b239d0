/* No literal's byte ever leaves, whatever ends, interrupts or spoils the statement. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "shim/probe/normalize.h"
#include "tests/unit/shim/normalize/guarded.h"

/* Each holds the secret "qzx" or "7777" in a literal or comment only. */
static const char *const spellings[] = {
    "'qzx'",
    "'a''qzx'",
    "E'\\'qzx'",
    "e'\\\\''qzx'",
    "U&'\\0041qzx'",
    "u&'qzx'",
    "N'qzx'",
    "n'qzx'",
    "B'7777'",
    "X'7777'",
    "$$qzx$$",
    "$a$qzx$a$",
    "$a$ $$ qzx $$ $a$",
    "'a'\n'qzx'",
    "'a' -- qzx\n'qzx'",
    "7777",
    "77.77",
    "7777.7777e7777",
    ".7777",
    "7777.",
    "0x7777",
    "0o7777",
    "7777_7777",
    "-7777",
    "'qzx\xff\xfe\x80'",
    "/* qzx */ 7777",
    "/* a /* qzx */ */ 7777",
    "-- qzx\n 7777",
    "'qzx\\'",
    "E'qzx\\\\'",
    "B'1'\n'7777'",
    "'\n qzx'",
    "$\xc3\xa4$qzx$\xc3\xa4$",
};

static const char *const frames[] = {
    "SELECT %s",
    "SELECT a FROM t WHERE b = %s AND c IN (%s, %s) ORDER BY d",
    "INSERT INTO t VALUES (%s, %s), (%s, NULL)",
    "SELECT ARRAY[%s,%s], -%s",
    "SELECT a%s",
    "SELECT \"a\"%s%s",
    "PREPARE p AS SELECT %s",
    "SAVEPOINT %s",
    "NOTIFY c, %s",
    "%s",
    "SELECT f(%s)::int -%s^2",
};

static void assert_no_secret(const char *text, size_t length, struct view sql)
{
    if (memmem(text, length, "qzx", 3) || memmem(text, length, "77", 2))
        fail_msg("%.*s\nbecomes\n%.*s", (int)sql.length, sql.bytes, (int)length, text);
}

static void test_no_literal_leaves(void **state)
{
    static const uint32_t options[] = {0, NORMALIZE_KEEP_LISTS | NORMALIZE_KEEP_SIGNS |
                                              NORMALIZE_KEEP_NAMES};
    struct guarded guarded = guarded_new(4096);
    static char text[NORMALIZE_TEXT_MAX];
    char sql[4096];

    (void)state;
    for (size_t f = 0; f < sizeof(frames) / sizeof(frames[0]); f++) {
        for (size_t s = 0; s < sizeof(spellings) / sizeof(spellings[0]); s++) {
            size_t all = 0;
            /* The letter before a quote would belong to it. */
            for (const char *at = frames[f]; *at; at++) {
                if (at[0] == '%' && at[1] == 's') {
                    all += (size_t)sprintf(sql + all, " %s", spellings[s]);
                    at++;
                } else {
                    sql[all++] = *at;
                }
            }
            for (size_t length = 0; length <= all; length++) {
                struct view view = guarded_copy(&guarded, (struct view){sql, length});
                for (size_t o = 0; o < sizeof(options) / sizeof(options[0]); o++) {
                    struct normalized normalized;
                    normalize(view, options[o], text, sizeof(text), &normalized);
                    assert_no_secret(text, normalized.text_length, view);
                }
            }
        }
    }
    guarded_free(&guarded);
}

/* Where the server reads backslashes as escapes, so must we. */
static void test_no_literal_leaves_backslashes(void **state)
{
    static const char *const sqls[] = {
        "SELECT 'a\\'qzx', 1",
        "SELECT N'a\\'qzx', 'b\\\\', 'qzx'",
        "SELECT 'a'\n'\\'qzx'",
        "INSERT INTO t VALUES ('\\'qzx', '\\\\'), ('qzx\\'', 'qzx')",
    };
    struct guarded guarded = guarded_new(4096);
    static char text[NORMALIZE_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(sqls) / sizeof(sqls[0]); i++) {
        for (size_t length = 0; length <= strlen(sqls[i]); length++) {
            struct view view = guarded_copy(&guarded, (struct view){sqls[i], length});
            struct normalized normalized;
            normalize(view, NORMALIZE_BACKSLASH_STRINGS, text, sizeof(text), &normalized);
            assert_no_secret(text, normalized.text_length, view);
        }
    }
    guarded_free(&guarded);
}

static void test_marked(void **state)
{
    static const struct {
        const char *sql, *text;
    } examples[] = {
        {"SELECT 'a", "SELECT $1"},
        {"SELECT E'a\\'", "SELECT $1"},
        {"SELECT E'a\\", "SELECT $1"},
        {"SELECT U&'a", "SELECT $1"},
        {"SELECT B'1", "SELECT $1"},
        {"SELECT $a$ b $a", "SELECT $1"},
        {"SELECT \"a, b", "SELECT \"\""},
        {"SELECT U&\"a, b", "SELECT \"\""},
        {"SELECT \"a\"U&\"b", "SELECT \"a\" \"\""},
        {"SELECT u&U&\"b", "SELECT u& \"\""},
        {"SAVEPOINT \"a1", "SAVEPOINT \"\""},
        {"SELECT a /* b", "SELECT a"},
        {"SELECT a IN (1, 'b", "SELECT a IN ($1, $2"},
        {"/* b", ""},
        {"'", "$1"},
    };
    static char text[NORMALIZE_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        struct normalized normalized;
        normalize(view_from(examples[i].sql), 0, text, sizeof(text), &normalized);
        assert_int_equal(normalized.flags, NORMALIZED_MALFORMED);
        assert_int_equal(normalized.text_length, strlen(examples[i].text));
        assert_memory_equal(text, examples[i].text, normalized.text_length);
    }
}

/* Bytes that are no text, in every place: the run ends, and says the same each time. */
static void test_any_bytes(void **state)
{
    struct guarded guarded = guarded_new(4096);
    static char text[2][NORMALIZE_TEXT_MAX];
    uint64_t random = 0x9e3779b97f4a7c15;
    char sql[64];

    (void)state;
    for (int round = 0; round < 20000; round++) {
        static const char alphabet[] = "'\"$\\/*-+();,.:[]eEnNuUbBxX&01 \n\t_aIN\x80\xff\0?|^@";
        struct normalized normalized[2];
        for (size_t i = 0; i < sizeof(sql); i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            sql[i] = random >> 40 & 7 ? alphabet[(random >> 33) % (sizeof(alphabet) - 1)]
                                      : (char)(random >> 56);
        }
        struct view view = guarded_copy(&guarded, (struct view){sql, random >> 58});
        for (int i = 0; i < 2; i++)
            normalize(view, round & 15, text[i], sizeof(text[i]), &normalized[i]);
        assert_int_equal(normalized[0].fingerprint, normalized[1].fingerprint);
        assert_int_equal(normalized[0].text_length, normalized[1].text_length);
        assert_memory_equal(text[0], text[1], normalized[0].text_length);
    }
    guarded_free(&guarded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_literal_leaves),
        cmocka_unit_test(test_no_literal_leaves_backslashes),
        cmocka_unit_test(test_marked),
        cmocka_unit_test(test_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
