/* What sqlcommenter comments say, and the key of raw texts that leaves them out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "shim/probe/normalize.h"
#include "tests/unit/shim/normalize/guarded.h"

#define PARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static const struct {
    const char *sql, *traceparent, *tracestate, *call_site;
} examples[] = {
    {"SELECT 1", "", "", ""},
    {"SELECT 1 /* hello */", "", "", ""},
    {"SELECT 1 /*traceparent='" PARENT "'*/", PARENT, "", ""},
    {"SELECT 1 /*traceparent='" PARENT "'*/ ; ", PARENT, "", ""},
    {"SELECT 1; /*traceparent='" PARENT "'*/", PARENT, "", ""},
    {"/*traceparent='" PARENT "'*/ SELECT 1", PARENT, "", ""},
    {"/* traceparent = x */ SELECT 1", "", "", ""},
    {"SELECT 1 /*action='%2Fparam*d',controller='index',framework='spring',"
     "traceparent='" PARENT "',tracestate='congo%3Dt61rcWkgMzE%2Crojo%3D00f067aa0ba902b7'*/",
     PARENT, "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7",
     "controller=index action=/param*d framework=spring"},
    {"SELECT 1 /* route='%2Fpolls%201000' , application='a\\'b', file='c%27d' */", "", "",
     "route=/polls 1000 application=a'b file=c'd"},
    {"/*application='a',controller='c'*/ SELECT 1 /*traceparent='" PARENT "'*/", PARENT, "",
     "controller=c application=a"},
    {"SELECT 1 /*user='secret',password='x'*/", "", "", ""},
    {"SELECT 1 /*route='100%',file='%zz%4'*/", "", "", "route=100% file=%zz%4"},
    {"SELECT 1 /*route='a--b'*/", "", "", "route=a--b"},
    {"SELECT 1 /*route='a", "", "", ""},
    {"SELECT 1 /*route='a*/", "", "", ""},
    {"SELECT 1 /*route*/", "", "", ""},
    {"SELECT 1 /*route=a,file='b'*/", "", "", ""},
    {"SELECT 1 /*=,='',route=''*/", "", "", ""},
    {"SELECT 1 -- traceparent='" PARENT "'", "", "", ""},
    {"SELECT 1 /*route='a'*/ + 2", "", "", ""},
    {"SELECT 'x /*route=''a--b''*/", "", "", ""},
    {"/*route='a'*/", "", "", "route=a"},
    {"/**/", "", "", ""},
    {"/*/", "", "", ""},
    {"*/", "", "", ""},
};

static void read_exactly(const struct guarded *guarded, struct view sql, struct sql_comment *ret,
                         char *arena, size_t arena_size)
{
    sql_comment_read(guarded_copy(guarded, sql), arena, arena_size, ret);
    assert_true(ret->traceparent.length + ret->tracestate.length + ret->call_site.length <=
                arena_size);
}

static void test_read(void **state)
{
    struct guarded guarded = guarded_new(4096), arena = guarded_new(512);
    struct sql_comment comment;

    (void)state;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        struct view sql = view_from(examples[i].sql);
        for (size_t length = 0; length < sql.length; length++)
            read_exactly(&guarded, (struct view){sql.bytes, length}, &comment,
                         arena.map + arena.room - 300, 300);
        for (size_t room = 0; room < 300; room++)
            read_exactly(&guarded, sql, &comment, arena.map + arena.room - room, room);
        read_exactly(&guarded, sql, &comment, arena.map + arena.room - 300, 300);
        if (!view_equal(comment.traceparent, view_from(examples[i].traceparent)) ||
            !view_equal(comment.tracestate, view_from(examples[i].tracestate)) ||
            !view_equal(comment.call_site, view_from(examples[i].call_site)))
            fail_msg("%s\n%.*s\n%.*s\n%.*s", sql.bytes, (int)comment.traceparent.length,
                     comment.traceparent.bytes, (int)comment.tracestate.length,
                     comment.tracestate.bytes, (int)comment.call_site.length,
                     comment.call_site.bytes);
    }
    sql_comment_read((struct view){NULL, 0}, NULL, 0, &comment);
    assert_int_equal(comment.call_site.length, 0);
    guarded_free(&arena);
    guarded_free(&guarded);
}

static struct text_key key_of(const char *sql, bool *ret_commented)
{
    return text_key_of(view_from(sql), 42, ret_commented);
}

static bool keys_are_equal(const char *a, const char *b)
{
    bool is_commented;
    struct text_key one = key_of(a, &is_commented), other = key_of(b, &is_commented);

    return one.low == other.low && one.high == other.high;
}

static void test_equal_keys(void **state)
{
    static const char *const pairs[][2] = {
        {"SELECT 1", "SELECT 1 /* x */"},
        {"SELECT 1", " SELECT 1 ; "},
        {"SELECT 1", "/* x */ SELECT 1"},
        {"SELECT 1", "/* x */ SELECT 1 /* y */;"},
        {"SELECT 1 /* x */", "SELECT 1 /* y */"},
        {"SELECT 1 /*a='b--c'*/", "SELECT 1 /*a='b--d'*/"},
        {"SELECT '/* x */' /* y */", "SELECT '/* x */' /* z */"},
        {"SELECT a -- b /* c */", "SELECT a -- b /* d */"},
        {"SELECT 2*/* x */", "SELECT 2*/* y */"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        if (!keys_are_equal(pairs[i][0], pairs[i][1]))
            fail_msg("%s\n%s", pairs[i][0], pairs[i][1]);
}

static void test_unequal_keys(void **state)
{
    static const char *const pairs[][2] = {
        {"SELECT 1", "SELECT 2"},
        {"SELECT 1 /* x */ + 1", "SELECT 1 /* y */ + 1"},
        {"SELECT '/* x */'", "SELECT '/* y */'"},
        {"SELECT '/* a' -- */", "SELECT '/* b', c, 'x' -- */"},
        {"SELECT \"/* a\" -- */", "SELECT \"/* b\", c -- */"},
        {"SELECT $$/* a $$ -- */", "SELECT $$/* b $$, c -- */"},
        {"/* a */*b*/", "/* a */*c*/"},
        {"SELECT 1 /* a */*b*/", "SELECT 1 /* a */*c*/"},
        {"/* a /* b */ */ SELECT 1", "/* a /* c */ */ SELECT 1"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        if (keys_are_equal(pairs[i][0], pairs[i][1]))
            fail_msg("%s\n%s", pairs[i][0], pairs[i][1]);
}

static void test_key(void **state)
{
    struct guarded guarded = guarded_new(4096);
    bool is_commented;
    struct text_key one, other;

    (void)state;
    (void)key_of("SELECT 1", &is_commented);
    assert_false(is_commented);
    (void)key_of("SELECT 1 /* x */", &is_commented);
    assert_true(is_commented);
    (void)key_of("/* x */ SELECT 1", &is_commented);
    assert_true(is_commented);
    one = text_key_of(VIEW_LITERAL("SELECT 1"), 1, &is_commented);
    other = text_key_of(VIEW_LITERAL("SELECT 1"), 2, &is_commented);
    assert_true(one.low != other.low && one.high != other.high);
    (void)text_key_of((struct view){NULL, 0}, 1, &is_commented);
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++)
        for (size_t length = 0; length <= strlen(examples[i].sql); length++)
            (void)text_key_of(guarded_copy(&guarded, (struct view){examples[i].sql, length}), 1,
                              &is_commented);
    guarded_free(&guarded);
}

/* Texts of one key normalize to one fingerprint: over all short texts of the bytes that matter. */
static void test_keys_keep_fingerprints(void **state)
{
    static const char *const heads[] = {
        "a", "a ", "a*", "a/", "/* x */", "/* x *", "-- x\n", "a -", "a,", "(", "a;", "1.",
    };
    static const char *const insides[] = {
        "b", "", "*", "b='c'", "b='c--d'", "'", "--", "/", "$$", "\"", "b='c', d='e--'",
    };

    (void)state;
    for (size_t h = 0; h < sizeof(heads) / sizeof(heads[0]); h++) {
        for (size_t i = 0; i < sizeof(insides) / sizeof(insides[0]); i++) {
            char sql[2][128];
            struct normalized normalized[2];
            (void)snprintf(sql[0], sizeof(sql[0]), "%s/*%s*/", heads[h], insides[i]);
            (void)snprintf(sql[1], sizeof(sql[1]), "%s/* zz */", heads[h]);
            if (!keys_are_equal(sql[0], sql[1]))
                continue;
            for (int k = 0; k < 2; k++)
                normalize(view_from(sql[k]), 0, NULL, 0, &normalized[k]);
            if (normalized[0].fingerprint != normalized[1].fingerprint)
                fail_msg("%s\n%s", sql[0], sql[1]);
        }
    }
}

/* Two dashes are found wherever they stand: they make a comment doubtful that a string holds. */
static void test_two_dashes(void **state)
{
    (void)state;
    for (int before = 0; before < 20; before++) {
        for (int after = 0; after < 20; after++) {
            char one[96], other[96];
            (void)snprintf(one, sizeof(one), "SELECT '/*%.*s' --%.*s*/", before,
                           "-a-b-c-d-e-f-g-h-i-j", after, "-k-l-m-n-o-p-q-r-s-t");
            (void)snprintf(other, sizeof(other), "SELECT '/*%.*s', b --%.*s*/", before,
                           "-a-b-c-d-e-f-g-h-i-j", after, "-k-l-m-n-o-p-q-r-s-t");
            assert_false(keys_are_equal(one, other));
        }
    }
}

static void test_name_id(void **state)
{
    (void)state;
    assert_int_equal(name_id(VIEW_LITERAL("")), 0x2d06800538d394c2); /* XXH3-64 of nothing */
    assert_true(name_id(VIEW_LITERAL("a")) != name_id(VIEW_LITERAL("b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_equal_keys),
        cmocka_unit_test(test_unequal_keys),
        cmocka_unit_test(test_key),
        cmocka_unit_test(test_keys_keep_fingerprints),
        cmocka_unit_test(test_two_dashes),
        cmocka_unit_test(test_name_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
