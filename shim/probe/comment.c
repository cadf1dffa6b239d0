/* sqlcommenter's comments, and the key of raw texts that leaves them out.
 *
 * Only a comment that begins or ends the statement is looked at, so that finding it costs the same
 * whatever stands between. The end is found from behind: the text, but for white space and ';',
 * ends in a comment's close, and after the last opening no other close comes before. Why this is
 * safe: the lexer's state where that opening stands depends on the bytes before it alone. In the
 * ordinary state the rest is a comment, and in a line comment it is swallowed. Inside a literal or
 * a quoted name the rest may end it; then the statement ends in an operator made of the closing
 * bytes, which no server accepts, or in a line comment, which begins with -- behind the opening.
 * Inside a block comment the rest ends nothing, unless the opening shares its slash with a close
 * before it. The two cases in which a text that a server accepts could be misread, -- inside and *
 * before, are put to the lexer. */
#include "shim/probe/lexer.h"
#include "shim/probe/normalize.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

static bool is_space(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static struct view trim(struct view sql)
{
    while (sql.length && is_space(sql.bytes[0])) {
        sql.bytes++;
        sql.length--;
    }
    while (sql.length && (is_space(sql.bytes[sql.length - 1]) || sql.bytes[sql.length - 1] == ';'))
        sql.length--;
    return sql;
}

static bool begins(struct view text, size_t at, const char *two)
{
    return text.length >= 2 && at <= text.length - 2 && text.bytes[at] == two[0] &&
           text.bytes[at + 1] == two[1];
}

/* Where the two bytes stand in @text at or behind @at; its length if nowhere. */
static size_t find_pair(struct view text, size_t at, const char *two)
{
    while (at < text.length) {
        const char *found = memchr(text.bytes + at, two[0], text.length - at);
        if (!found)
            break;
        at = (size_t)(found - text.bytes);
        if (begins(text, at, two))
            return at;
        at++;
    }
    return text.length;
}

/* Is a comment what begins at @open, be the setting of backslashes what it may? */
static bool is_comment_at(struct view sql, size_t open, bool backslash_strings)
{
    struct lexer lexer = lexer_of(sql, backslash_strings);
    struct token token;

    lexer.wants_comments = true;
    do
        lexer_next(&lexer, &token);
    while (token.kind != TOKEN_END && token.bytes < sql.bytes + open);
    return token.kind == TOKEN_COMMENT && token.bytes == sql.bytes + open;
}

/* Eight places at a time: the dashes of a traceparent are many, and alone. */
static bool has_two_dashes(struct view text)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    size_t at = 0;

    for (; text.length - at > sizeof(uint64_t); at += sizeof(uint64_t)) {
        uint64_t first, second, neither;
        memcpy(&first, text.bytes + at, sizeof(first));
        memcpy(&second, text.bytes + at + 1, sizeof(second));
        neither = (first ^ ones * '-') | (second ^ ones * '-'); /* a byte of 0: both are dashes */
        if ((neither - ones) & ~neither & ones * 0x80)
            return true;
    }
    for (; at < text.length; at++) {
        if (begins(text, at, "--"))
            return true;
    }
    return false;
}

/* The cases of this file's head that bytes alone do not tell. */
static bool is_doubtful(struct view sql, size_t open, struct view inside)
{
    return (open > 0 && sql.bytes[open - 1] == '*') || has_two_dashes(inside);
}

/* The last opening before @close with no other close between; false if there is none. */
static bool find_opening(struct view sql, size_t close, size_t *ret)
{
    const char *slash = sql.bytes + close;

    /* Values are URL-encoded, so slashes are few. */
    while ((slash = memrchr(sql.bytes, '/', (size_t)(slash - sql.bytes)))) {
        *ret = (size_t)(slash - sql.bytes);
        if (*ret + 2 <= close && slash[1] == '*')
            return true;
        if (*ret > 0 && slash[-1] == '*')
            return false;
    }
    return false;
}

/* Takes a comment off the end of trimmed @sql; *ret is what stands inside. */
static bool take_last_comment(struct view *sql, struct view *ret)
{
    size_t close, open;

    if (sql->length < 4 || !begins(*sql, sql->length - 2, "*/"))
        return false;
    close = sql->length - 2;
    if (!find_opening(*sql, close, &open))
        return false;
    *ret = (struct view){sql->bytes + open + 2, close - open - 2};
    if (is_doubtful(*sql, open, *ret) &&
        !(is_comment_at(*sql, open, false) && is_comment_at(*sql, open, true)))
        return false;
    sql->length = open;
    *sql = trim(*sql);
    return true;
}

/* Takes a comment off the beginning of trimmed @sql, where a lexer is in its ordinary state. */
static bool take_first_comment(struct view *sql, struct view *ret)
{
    size_t close;

    if (!begins(*sql, 0, "/*"))
        return false;
    close = find_pair(*sql, 2, "*/");
    *ret = (struct view){sql->bytes + 2, close - 2};
    /* Unterminated, or nested. */
    if (close == sql->length ||
        find_pair((struct view){ret->bytes, ret->length + 1}, 0, "/*") <= ret->length)
        return false;
    *sql = trim((struct view){sql->bytes + close + 2, sql->length - close - 2});
    return true;
}

struct text_key text_key_of(struct view sql, uint64_t seed, bool *ret_commented)
{
    struct view comment;
    bool is_first, is_last;

    if (!sql.bytes)
        sql = VIEW_LITERAL("");
    sql = trim(sql);
    is_last = take_last_comment(&sql, &comment);
    is_first = take_first_comment(&sql, &comment);
    *ret_commented = is_first || is_last;
    XXH128_hash_t hash = XXH3_128bits_withSeed(sql.bytes, sql.length, seed);
    return (struct text_key){hash.low64, hash.high64};
}

uint64_t name_id(struct view text)
{
    uint64_t hash = XXH3_64bits(text.bytes, text.length);
    return hash ? hash : 1;
}

/* ---- sqlcommenter --------------------------------------------------------------------------- */

struct arena {
    char *at;
    size_t left;
};

static int hex_digit(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte = (char)(byte | 0x20);
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* Decodes one byte of a quoted, URL-encoded value and moves *offset; bad escapes stand as they are.
 */
static char decode_byte(struct view value, size_t *offset)
{
    size_t at = (*offset)++;
    char byte = value.bytes[at];

    if (byte == '\\' && at + 1 < value.length)
        return value.bytes[(*offset)++];
    if (byte == '%' && value.length - at > 2) {
        int high = hex_digit(value.bytes[at + 1]), low = hex_digit(value.bytes[at + 2]);
        if (high >= 0 && low >= 0) {
            *offset += 2;
            return (char)(high * 16 + low);
        }
    }
    return byte;
}

/* Appends @part if it fits. */
static void append(struct arena *arena, struct view *joined, struct view part)
{
    if (part.length > arena->left)
        return;
    memcpy(arena->at, part.bytes, part.length);
    arena->at += part.length;
    arena->left -= part.length;
    joined->length += part.length;
}

/* Appends the decoded value; what does not fit is left out whole. */
static struct view decode(struct arena *arena, struct view value)
{
    struct view decoded = {arena->at, 0};

    if (!memchr(value.bytes, '%', value.length) && !memchr(value.bytes, '\\', value.length)) {
        if (value.length > arena->left)
            return (struct view){NULL, 0};
        append(arena, &decoded, value);
        return decoded;
    }
    for (size_t offset = 0; offset < value.length;) {
        if (decoded.length == arena->left)
            return (struct view){NULL, 0};
        arena->at[decoded.length++] = decode_byte(value, &offset);
    }
    arena->at += decoded.length;
    arena->left -= decoded.length;
    return decoded;
}

struct pair {
    struct view key, value; /* as written */
};

/* The next quote at or behind @at that no backslash stands before; not below the length if none. */
static size_t find_quote(struct view comment, size_t at)
{
    const char *quote = memchr(comment.bytes + at, '\'', comment.length - at);

    if (!quote)
        return comment.length;
    if (!memchr(comment.bytes + at, '\\', (size_t)(quote - comment.bytes) - at))
        return (size_t)(quote - comment.bytes);
    while (at < comment.length && comment.bytes[at] != '\'')
        at += comment.bytes[at] == '\\' && comment.length - at > 1 ? 2 : 1;
    return at;
}

/* The next key='value' of @comment at *offset. */
static bool pair_next(struct view comment, size_t *offset, struct pair *ret)
{
    size_t at = *offset, begin;

    while (at < comment.length && (is_space(comment.bytes[at]) || comment.bytes[at] == ','))
        at++;
    begin = at;
    while (at < comment.length && comment.bytes[at] != '=' && comment.bytes[at] != ',')
        at++;
    ret->key = (struct view){comment.bytes + begin, at - begin};
    while (ret->key.length && is_space(ret->key.bytes[ret->key.length - 1]))
        ret->key.length--;
    if (comment.length - at < 2 || comment.bytes[at] != '=' || comment.bytes[at + 1] != '\'')
        return false;
    at += 2;
    begin = at;
    at = find_quote(comment, at);
    if (at >= comment.length)
        return false;
    ret->value = (struct view){comment.bytes + begin, at - begin};
    *offset = at + 1;
    return true;
}

static const struct view call_site_keys[] = {
    {"route", 5},     {"controller", 10},  {"action", 6},
    {"framework", 9}, {"application", 11}, {"file", 4},
};
enum { CALL_SITE_KEYS = sizeof(call_site_keys) / sizeof(call_site_keys[0]) };

static void read_pairs(struct view comment, struct arena *arena, struct sql_comment *ret,
                       struct view call_site[CALL_SITE_KEYS])
{
    struct pair pair;
    size_t offset = 0;

    while (pair_next(comment, &offset, &pair)) {
        if (pair.key.length == 0)
            continue;
        if (view_equal(pair.key, VIEW_LITERAL("traceparent")))
            ret->traceparent = decode(arena, pair.value);
        else if (view_equal(pair.key, VIEW_LITERAL("tracestate")))
            ret->tracestate = decode(arena, pair.value);
        for (size_t i = 0; i < CALL_SITE_KEYS; i++) {
            if (pair.key.bytes[0] == call_site_keys[i].bytes[0] &&
                view_equal(pair.key, call_site_keys[i]))
                call_site[i] = pair.value;
        }
    }
}

/* In the order of the keys above, whatever the comment's, so that equal sites have equal names. */
static struct view join_call_site(struct arena *arena, const struct view parts[CALL_SITE_KEYS])
{
    struct view joined = {arena->at, 0};

    for (size_t i = 0; i < CALL_SITE_KEYS; i++) {
        if (!parts[i].length || call_site_keys[i].length + parts[i].length + 2 > arena->left)
            continue;
        if (joined.length)
            append(arena, &joined, VIEW_LITERAL(" "));
        append(arena, &joined, call_site_keys[i]);
        append(arena, &joined, VIEW_LITERAL("="));
        joined.length += decode(arena, parts[i]).length;
    }
    return joined;
}

void sql_comment_read(struct view sql, char *arena_bytes, size_t arena_size,
                      struct sql_comment *ret)
{
    struct arena arena = {arena_bytes, arena_size};
    struct view comment, call_site[CALL_SITE_KEYS] = {{NULL, 0}};

    *ret = (struct sql_comment){{NULL, 0}, {NULL, 0}, {NULL, 0}};
    if (!sql.bytes)
        return;
    sql = trim(sql);
    if (take_last_comment(&sql, &comment))
        read_pairs(comment, &arena, ret, call_site);
    if (take_first_comment(&sql, &comment))
        read_pairs(comment, &arena, ret, call_site);
    ret->call_site = join_call_site(&arena, call_site);
}
