/* What a statement's text says of its parameters: the names they are compared with.
 *
 * A text is cut into clauses: at AND, OR, the words that begin a part of a statement, and the
 * commas of a list. All parameters of a clause share its fate: they are open if a column's name and
 * a comparison stand in it, and no name and no string in it holds a sensitive word. Values of an
 * INSERT belong to the column at their position instead. */
#include <strings.h>

#include "shim/probe/lexer.h"
#include "shim/session/parameters.h"

enum { COLUMNS_MAX = 256 };

/* In lower case, anywhere in a name. */
static const char *const sensitive_words[] = {
    "passw",   "passphrase", "pwd",      "secret", "token",     "key",    "credential", "auth",
    "salt",    "hash",       "card",     "iban",   "social",    "cookie", "session",    "private",
    "licence", "license",    "passport", "crypt",  "signature", "birth",
};
/* Short ones, which other words contain: alone, or between what is no letter. */
static const char *const sensitive_parts[] = {"pin", "otp", "ssn", "cvv",
                                              "cvc", "dob", "pgp", "tan"};

/* Words that begin another part of a statement, and those that are no column's name. */
static const char *const clause_words[] = {
    "and",    "or",    "where", "set",   "select", "from",      "having", "on",     "when", "then",
    "else",   "end",   "case",  "using", "join",   "returning", "values", "limit",  "with", "union",
    "offset", "fetch", "group", "order", "window", "insert",    "update", "delete",
};
static const char *const other_words[] = {
    "not", "null", "true",     "false",   "is",       "like",      "ilike",   "in",
    "any", "all",  "some",     "as",      "distinct", "between",   "collate", "array",
    "row", "cast", "interval", "date",    "time",     "timestamp", "similar", "to",
    "by",  "asc",  "desc",     "default", "exists",   "escape",
};

#define COUNT_OF(words) (sizeof(words) / sizeof((words)[0]))

struct clause {
    uint64_t parameters;
    bool has_column, has_comparison, is_sensitive;
    bool is_begun;
    size_t depth; /* of parentheses where it began */
};

enum insert_place {
    INSERT_NONE,
    INSERT_TABLE,   /* behind INTO */
    INSERT_COLUMNS, /* inside the list */
    INSERT_WAITS,   /* for VALUES */
    INSERT_VALUES,
};

struct reading {
    const char *words; /* the pool's */
    uint64_t open, closed;
    struct clause clause;
    size_t depth;
    bool after_insert; /* the word INSERT stood before */
    enum insert_place place;
    size_t place_depth; /* of the list of columns or values */
    uint32_t column, columns;
    bool column_sensitive[COLUMNS_MAX];
};

/* ---- words ----------------------------------------------------------------------------------- */

static bool bytes_contain(struct view text, const char *word, size_t length)
{
    if (!length)
        return false;
    for (size_t i = 0; i + length <= text.length; i++)
        if (!strncasecmp(text.bytes + i, word, length))
            return true;
    return false;
}

static bool is_letter(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

static bool bytes_contain_part(struct view text, const char *part, size_t length)
{
    for (size_t i = 0; i + length <= text.length; i++)
        if (!strncasecmp(text.bytes + i, part, length) &&
            (i == 0 || !is_letter(text.bytes[i - 1])) &&
            (i + length == text.length || !is_letter(text.bytes[i + length])))
            return true;
    return false;
}

static bool is_listed(struct view text, const char *words)
{
    size_t length;

    while (words && *words) {
        words += strspn(words, ", \t\n");
        length = strcspn(words, ", \t\n");
        if (bytes_contain(text, words, length))
            return true;
        words += length;
    }
    return false;
}

/* Names with escapes may say anything. */
static bool is_sensitive(const struct reading *reading, const struct token *token)
{
    struct view text = {token->bytes, token->length};

    if (token->kind == TOKEN_QUOTED_IDENTIFIER && token->bytes[0] != '"')
        return true;
    for (size_t i = 0; i < COUNT_OF(sensitive_words); i++)
        if (bytes_contain(text, sensitive_words[i], strlen(sensitive_words[i])))
            return true;
    for (size_t i = 0; i < COUNT_OF(sensitive_parts); i++)
        if (bytes_contain_part(text, sensitive_parts[i], strlen(sensitive_parts[i])))
            return true;
    return is_listed(text, reading->words);
}

static bool is_among(const struct token *token, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (token_is(token, words[i]))
            return true;
    return false;
}

/* ---- clauses --------------------------------------------------------------------------------- */

static void clause_end(struct reading *reading)
{
    struct clause *clause = &reading->clause;

    if (clause->has_column && clause->has_comparison && !clause->is_sensitive)
        reading->open |= clause->parameters;
    else
        reading->closed |= clause->parameters;
    *clause = (struct clause){.depth = reading->depth};
}

static uint64_t parameter_bit(const struct token *token)
{
    uint32_t number = 0;

    for (size_t i = 1; i < token->length && number <= PARAMETERS_SHOWN_MAX; i++)
        number = number * 10 + (uint32_t)(token->bytes[i] - '0');
    return number >= 1 && number <= PARAMETERS_SHOWN_MAX ? UINT64_C(1) << (number - 1) : 0;
}

/* Operators that look into a value (-> and its like) compare nothing. */
static bool is_comparison(const struct token *token)
{
    static const char *const words[] = {"like", "ilike", "in", "is", "between"};

    if (token->kind != TOKEN_OPERATOR)
        return is_among(token, words, COUNT_OF(words));
    if (memchr(token->bytes, '=', token->length) || memchr(token->bytes, '~', token->length))
        return true;
    return token->bytes[0] == '<' || (token->bytes[0] == '>' && token->length == 1) ||
           (token->length == 2 && !memcmp(token->bytes, "@>", 2));
}

/* A token inside a clause. @next stands behind it; @is_cast: a type's name. */
static void clause_take(struct reading *reading, const struct token *token,
                        const struct token *next, bool is_cast)
{
    struct clause *clause = &reading->clause;

    clause->is_begun = true;
    if (token->kind == TOKEN_PARAMETER)
        clause->parameters |= parameter_bit(token);
    if (is_comparison(token))
        clause->has_comparison = true;
    if (token->kind == TOKEN_STRING)
        clause->is_sensitive |= is_sensitive(reading, token);
    if (token->kind != TOKEN_IDENTIFIER && token->kind != TOKEN_QUOTED_IDENTIFIER)
        return;
    clause->is_sensitive |= is_sensitive(reading, token);
    /* Functions and types are no columns. */
    if (!is_cast && !token_is_self(next, '(') &&
        !is_among(token, other_words, COUNT_OF(other_words)))
        clause->has_column = true;
}

/* ---- INSERT ---------------------------------------------------------------------------------- */

static void insert_column(struct reading *reading, const struct token *token)
{
    if (reading->column < COLUMNS_MAX)
        reading->column_sensitive[reading->column] |= is_sensitive(reading, token);
}

static void insert_value(struct reading *reading, const struct token *token)
{
    bool is_known = reading->column < reading->columns && reading->column < COLUMNS_MAX;

    if (token->kind == TOKEN_IDENTIFIER || token->kind == TOKEN_QUOTED_IDENTIFIER ||
        token->kind == TOKEN_STRING)
        reading->clause.is_sensitive |= is_sensitive(reading, token);
    if (token->kind != TOKEN_PARAMETER)
        return;
    reading->clause.parameters |= parameter_bit(token);
    reading->clause.has_column = reading->clause.has_comparison = is_known;
    reading->clause.is_sensitive |= is_known && reading->column_sensitive[reading->column];
}

/* Commas and parentheses of the two lists. */
static void insert_self(struct reading *reading, const struct token *token)
{
    if (token_is_self(token, '(') && reading->depth == reading->place_depth) {
        reading->column = 0;
        clause_end(reading);
    } else if (reading->depth == reading->place_depth &&
               (token_is_self(token, ',') || token_is_self(token, ')'))) {
        reading->column++;
        if (reading->place == INSERT_COLUMNS && reading->columns < reading->column)
            reading->columns = reading->column;
        clause_end(reading);
        if (reading->place == INSERT_COLUMNS && token_is_self(token, ')'))
            reading->place = INSERT_WAITS;
    }
}

/* True: the token is the INSERT's. @reading's depth counts it already if it opens something. */
static bool insert_take(struct reading *reading, const struct token *token)
{
    switch (reading->place) {
    case INSERT_TABLE:
        if (token_is_self(token, '(')) {
            reading->place = INSERT_COLUMNS;
            reading->place_depth = reading->depth;
            reading->column = reading->columns = 0;
            memset(reading->column_sensitive, 0, sizeof(reading->column_sensitive));
        } else if (token_is(token, "values") || token_is(token, "select")) {
            reading->columns = 0;
            reading->place = token_is(token, "values") ? INSERT_VALUES : INSERT_NONE;
            reading->place_depth = reading->depth + 1;
        }
        return reading->place != INSERT_NONE;
    case INSERT_COLUMNS:
        if (token->kind == TOKEN_SELF)
            insert_self(reading, token);
        else
            insert_column(reading, token);
        return true;
    case INSERT_WAITS:
        if (token_is(token, "values")) {
            reading->place = INSERT_VALUES;
            reading->place_depth = reading->depth + 1;
        } else if (token_is(token, "select") || token_is(token, "with")) {
            reading->place = INSERT_NONE;
        }
        return reading->place != INSERT_NONE;
    case INSERT_VALUES:
        if (reading->depth < reading->place_depth && token->kind == TOKEN_IDENTIFIER) {
            reading->place = INSERT_NONE; /* ON CONFLICT, RETURNING */
            return false;
        }
        if (token->kind == TOKEN_SELF)
            insert_self(reading, token);
        else
            insert_value(reading, token);
        return true;
    case INSERT_NONE:
        return false;
    }
    return false;
}

/* ---- all ------------------------------------------------------------------------------------- */

static bool is_boundary(const struct reading *reading, const struct token *token)
{
    if (token_is_self(token, ';'))
        return true;
    if (token_is_self(token, ','))
        return reading->depth <= reading->clause.depth;
    return token->kind == TOKEN_IDENTIFIER && is_among(token, clause_words, COUNT_OF(clause_words));
}

static void reading_take(struct reading *reading, const struct token *token,
                         const struct token *next, bool is_cast)
{
    bool is_closing = token_is_self(token, ')');

    if (token_is_self(token, '('))
        reading->depth++;
    if (token_is(token, "into") && reading->after_insert) {
        reading->place = INSERT_TABLE;
    } else if (insert_take(reading, token)) {
        /* the INSERT's own */
    } else if (is_boundary(reading, token)) {
        clause_end(reading);
    } else if (token_is_self(token, '(') && !reading->clause.is_begun) {
        reading->clause.depth = reading->depth;
    } else if (is_closing && reading->depth <= reading->clause.depth) {
        clause_end(reading);
    } else {
        clause_take(reading, token, next, is_cast);
    }
    reading->after_insert = token_is(token, "insert");
    if (is_closing && reading->depth)
        reading->depth--;
    if (!reading->clause.is_begun)
        reading->clause.depth = reading->depth;
}

uint64_t parameters_open(struct view sql, bool backslash_strings, const char *words)
{
    struct lexer lexer = lexer_of(sql, backslash_strings);
    struct reading reading = {.words = words};
    struct token token, next;
    bool is_cast = false;

    lexer_next(&lexer, &token);
    while (token.kind != TOKEN_END) {
        lexer_next(&lexer, &next);
        reading_take(&reading, &token, &next, is_cast);
        is_cast = token.kind == TOKEN_SELF && token.length == 2 && token.bytes[0] == ':';
        token = next;
    }
    clause_end(&reading);
    /* One that is open here and sensitive there is not open. */
    return reading.open & ~reading.closed;
}
