/* Our lexer and normalizer against PostgreSQL's own scanner, over every text of a large corpus that
 * the scanner accepts: the same kinds and byte ranges of all tokens; and, with folding switched
 * off, the text and the fingerprint that follow from the scanner's tokens by TEXT.md alone.
 *
 * The corpus is generated from seeds, and the SQL that an installed PostgreSQL brings along is read
 * where it is present. Excepted, and tested by table in tests/unit/shim/normalize: U& forms, N'',
 * continuation across a comment; what version 16 brought, the scanner of 15 refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/cleanup.h"
#include "shim/probe/normalize.h"
#include "tests/contract/normalize_corpus.h"
#include "tests/contract/normalize_scanner.h"

enum {
    GENERATED = 20000, /* of each kind */
    KEEP_ALL = NORMALIZE_KEEP_LISTS | NORMALIZE_KEEP_SIGNS | NORMALIZE_KEEP_NAMES,
};

static struct {
    size_t texts, accepted, excepted, tokens;
} counts;

/* ---- tokens ---------------------------------------------------------------------------------- */

/* Behind an N the scanner sees a string of its own. */
static bool is_national(const struct token *token)
{
    return token->kind == TOKEN_STRING && (token->bytes[0] | 0x20) == 'n';
}

/* True if @text holds one of the excepted forms, by our lexer and by the scanner's. */
static bool is_excepted(const char *text, const struct scanned *scanned, size_t count)
{
    struct lexer lexer = lexer_of(view_from(text), false);
    struct token token;

    for (size_t i = 0; i < count; i++)
        if (scanned[i].is_excepted)
            return true;
    /* A string, line comments, a string: one string to the server, not to this scanner, which
     * tells of comments. */
    for (size_t i = 0; i + 2 < count; i++) {
        if (scanned[i].kind != TOKEN_STRING || scanned[i + 1].kind != TOKEN_COMMENT)
            continue;
        for (size_t next = i + 1; next < count; next++) {
            if (scanned[next].kind == TOKEN_STRING && text[scanned[next].begin] == '\'')
                return true;
            if (scanned[next].kind != TOKEN_COMMENT)
                break;
        }
    }
    do {
        lexer_next(&lexer, &token);
        if (is_national(&token))
            return true;
    } while (token.kind != TOKEN_END);
    return false;
}

static void check_tokens(const char *text, const struct scanned *scanned, size_t count)
{
    struct lexer lexer = lexer_of(view_from(text), false);
    struct token token;

    lexer.wants_comments = true;
    for (size_t i = 0; i <= count; i++) {
        lexer_next(&lexer, &token);
        if (i == count) {
            assert_int_equal(token.kind, TOKEN_END);
            return;
        }
        if (token.kind != scanned[i].kind || token.bytes != text + scanned[i].begin ||
            token.length != scanned[i].end - scanned[i].begin || token.unterminated)
            fail_msg("%s\ntoken %zu: ours is kind %d <%.*s>, the scanner's kind %d <%.*s>", text, i,
                     (int)token.kind, (int)token.length, token.bytes, (int)scanned[i].kind,
                     (int)(scanned[i].end - scanned[i].begin), text + scanned[i].begin);
    }
}

/* ---- text and fingerprint from the scanner's tokens ------------------------------------------ */

struct expected {
    char *text, *canonical;
    size_t text_length, canonical_length;
    unsigned long highest, next;
};

static bool is_identifier_byte(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '_' || byte == '$' || (byte & 0x80);
}

static void expect(struct expected *expected, const char *bytes, size_t length, bool spaced,
                   const char *canonical, size_t canonical_length)
{
    if (expected->text_length &&
        (spaced || (is_identifier_byte(expected->text[expected->text_length - 1]) &&
                    is_identifier_byte(bytes[0]))))
        expected->text[expected->text_length++] = ' ';
    memcpy(expected->text + expected->text_length, bytes, length);
    expected->text_length += length;
    for (size_t i = 0; i < canonical_length; i++) {
        char byte = canonical[i];
        bool is_lowered = canonical[0] != '"' && byte >= 'A' && byte <= 'Z';
        expected->canonical[expected->canonical_length++] = (char)(is_lowered ? byte | 0x20 : byte);
    }
    expected->canonical[expected->canonical_length++] = '\0';
}

static void expect_token(struct expected *expected, const char *text, const struct scanned *token,
                         bool spaced)
{
    char number[32];

    if (token->kind == TOKEN_STRING || token->kind == TOKEN_NUMBER) {
        int length = snprintf(number, sizeof(number), "$%lu", expected->next++);
        expect(expected, number, (size_t)length, spaced, "$", 1);
    } else if (token->kind == TOKEN_PARAMETER) {
        expect(expected, text + token->begin, token->end - token->begin, spaced, "$", 1);
    } else {
        spaced = spaced && !(token->kind == TOKEN_SELF && text[token->begin] == ';');
        expect(expected, text + token->begin, token->end - token->begin, spaced,
               text + token->begin, token->end - token->begin);
    }
}

static void expect_all(struct expected *expected, const char *text, const struct scanned *scanned,
                       size_t count)
{
    size_t last = 0; /* behind what is no trailing ';' */

    for (size_t i = 0; i < count; i++) {
        unsigned long number = strtoul(text + scanned[i].begin + 1, NULL, 10);
        if (scanned[i].kind == TOKEN_PARAMETER && number > expected->highest && number <= INT32_MAX)
            expected->highest = number;
        if (scanned[i].kind != TOKEN_COMMENT && text[scanned[i].begin] != ';')
            last = i + 1;
    }
    expected->next = expected->highest + 1;
    for (size_t i = 0; i < last; i++) {
        bool spaced = scanned[i].begin > 0 && (i == 0 || scanned[i].begin > scanned[i - 1].end ||
                                               scanned[i - 1].kind == TOKEN_COMMENT);
        if (scanned[i].kind != TOKEN_COMMENT)
            expect_token(expected, text, &scanned[i], spaced);
    }
}

static void check_normalized(const char *text, const struct scanned *scanned, size_t count)
{
    size_t length = strlen(text), room = length * 8 + 64;
    char *CLEANUP(freep) own = malloc(room), *CLEANUP(freep) expected_text = malloc(room);
    char *CLEANUP(freep) canonical = malloc(room);
    struct expected expected = {.text = expected_text, .canonical = canonical};
    struct normalized normalized;
    uint64_t hash;

    assert_true(own && expected_text && canonical);
    if (length > NORMALIZE_INPUT_MAX)
        return;
    expect_all(&expected, text, scanned, count);
    normalize((struct view){text, length}, KEEP_ALL, own, room, &normalized);
    assert_int_equal(normalized.flags, 0);
    if (normalized.text_length != expected.text_length ||
        memcmp(own, expected.text, expected.text_length) != 0)
        fail_msg("%s\nis  %.*s\nnot %.*s", text, (int)normalized.text_length, own,
                 (int)expected.text_length, expected.text);
    hash = XXH3_64bits(canonical, expected.canonical_length);
    assert_int_equal(normalized.fingerprint, expected.canonical_length ? hash ? hash : 1 : 0);
}

static void check_text(const char *text)
{
    struct scanned *CLEANUP(freep) scanned = NULL;
    size_t count = 0;
    int r = scanner_scan(text, &scanned, &count);

    counts.texts++;
    if (r == -EINVAL)
        return;
    assert_int_equal(r, 0);
    if (is_excepted(text, scanned, count)) {
        counts.excepted++;
        return;
    }
    counts.accepted++;
    counts.tokens += count;
    check_tokens(text, scanned, count);
    check_normalized(text, scanned, count);
}

static void say(const char *corpus)
{
    print_message("%s: %zu texts, %zu accepted, %zu excepted, %zu tokens\n", corpus, counts.texts,
                  counts.accepted, counts.excepted, counts.tokens);
}

/* ---- corpora --------------------------------------------------------------------------------- */

static void generate(void (*make)(struct corpus *), uint64_t seed)
{
    static struct corpus corpus;

    memset(&counts, 0, sizeof(counts));
    (void)corpus_begin(&corpus, seed);
    for (int i = 0; i < GENERATED; i++) {
        make(&corpus);
        check_text(corpus.text);
    }
}

static void test_statements(void **state)
{
    (void)state;
    generate(corpus_statement, 1);
    say("statements");
    assert_true(counts.accepted > GENERATED * 7 / 10);
}

static void test_tokens(void **state)
{
    (void)state;
    generate(corpus_tokens, 2);
    say("tokens");
    assert_true(counts.accepted > GENERATED / 3);
}

static int check_file(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    FILE *file;
    char *text;
    size_t length = strlen(path), offset = 0;
    struct statement_part part;

    (void)ftw;
    if (type != FTW_F || length < 4 || strcmp(path + length - 4, ".sql") != 0)
        return 0;
    file = fopen(path, "r");
    if (!file)
        return 0;
    text = calloc(1, (size_t)status->st_size + 1);
    assert_non_null(text);
    length = fread(text, 1, (size_t)status->st_size, file);
    (void)fclose(file); /* only read from */
    text[length] = '\0';
    check_text(text);
    while (statement_split_next((struct view){text, strlen(text)}, 0, &offset, &part)) {
        char *statement = strndup(part.sql.bytes, part.sql.length);
        assert_non_null(statement);
        check_text(statement);
        free(statement);
    }
    free(text);
    return 0;
}

static void test_installed(void **state)
{
    (void)state;
    memset(&counts, 0, sizeof(counts));
    (void)nftw("/usr/share/postgresql", check_file, 16, FTW_PHYS);
    say("installed");
    if (counts.texts == 0)
        skip();
    assert_true(counts.accepted > counts.texts * 9 / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statements),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_installed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
