/* The normalizer, the splitter and the reader of comments on any bytes. The first byte chooses the
 * options, the rest is the statement. What must hold besides not crashing:
 * - what a literal or a comment contains changes neither text nor fingerprint;
 * - a normalized text is its own normalized text;
 * - white space and comments around a statement change nothing;
 * - the statements of a string lie in it, one behind the other. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "shim/probe/lexer.h"
#include "shim/probe/normalize.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

struct run {
    struct normalized normalized;
    char text[NORMALIZE_TEXT_MAX];
};

static void run_on(struct view sql, uint32_t options, struct run *ret)
{
    normalize(sql, options, ret->text, sizeof(ret->text), &ret->normalized);
    if (ret->normalized.text_length > sizeof(ret->text) ||
        (ret->normalized.fingerprint == 0) != (ret->normalized.verb == VERB_EMPTY))
        abort();
}

static void expect_equal(const struct run *a, const struct run *b, const char *what)
{
    if (a->normalized.fingerprint == b->normalized.fingerprint &&
        a->normalized.verb == b->normalized.verb &&
        a->normalized.text_length == b->normalized.text_length &&
        memcmp(a->text, b->text, a->normalized.text_length) == 0)
        return;
    fprintf(stderr, "%s: <%.*s> and <%.*s>\n", what, (int)a->normalized.text_length, a->text,
            (int)b->normalized.text_length, b->text);
    abort();
}

static bool is_alphanumeric(char byte)
{
    return (byte >= '0' && byte <= '9') || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z');
}

/* Puts other contents into literals and comments of @sql without moving where they end. */
static void change_contents(struct view sql, bool backslashes, char *changed)
{
    struct lexer lexer = lexer_of(sql, backslashes);
    struct token token;

    lexer.wants_comments = true;
    do {
        lexer_next(&lexer, &token);
        char *at = changed + (token.bytes - sql.bytes);
        bool is_text = token.kind == TOKEN_COMMENT ||
                       (token.kind == TOKEN_STRING &&
                        (token.bytes[0] != '$' || (token.length > 1 && token.bytes[1] == '$')));
        for (size_t i = 2; is_text && i < token.length; i++)
            at[i] = is_alphanumeric(at[i]) ? 'z' : at[i];
        /* 0b14 is 0b1 and 4, and must not become 0b11. */
        bool is_number = token.kind == TOKEN_NUMBER &&
                         (token.bytes == sql.bytes || !is_alphanumeric(token.bytes[-1]));
        for (size_t i = 0; is_number && i < token.length; i++)
            at[i] = at[i] >= '2' && at[i] <= '9' ? '1' : at[i];
    } while (token.kind != TOKEN_END);
}

static void check_contents(struct view sql, uint32_t options, const struct run *is)
{
    static struct run other;
    char *CLEANUP(freep) changed = malloc(sql.length + 1);

    if (!changed)
        return;
    memcpy(changed, sql.bytes, sql.length);
    change_contents(sql, options & NORMALIZE_BACKSLASH_STRINGS, changed);
    run_on((struct view){changed, sql.length}, options, &other);
    expect_equal(is, &other, "a literal's or a comment's content shows");
}

static void check_again(uint32_t options, const struct run *is)
{
    static struct run again;

    if (is->normalized.flags & NORMALIZED_CUT)
        return;
    run_on((struct view){is->text, is->normalized.text_length}, options, &again);
    expect_equal(is, &again, "normalized twice");
}

static void check_around(struct view sql, uint32_t options, const struct run *is)
{
    static const char before[] = "\n /* $99 ' /* */ */-- '\n", after[] = "\n/* \" */ ;-- $$";
    static struct run around;
    size_t length = sizeof(before) - 1;
    char *CLEANUP(freep) longer = malloc(sql.length + sizeof(before) + sizeof(after));

    if (!longer || sql.length > NORMALIZE_INPUT_MAX / 2)
        return;
    memcpy(longer, before, length);
    memcpy(longer + length, sql.bytes, sql.length);
    length += sql.length;
    if (!(is->normalized.flags & NORMALIZED_MALFORMED)) {
        memcpy(longer + length, after, sizeof(after) - 1);
        length += sizeof(after) - 1;
    }
    run_on((struct view){longer, length}, options, &around);
    if (around.normalized.text_length && around.text[0] == ' ')
        abort();
    expect_equal(is, &around, "comments around it");
}

static void check_split(struct view sql, uint32_t options)
{
    struct statement_part part;
    size_t offset = 0, before = 0;
    const char *end = sql.bytes;
    char folded[64];

    while (statement_split_next(sql, options, &offset, &part)) {
        if (offset <= before || offset > sql.length || part.sql.length == 0 ||
            part.sql.bytes < end || part.sql.bytes + part.sql.length > sql.bytes + offset ||
            part.verb == VERB_EMPTY)
            abort();
        before = offset;
        end = part.sql.bytes + part.sql.length;
        if (statement_name_fold(part.name, folded, sizeof(folded)) > sizeof(folded))
            abort();
    }
}

static void check_comment(struct view sql)
{
    char arena[64];
    struct sql_comment comment;
    bool is_commented;

    sql_comment_read(sql, arena, sizeof(arena), &comment);
    if (comment.traceparent.length + comment.tracestate.length + comment.call_site.length >
        sizeof(arena))
        abort();
    (void)text_key_of(sql, 1, &is_commented);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct run is;
    struct view sql;
    uint32_t options;

    if (length == 0)
        return 0;
    options = bytes[0] & 15;
    /* A copy, so that the sanitizer sees a read before its first byte too. */
    char *CLEANUP(freep) copy = malloc(length);
    if (!copy)
        return 0;
    memcpy(copy, bytes + 1, length - 1);
    sql = (struct view){copy, length - 1};
    run_on(sql, options, &is);
    check_contents(sql, options, &is);
    check_again(options, &is);
    check_around(sql, options, &is);
    check_split(sql, options);
    check_comment(sql);
    return 0;
}
