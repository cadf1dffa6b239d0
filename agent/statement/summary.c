/* The parser says which names are relations and where; the tokens say which words are operations,
 * in the text's own spelling. Normalized texts hold `$n` where the grammar wants a constant, so a
 * text that does not parse is tried again with each `$n` put as `0`, then as `''`. What never
 * parses gets its leading keywords and the first name, or for queries the names behind the words
 * that relations follow. */
#include "agent/statement/summary.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/statement/relations.h"
#include "base/cleanup.h"

enum { PHRASE_WORDS_MAX = 4, NAMES_MAX = 64 };

struct scan {
    const char *text;
    const struct pg_token *tokens;
    size_t count;
};

struct output {
    char *bytes;
    size_t length;
    bool is_full;
};

static bool is_word(const struct scan *scan, size_t i, const char *word)
{
    if (i >= scan->count || scan->tokens[i].kind != PG_TOKEN_KEYWORD)
        return false;
    size_t length = scan->tokens[i].end - scan->tokens[i].start;
    return strlen(word) == length &&
           strncasecmp(scan->text + scan->tokens[i].start, word, length) == 0;
}

/* @words: one string, words separated by spaces. */
static bool is_word_of(const struct scan *scan, size_t i, const char *words)
{
    if (i >= scan->count || scan->tokens[i].kind != PG_TOKEN_KEYWORD)
        return false;
    size_t length = scan->tokens[i].end - scan->tokens[i].start;

    for (const char *word = words; *word;) {
        size_t word_length = strcspn(word, " ");
        if (word_length == length &&
            strncasecmp(scan->text + scan->tokens[i].start, word, length) == 0)
            return true;
        word += word_length;
        word += *word == ' ';
    }
    return false;
}

static bool is_kind(const struct scan *scan, size_t i, enum pg_token_kind kind)
{
    return i < scan->count && scan->tokens[i].kind == kind;
}

static bool is_name_part(const struct scan *scan, size_t i)
{
    return is_kind(scan, i, PG_TOKEN_NAME) || is_kind(scan, i, PG_TOKEN_KEYWORD);
}

/* The token after the dotted name that begins at @i. */
static size_t name_end(const struct scan *scan, size_t i)
{
    i++;
    while (is_kind(scan, i, PG_TOKEN_DOT) && is_name_part(scan, i + 1))
        i += 2;
    return i;
}

/* Writes tokens [from, to) as one piece, without what stands between them; all or nothing. */
static void output_piece(struct output *output, const struct scan *scan, size_t from, size_t to)
{
    size_t length = output->length > 0;

    if (to > scan->count)
        return;
    for (size_t i = from; i < to; i++)
        length += scan->tokens[i].end - scan->tokens[i].start;
    if (output->is_full || length > SUMMARY_MAX - output->length) {
        output->is_full = true;
        return;
    }
    if (output->length > 0)
        output->bytes[output->length++] = ' ';
    for (size_t i = from; i < to; i++) {
        size_t token_length = scan->tokens[i].end - scan->tokens[i].start;
        memcpy(output->bytes + output->length, scan->text + scan->tokens[i].start, token_length);
        output->length += token_length;
    }
}

static void output_word(struct output *output, const struct scan *scan, size_t i)
{
    output_piece(output, scan, i, i + 1);
}

/* Kinds of objects that CREATE, ALTER, DROP and COMMENT ON name; longer ones first. */
static const char *const object_kinds[] = {
    "text search configuration",
    "text search dictionary",
    "text search parser",
    "text search template",
    "foreign data wrapper",
    "materialized view",
    "default privileges",
    "operator class",
    "operator family",
    "access method",
    "event trigger",
    "foreign table",
    "user mapping",
    "large object",
    "aggregate",
    "cast",
    "collation",
    "conversion",
    "database",
    "domain",
    "extension",
    "function",
    "group",
    "index",
    "language",
    "operator",
    "policy",
    "procedure",
    "publication",
    "role",
    "routine",
    "rule",
    "schema",
    "sequence",
    "server",
    "statistics",
    "subscription",
    "system",
    "table",
    "tablespace",
    "transform",
    "trigger",
    "type",
    "user",
    "view",
    "column",
    "constraint",
};

/* The number of tokens from @i that spell a kind of object; 0: none. */
static size_t object_kind_words(const struct scan *scan, size_t i)
{
    for (size_t k = 0; k < sizeof(object_kinds) / sizeof(object_kinds[0]); k++) {
        char words[32];
        size_t count = 0;
        (void)strncpy(words, object_kinds[k], sizeof(words) - 1);
        words[sizeof(words) - 1] = '\0';

        char *rest = words;
        for (char *word = strsep(&rest, " "); word; word = strsep(&rest, " ")) {
            if (!is_word(scan, i + count, word))
                break;
            count++;
            if (!rest)
                return count;
        }
    }
    return 0;
}

#define KIND_MODIFIERS                                                                             \
    "or replace global local temp temporary unlogged unique recursive trusted procedural"          \
    " constraint default"
#define NAME_MODIFIERS "concurrently if not exists only for"

/* CREATE, ALTER, DROP and COMMENT ON: the verb, the kind of object and its names. Returns the token
 * behind them. */
static size_t definition_write(struct output *output, const struct scan *scan)
{
    size_t i = 0;
    bool is_drop = is_word(scan, 0, "drop");

    output_word(output, scan, i++);
    if (is_word(scan, i, "on"))
        output_word(output, scan, i++);
    size_t words = object_kind_words(scan, i);
    while (words == 0 && is_word_of(scan, i, KIND_MODIFIERS))
        words = object_kind_words(scan, ++i);
    for (; words > 0; words--)
        output_word(output, scan, i++);
    while (is_word_of(scan, i, NAME_MODIFIERS))
        i++;

    for (size_t names = 0; names < NAMES_MAX; names++) {
        if (!is_name_part(scan, i) || is_word(scan, i, "on"))
            break;
        size_t end = name_end(scan, i);
        output_piece(output, scan, i, end);
        i = end;
        if (!is_drop || !is_kind(scan, i, PG_TOKEN_COMMA))
            break;
        i++;
    }
    return i;
}

/* Any other statement that is no query: its verb, as far as it has several words, and the name of
 * a procedure or database. Relations are left to the parser. */
static size_t utility_write(struct output *output, const struct scan *scan)
{
    bool has_name = is_word_of(scan, 0, "call");
    size_t i = 0;

    output_word(output, scan, i++);
    for (int words = 1; words < PHRASE_WORDS_MAX; words++) {
        if (!is_word_of(scan, i,
                        "table index materialized view schema database system transaction"
                        " label owned all prepared foreign"))
            break;
        has_name = has_name || is_word_of(scan, i, "database schema index");
        output_word(output, scan, i++);
    }
    if (is_word(scan, i, "concurrently"))
        i++;
    if (has_name && is_name_part(scan, i)) {
        size_t end = name_end(scan, i);
        output_piece(output, scan, i, end);
        i = end;
    }
    return i;
}

static bool is_query(const struct scan *scan)
{
    return is_word_of(scan, 0, "select insert update delete merge with values table") ||
           is_kind(scan, 0, PG_TOKEN_OPEN);
}

static bool is_definition(const struct scan *scan)
{
    return is_word_of(scan, 0, "create alter drop") ||
           (is_word(scan, 0, "comment") && is_word(scan, 1, "on"));
}

/* Privileges, policies and rules name commands that they do not run. */
static bool names_commands(const struct scan *scan)
{
    if (is_word_of(scan, 0, "grant revoke"))
        return true;
    if (!is_definition(scan))
        return false;
    for (size_t i = 1; i < scan->count && i < 4; i++) {
        if (is_word_of(scan, i, "policy rule trigger privileges"))
            return true;
    }
    return false;
}

/* The token of the verb that changes the relation at token @i (INSERT INTO x, UPDATE ONLY x); @i if
 * there is none. */
static size_t change_verb(const struct scan *scan, size_t i)
{
    size_t verb = i;

    while (verb > 0 && is_word_of(scan, verb - 1, "only into from"))
        verb--;
    if (verb > 0 && is_word_of(scan, verb - 1, "insert update delete merge"))
        return verb - 1;
    return i;
}

/* Operations and relations from token @i on. */
static void query_write(struct output *output, const struct scan *scan, size_t i,
                        const struct relations *relations)
{
    bool has_selects = !names_commands(scan);
    uint32_t next = 0;

    if (i == 0 && is_word_of(scan, 0, "values table"))
        output_word(output, scan, 0);
    for (; i < scan->count && !output->is_full; i++) {
        while (next < relations->count && relations->offsets[next] < scan->tokens[i].start)
            next++;
        if (next < relations->count && relations->offsets[next] == scan->tokens[i].start) {
            size_t verb = change_verb(scan, i);
            if (verb < i)
                output_word(output, scan, verb);
            output_piece(output, scan, i, name_end(scan, i));
        } else if (has_selects && is_word(scan, i, "select") &&
                   (i == 0 || !is_kind(scan, i - 1, PG_TOKEN_DOT))) {
            output_word(output, scan, i);
        }
    }
}

/* The same where no parser could read the text: names are those that follow the words which a
 * relation follows. */
static void query_guess(struct output *output, const struct scan *scan)
{
    for (size_t i = 0; i < scan->count && !output->is_full; i++) {
        if (is_word(scan, i, "select") || (i == 0 && is_word_of(scan, 0, "values table")))
            output_word(output, scan, i);
        if (!is_word_of(scan, i, "from join into update table"))
            continue;
        size_t name = i + 1;
        if (is_word(scan, name, "only"))
            name++;
        bool is_name = is_kind(scan, name, PG_TOKEN_NAME);
        size_t end = is_name ? name_end(scan, name) : name;
        if (!is_name || (is_kind(scan, end, PG_TOKEN_OPEN) && !is_word(scan, i, "into")))
            continue;
        size_t verb = change_verb(scan, name);
        if (verb < name)
            output_word(output, scan, verb);
        output_piece(output, scan, name, end);
        i = end - 1;
    }
    if (output->length == 0 && scan->count > 0)
        output_word(output, scan, 0);
}

/* The leading keywords up to the first name, and that name. */
static void leading_words_write(struct output *output, const struct scan *scan)
{
    size_t i = 0;

    while (i < PHRASE_WORDS_MAX && is_kind(scan, i, PG_TOKEN_KEYWORD))
        output_word(output, scan, i++);
    if (is_kind(scan, i, PG_TOKEN_NAME))
        output_piece(output, scan, i, name_end(scan, i));
}

/* Puts each $n as @constant (of one or two bytes) and spaces: all offsets stay. */
static void params_replace(const struct scan *scan, const char *constant, char *ret)
{
    size_t length = strlen(constant);

    (void)strcpy(ret, scan->text);
    for (size_t i = 0; i < scan->count; i++) {
        const struct pg_token *token = &scan->tokens[i];
        if (token->kind != PG_TOKEN_PARAM || token->end - token->start < length)
            continue;
        memset(ret + token->start, ' ', token->end - token->start);
        memcpy(ret + token->start, constant, length);
    }
}

static bool text_parse(const struct scan *scan, char *variant, struct relations *ret)
{
    static const char *const constants[] = {NULL, "0", "''"};
    bool has_params = false;

    for (size_t i = 0; i < scan->count; i++)
        has_params = has_params || scan->tokens[i].kind == PG_TOKEN_PARAM;
    for (size_t i = 0; i < (has_params ? 3u : 1u); i++) {
        CLEANUP(freep) char *tree = NULL;
        if (constants[i])
            params_replace(scan, constants[i], variant);
        if (weir_pg_query_parse(constants[i] ? variant : scan->text, &tree) != 0)
            continue;
        relations_find(tree, ret);
        return true;
    }
    return false;
}

/* Copies what can be scanned of @text into space->text. False: it is not the whole of it. */
static bool text_scan(struct view text, struct summary_space *space, struct scan *ret)
{
    size_t length = text.length > 0 ? strnlen(text.bytes, text.length) : 0;
    size_t count = 0, offset = 0;

    if (length > SUMMARY_TEXT_MAX)
        length = SUMMARY_TEXT_MAX;
    bool is_whole = length == text.length;
    if (length > 0)
        memcpy(space->text, text.bytes, length);
    space->text[length] = '\0';
    int r = weir_pg_query_scan(space->text, space->tokens, SUMMARY_TOKENS_MAX, &count, &offset);
    if (r == PG_QUERY_E_REFUSED && offset < length) {
        is_whole = false;
        space->text[offset] = '\0';
        r = weir_pg_query_scan(space->text, space->tokens, SUMMARY_TOKENS_MAX, &count, &offset);
    }
    *ret = (struct scan){space->text, space->tokens, r == 0 ? count : 0};
    return is_whole && r == 0;
}

size_t summary_write(struct view text, struct summary_space *space, char *ret, bool *ret_parsed)
{
    struct output output = {.bytes = ret};
    struct relations relations = {0};
    struct scan scan;

    bool is_whole = text_scan(text, space, &scan);
    *ret_parsed = is_whole && text_parse(&scan, space->variant, &relations);

    if (is_definition(&scan))
        query_write(&output, &scan, definition_write(&output, &scan), &relations);
    else if (*ret_parsed && !is_query(&scan))
        query_write(&output, &scan, utility_write(&output, &scan), &relations);
    else if (*ret_parsed)
        query_write(&output, &scan, 0, &relations);
    else if (is_query(&scan))
        query_guess(&output, &scan);
    else
        leading_words_write(&output, &scan);
    ret[output.length] = '\0';
    return output.length;
}
