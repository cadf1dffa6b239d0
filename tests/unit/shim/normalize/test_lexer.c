/* PostgreSQL's lexical forms, one by one: kinds and bytes of the tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "shim/probe/keyword.h"
#include "shim/probe/lexer.h"
#include "tests/unit/shim/normalize/guarded.h"

/* A letter a kind, as the tables write them. */
static const char kinds[] = {
    [TOKEN_END] = 'z',      [TOKEN_IDENTIFIER] = 'i', [TOKEN_QUOTED_IDENTIFIER] = 'q',
    [TOKEN_STRING] = 's',   [TOKEN_NUMBER] = 'n',     [TOKEN_PARAMETER] = 'p',
    [TOKEN_OPERATOR] = 'o', [TOKEN_SELF] = 'c',       [TOKEN_COMMENT] = '-',
    [TOKEN_OTHER] = '?',
};

struct example {
    const char *text;
    const char *tokens; /* kind, bytes, newline; of each */
};

static const struct example strings[] = {
    {"'a'", "s'a'\n"},
    {"''", "s''\n"},
    {"'it''s'", "s'it''s'\n"},
    {"''''", "s''''\n"},
    {"'a' 'b'", "s'a'\ns'b'\n"},
    {"'a\\'", "s'a\\'\n"},
    {"'a\\' c'", "s'a\\'\nic\ns!'\n"},
    {"e'a\\'b'", "se'a\\'b'\n"},
    {"E'\\\\' x", "sE'\\\\'\nix\n"},
    {"E'a''b\\''", "sE'a''b\\''\n"},
    {"E'\\n\\x41\\101\\u0041\\U00000041'", "sE'\\n\\x41\\101\\u0041\\U00000041'\n"},
    {"u&'d\\0061t'", "su&'d\\0061t'\n"},
    {"U&'d!0061''' UESCAPE '!'", "sU&'d!0061'''\niUESCAPE\ns'!'\n"},
    {"U&'\\' x", "sU&'\\'\nix\n"},
    {"U & 'a'", "iU\no&\ns'a'\n"},
    {"u&1", "iu\no&\nn1\n"},
    {"n'a''b'", "sn'a''b'\n"},
    {"N'a'", "sN'a'\n"},
    {"N 'a'", "iN\ns'a'\n"},
    {"B'0101'", "sB'0101'\n"},
    {"b'01''10'", "sb'01'\ns'10'\n"},
    {"x'1F'", "sx'1F'\n"},
    {"X'1f'::int", "sX'1f'\nc::\niint\n"},
    {"te'a'", "ite\ns'a'\n"},
    {"_e'a'", "i_e\ns'a'\n"},
    {"1'a'", "n1\ns'a'\n"},
    {"'a'b'c'", "s'a'\nsb'c'\n"},
};

static const struct example continuations[] = {
    {"'a'\n'b'", "s'a'\n'b'\n"},
    {"'a' \t\r \f'b'", "s'a' \t\r \f'b'\n"},
    {"'a'\n\n  'b'  \n'c' 'd'", "s'a'\n\n  'b'  \n'c'\ns'd'\n"},
    {"'a' -- x\n'b'", "s'a' -- x\n'b'\n"},
    {"'a' -- '\n -- '\n 'b'", "s'a' -- '\n -- '\n 'b'\n"},
    {"'a'\n-- x\n'b'", "s'a'\n-- x\n'b'\n"},
    {"'a' -- x", "s'a'\n"},
    {"'a'\n/* x */'b'", "s'a'\ns'b'\n"},
    {"'a' - 'b'", "s'a'\no-\ns'b'\n"},
    {"E'a\\''\n'b\\''", "sE'a\\''\n'b\\''\n"},
    {"'a'\n'b\\' c", "s'a'\n'b\\'\nic\n"},
    {"'a'\nE'b'", "s'a'\nsE'b'\n"},
    {"X'1'\n'F'", "sX'1'\n'F'\n"},
    {"U&'a'\n'b'", "sU&'a'\n'b'\n"},
    {"$$a$$\n'b'", "s$$a$$\ns'b'\n"},
    {"'a'\n$$b$$", "s'a'\ns$$b$$\n"},
    {"\"a\"\n\"b\"", "q\"a\"\nq\"b\"\n"},
};

static const struct example dollars[] = {
    {"$$a$$", "s$$a$$\n"},
    {"$$$$", "s$$$$\n"},
    {"$$a'b\"c--d/*e$$f", "s$$a'b\"c--d/*e$$\nif\n"},
    {"$a$ $$ $b$ $a $a$ x", "s$a$ $$ $b$ $a $a$\nix\n"},
    {"$a1_$x$a1_$", "s$a1_$x$a1_$\n"},
    {"$A$x$a$y$A$", "s$A$x$a$y$A$\n"},
    {"$a$x$ab$y$a$", "s$a$x$ab$y$a$\n"},
    {"$a$x$b$a$", "s$a$x$b$a$\n"},
    {"$\xc3\xa4$x$\xc3\xa4$", "s$\xc3\xa4$x$\xc3\xa4$\n"},
    {"a$$b$$", "ia$$b$$\n"},
    {"1$$b$$", "n1\ns$$b$$\n"},
    {"$1$$b$$", "p$1\ns$$b$$\n"},
    {"$1a$b", "p$1\nia$b\n"},
    {"$ 1", "?$\nn1\n"},
    {"$a b", "?$\nia\nib\n"},
    {"$a-$b$", "?$\nia\no-\ns!$b$\n"},
    {"$", "?$\n"},
    {"$12 $3", "p$12\np$3\n"},
    {"a$1", "ia$1\n"},
};

static const struct example numbers[] = {
    {"0", "n0\n"},
    {"42", "n42\n"},
    {"3.5", "n3.5\n"},
    {"4.", "n4.\n"},
    {".001", "n.001\n"},
    {"5e2", "n5e2\n"},
    {"1.925e-3", "n1.925e-3\n"},
    {"1.e+3", "n1.e+3\n"},
    {".5E10", "n.5E10\n"},
    {"1e", "n1\nie\n"},
    {"1e+", "n1\nie\no+\n"},
    {"1..10", "n1\nc..\nn10\n"},
    {"1.5.2", "n1.5\nn.2\n"},
    {"1 . 5", "n1\nc.\nn5\n"},
    {"0x1F", "n0x1F\n"},
    {"0XdeadBEEF", "n0XdeadBEEF\n"},
    {"0o17", "n0o17\n"},
    {"0O777", "n0O777\n"},
    {"0b101", "n0b101\n"},
    {"0B_1_0", "n0B_1_0\n"},
    {"0x_1F", "n0x_1F\n"},
    {"1_000_000", "n1_000_000\n"},
    {"1_000.000_1e1_0", "n1_000.000_1e1_0\n"},
    {"1__0", "n1\ni__0\n"},
    {"1_", "n1\ni_\n"},
    {"0x", "n0\nix\n"},
    {"0xg", "n0\nixg\n"},
    {"0o8", "n0\nio8\n"},
    {"0b2", "n0\nib2\n"},
    {"1.", "n1.\n"},
    {"a.5", "ia\nn.5\n"},
    {"a1.b2", "ia1\nc.\nib2\n"},
    {"a[1:2]", "ia\nc[\nn1\nc:\nn2\nc]\n"},
};

static const struct example names[] = {
    {"abc _x \xc3\xa4\xff z9$_", "iabc\ni_x\ni\xc3\xa4\xff\niz9$_\n"},
    {"\"a b\"", "q\"a b\"\n"},
    {"\"a\"\"b\"", "q\"a\"\"b\"\n"},
    {"\"\"", "q\"\"\n"},
    {"\"a'b--/*\"c", "q\"a'b--/*\"\nic\n"},
    {"U&\"d\\0061\"", "qU&\"d\\0061\"\n"},
    {"u&\"d!0061\" UESCAPE '!'", "qu&\"d!0061\"\niUESCAPE\ns'!'\n"},
    {"e\"a\"", "ie\nq\"a\"\n"},
    {"a.\"B\".c", "ia\nc.\nq\"B\"\nc.\nic\n"},
};

static const struct example operators[] = {
    {"a ? b ?| c ?& d", "ia\no?\nib\no?|\nic\no?&\nid\n"},
    {"a@>b<@c", "ia\no@>\nib\no<@\nic\n"},
    {"a->'b'->>'c'#>d#>>e", "ia\no->\ns'b'\no->>\ns'c'\no#>\nid\no#>>\nie\n"},
    {"a:=b=>c", "ia\no:=\nib\no=>\nic\n"},
    {"a::b:c", "ia\nc::\nib\nc:\nic\n"},
    {"a<>b!=c<=d>=e", "ia\no<>\nib\no!=\nic\no<=\nid\no>=\nie\n"},
    {"a=-1", "ia\no=\no-\nn1\n"},
    {"a*-+1", "ia\no*\no-\no+\nn1\n"},
    {"a@-1", "ia\no@-\nn1\n"},
    {"a+-b", "ia\no+\no-\nib\n"},
    {"a||-1", "ia\no||-\nn1\n"},
    {"a^-1", "ia\no^-\nn1\n"},
    {"|/25 ||/27 @-5 !!3", "o|/\nn25\no||/\nn27\no@-\nn5\no!!\nn3\n"},
    {"~~* !~~ ~*", "o~~*\no!~~\no~*\n"},
    {"a/b", "ia\no/\nib\n"},
    {"a+/* c */b", "ia\no+\nib\n"},
    {"a+-- c\nb", "ia\no+\nib\n"},
    {"a*/*c*/b", "ia\no*\nib\n"},
    {"a%b%%c", "ia\no%\nib\no%%\nic\n"},
    {"a`b", "ia\no`\nib\n"},
    {",()[].;:", "c,\nc(\nc)\nc[\nc]\nc.\nc;\nc:\n"},
    {"-- a", ""},
    {"---1\n1", "n1\n"},
    {"- -1", "o-\no-\nn1\n"},
    {"a{b}\\c", "ia\n?{\nib\n?}\n?\\\nic\n"},
};

static const struct example comments[] = {
    {"a -- b\nc", "ia\n--- b\nic\n"},
    {"a -- b\rc", "ia\n--- b\nic\n"},
    {"--", "---\n"},
    {"/**/", "-/**/\n"},
    {"/***/", "-/***/\n"},
    {"/*/ */", "-/*/ */\n"},
    {"/* a /* b */ c */d", "-/* a /* b */ c */\nid\n"},
    {"/*/**/*/d", "-/*/**/*/\nid\n"},
    {"/* -- */ a", "-/* -- */\nia\n"},
    {"/* ' \" $$ */ a", "-/* ' \" $$ */\nia\n"},
    {"a/*b*/c", "ia\n-/*b*/\nic\n"},
    {"/* a */*/ b", "-/* a */\no*/\nib\n"},
};

static const struct example backslash_strings[] = {
    {"'a\\'b'", "s'a\\'b'\n"},      {"'\\\\'x", "s'\\\\'\nix\n"},
    {"n'a\\'b'", "sn'a\\'b'\n"},    {"'a'\n'\\'b'", "s'a'\n'\\'b'\n"},
    {"\"a\\\"b", "q\"a\\\"\nib\n"}, {"$$\\$$", "s$$\\$$\n"},
    {"B'\\'", "sB'\\'\n"},
};

/* Unterminated tokens are marked with ! behind their kind. */
static const struct example unterminated[] = {
    {"'abc", "s!'abc\n"},         {"'abc''", "s!'abc''\n"},   {"'a'\n'b", "s!'a'\n'b\n"},
    {"E'abc\\'", "s!E'abc\\'\n"}, {"E'abc\\", "s!E'abc\\\n"}, {"U&'a", "s!U&'a\n"},
    {"B'1", "s!B'1\n"},           {"X'", "s!X'\n"},           {"N'", "s!N'\n"},
    {"$$a$", "s!$$a$\n"},         {"$a$x$a", "s!$a$x$a\n"},   {"\"a", "q!\"a\n"},
    {"\"a\"\"", "q!\"a\"\"\n"},   {"U&\"a", "q!U&\"a\n"},     {"a /* b", "ia\nz!\n"},
    {"a /* /* b */", "ia\nz!\n"},
};

static void walk(struct view sql, bool backslashes, bool wants_comments, char *ret)
{
    struct lexer lexer = lexer_of(sql, backslashes);
    struct token token;

    lexer.wants_comments = wants_comments;
    do {
        lexer_next(&lexer, &token);
        if (token.kind == TOKEN_END && !token.unterminated)
            break;
        ret += sprintf(ret, "%c%s%.*s\n", kinds[token.kind], token.unterminated ? "!" : "",
                       (int)token.length, token.bytes);
    } while (token.kind != TOKEN_END);
    *ret = '\0';
}

static void check(const struct example *examples, size_t count, bool backslashes,
                  bool wants_comments)
{
    struct guarded guarded = guarded_new(4096);
    char tokens[8192];

    for (size_t i = 0; i < count; i++) {
        struct view sql = view_from(examples[i].text);
        for (size_t length = 0; length < sql.length; length++)
            walk(guarded_copy(&guarded, (struct view){sql.bytes, length}), backslashes,
                 wants_comments, tokens);
        walk(guarded_copy(&guarded, sql), backslashes, wants_comments, tokens);
        if (strcmp(tokens, examples[i].tokens) != 0)
            fail_msg("%s\nis\n%snot\n%s", sql.bytes, tokens, examples[i].tokens);
    }
    guarded_free(&guarded);
}

#define CHECK(table, backslashes, wants_comments)                                                  \
    check(table, sizeof(table) / sizeof(table[0]), backslashes, wants_comments)

static void test_strings(void **state)
{
    (void)state;
    CHECK(strings, false, false);
}

static void test_continuations(void **state)
{
    (void)state;
    CHECK(continuations, false, false);
}

static void test_dollars(void **state)
{
    (void)state;
    CHECK(dollars, false, false);
}

static void test_numbers(void **state)
{
    (void)state;
    CHECK(numbers, false, false);
}

static void test_names(void **state)
{
    (void)state;
    CHECK(names, false, false);
}

static void test_operators(void **state)
{
    (void)state;
    CHECK(operators, false, false);
}

static void test_comments(void **state)
{
    (void)state;
    CHECK(comments, false, true);
}

static void test_backslash_strings(void **state)
{
    (void)state;
    CHECK(backslash_strings, true, false);
}

static void test_unterminated(void **state)
{
    (void)state;
    CHECK(unterminated, false, false);
}

/* Whatever the bytes: tokens follow each other without a gap that is not white space, and end. */
static void test_every_byte(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 256; first++) {
        for (unsigned second = 0; second < 256; second++) {
            const char bytes[] = {'x', ' ', (char)first, (char)second, ' ', 'y'};
            struct lexer lexer = lexer_of((struct view){bytes, sizeof(bytes)}, false);
            struct token token;
            const char *at = bytes;

            lexer.wants_comments = true;
            for (;;) {
                lexer_next(&lexer, &token);
                for (; at < token.bytes; at++)
                    assert_non_null(strchr(" \t\n\r\f\v", *at));
                assert_ptr_equal(at, token.bytes);
                if (token.kind == TOKEN_END)
                    break;
                assert_true(token.length > 0);
                at += token.length;
            }
            assert_ptr_equal(at, bytes + sizeof(bytes));
        }
    }
}

static void test_token_is(void **state)
{
    struct token token = {.kind = TOKEN_IDENTIFIER, .bytes = "SeLect", .length = 6};

    (void)state;
    assert_true(token_is(&token, "select"));
    assert_false(token_is(&token, "selec"));
    assert_false(token_is(&token, "selects"));
    token.kind = TOKEN_QUOTED_IDENTIFIER;
    assert_false(token_is(&token, "select"));
}

static unsigned keyword_bits(const char *text)
{
    struct lexer lexer = lexer_of(view_from(text), false);
    struct token token;

    lexer_next(&lexer, &token);
    return keyword_of(&token);
}

static void test_keywords(void **state)
{
    static const char *const before_operand[] = {
        "all",     "and",       "as",      "asymmetric", "between",  "both",      "by",
        "case",    "check",     "default", "distinct",   "do",       "else",      "except",
        "fetch",   "for",       "from",    "having",     "ilike",    "IN",        "intersect",
        "leading", "like",      "limit",   "not",        "offset",   "on",        "or",
        "return",  "RETURNING", "select",  "similar",    "some",     "symmetric", "then",
        "to",      "trailing",  "union",   "using",      "variadic", "when",      "Where",
    };
    static const char *const none[] = {
        "a",   "z",      "zz",  "_in",    "int", "i", "selec", "selects",
        "nul", "\"in\"", "end", "\xc3in", "{",   "5", "",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(before_operand) / sizeof(before_operand[0]); i++)
        assert_true(keyword_bits(before_operand[i]) & KEYWORD_BEFORE_OPERAND);
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        assert_int_equal(keyword_bits(none[i]), 0);
    assert_int_equal(keyword_bits("in"), KEYWORD_IN | KEYWORD_BEFORE_OPERAND);
    assert_int_equal(keyword_bits("Values"), KEYWORD_VALUES);
    assert_int_equal(keyword_bits("array"), KEYWORD_ARRAY);
    assert_int_equal(keyword_bits("TRUE"), KEYWORD_CONSTANT);
    assert_int_equal(keyword_bits("false"), KEYWORD_CONSTANT);
    assert_int_equal(keyword_bits("Null"), KEYWORD_CONSTANT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings),      cmocka_unit_test(test_continuations),
        cmocka_unit_test(test_dollars),      cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_names),        cmocka_unit_test(test_operators),
        cmocka_unit_test(test_comments),     cmocka_unit_test(test_backslash_strings),
        cmocka_unit_test(test_unterminated), cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_token_is),     cmocka_unit_test(test_keywords),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
