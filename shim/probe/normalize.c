/* One pass over the tokens writes the text and the fingerprint's bytes side by side. Lists of
 * constants are recognized by a look ahead with a copy of the lexer, which costs them twice and
 * everything else nothing. */
#include "shim/probe/normalize.h"

#include "shim/probe/fingerprint.h"
#include "shim/probe/generated_name.h"
#include "shim/probe/keyword.h"
#include "shim/probe/lexer.h"
#include "shim/probe/verb.h"

enum { NAME_FOLDED_MAX = 256 };

struct normalizer {
    struct lexer lexer;
    uint32_t options;
    uint32_t flags;
    bool input_is_cut;
    char *text;
    size_t text_length, text_capacity;
    bool text_is_cut;
    uint64_t next_parameter;
    uint64_t highest_parameter; /* of those seen so far */
    enum name_place name_place;
    bool operand_next; /* a minus here can only be a sign */
    size_t semicolons; /* seen and not yet written: at the end they are no part of the text */
    struct fingerprint fingerprint;
};

/* ---- writing -------------------------------------------------------------------------------- */

/* @readable: bytes that may be read from @bytes on, at least @length. */
static inline void write_text(struct normalizer *n, const char *bytes, size_t length,
                              size_t readable, bool spaced)
{
    size_t room = n->text_capacity - n->text_length;
    bool is_space_needed;

    if (n->text_is_cut)
        return;
    /* What comments and literals kept apart must not grow together. */
    is_space_needed =
        n->text_length && (spaced || (lexer_is_identifier_byte(n->text[n->text_length - 1]) &&
                                      lexer_is_identifier_byte(bytes[0])));
    if (length + is_space_needed > room) {
        n->text_is_cut = true;
        return;
    }
    n->text[n->text_length] = ' ';
    n->text_length += is_space_needed;
    if (length <= FINGERPRINT_STEP && readable >= FINGERPRINT_STEP && room > FINGERPRINT_STEP)
        memcpy(n->text + n->text_length, bytes, FINGERPRINT_STEP);
    else
        memcpy(n->text + n->text_length, bytes, length);
    n->text_length += length;
}

static void write_semicolons(struct normalizer *n)
{
    for (; n->semicolons; n->semicolons--) {
        write_text(n, ";", 1, 1, false);
        fingerprint_token(&n->fingerprint, ";", 1, 1, false);
    }
}

/* @readable as for write_text. */
static inline void write_bytes(struct normalizer *n, const struct token *token, size_t readable)
{
    if (n->semicolons)
        write_semicolons(n);
    write_text(n, token->bytes, token->length, readable, token->spaced);
    fingerprint_token(&n->fingerprint, token->bytes, token->length, readable,
                      token->kind == TOKEN_IDENTIFIER);
}

/* A token of the statement. */
static inline void write_as_is(struct normalizer *n, const struct token *token)
{
    write_bytes(n, token, (size_t)(n->lexer.end - token->bytes));
}

/* A literal's place: the next number that no parameter of the text has. */
static void write_literal(struct normalizer *n, bool spaced)
{
    char digits[24], *at = digits + sizeof(digits);
    uint64_t number = n->next_parameter++;

    do
        *--at = (char)('0' + number % 10);
    while ((number /= 10));
    *--at = '$';
    number = (size_t)(digits + sizeof(digits) - at);
    if (n->semicolons)
        write_semicolons(n);
    write_text(n, at, number, number, spaced);
    fingerprint_literal(&n->fingerprint);
}

/* A parameter of the text keeps its number; its fingerprint is a literal's. */
static void write_given_parameter(struct normalizer *n, const struct token *token)
{
    if (n->semicolons)
        write_semicolons(n);
    write_text(n, token->bytes, token->length, token->length, token->spaced);
    fingerprint_literal(&n->fingerprint);
}

static void write_name(struct normalizer *n, const struct token *token)
{
    char folded[NAME_FOLDED_MAX];
    struct token name = *token;

    name.length = generated_name_fold(token, folded, sizeof(folded));
    name.bytes = folded;
    if (name.length)
        write_bytes(n, &name, sizeof(folded));
    else
        write_as_is(n, token);
}

/* ---- parameters ----------------------------------------------------------------------------- */

/* Digits at @at, up to @end; what no protocol could number counts as none. */
static uint64_t parameter_number(const char *at, const char *end)
{
    uint64_t number = 0;

    for (; at < end && *at >= '0' && *at <= '9'; at++) {
        number = number * 10 + (uint64_t)(*at - '0');
        if (number > INT32_MAX)
            return 0;
    }
    return number;
}

static void note_parameter(struct normalizer *n, const struct token *token)
{
    uint64_t number = parameter_number(token->bytes + 1, token->bytes + token->length);

    n->highest_parameter = number > n->highest_parameter ? number : n->highest_parameter;
}

/* The highest parameter as it looks without a lexer: what stands in a literal counts too, which the
 * pass over the tokens finds out. */
static uint64_t highest_parameter_guess(struct view sql)
{
    const char *at = sql.bytes, *end = sql.bytes + sql.length;
    uint64_t highest = 0, number;

    while (at < end && (at = memchr(at, '$', (size_t)(end - at)))) {
        number = parameter_number(++at, end);
        highest = number > highest ? number : highest;
    }
    return highest;
}

/* ---- constants and signs -------------------------------------------------------------------- */

static bool is_minus(const struct token *token)
{
    return token->kind == TOKEN_OPERATOR && token->length == 1 && token->bytes[0] == '-';
}

/* True for what binds tighter to a number than a sign before it: then the sign stays an operator.
 * A power does not: in PostgreSQL -2 ^ 2 is 4. */
static bool binds_tighter(const struct token *token)
{
    return token->kind == TOKEN_SELF && ((token->length == 2 && token->bytes[0] == ':') ||
                                         token_is_self(token, '[') || token_is_self(token, '.'));
}

/* At a minus: is it the sign of the number behind it? If so the lexer moves behind the number. */
static bool take_signed_number(struct lexer *lexer)
{
    struct lexer ahead = *lexer, behind;
    struct token number, next;

    lexer_next(&ahead, &number);
    if (number.kind != TOKEN_NUMBER)
        return false;
    behind = ahead;
    lexer_next(&ahead, &next);
    if (binds_tighter(&next))
        return false;
    *lexer = behind;
    return true;
}

/* After @token a minus can only be a sign. @keyword: keyword_of(token). */
static inline bool precedes_operand(const struct token *token, unsigned keyword)
{
    switch (token->kind) {
    case TOKEN_OPERATOR:
        return true;
    case TOKEN_SELF:
        return token->bytes[0] != ')' && token->bytes[0] != ']' && token->bytes[0] != '.' &&
               !(token->length == 2 && token->bytes[0] == ':');
    case TOKEN_IDENTIFIER:
        return keyword & KEYWORD_BEFORE_OPERAND;
    case TOKEN_END:
    case TOKEN_QUOTED_IDENTIFIER:
    case TOKEN_STRING:
    case TOKEN_NUMBER:
    case TOKEN_PARAMETER:
    case TOKEN_COMMENT:
    case TOKEN_OTHER:
        break;
    }
    return false;
}

/* ---- lists ---------------------------------------------------------------------------------- */

enum element { ELEMENT_NONE, ELEMENT_CONSTANT, ELEMENT_KEYWORD };

/* One element of a list of constants; *ret is its last token. */
static enum element take_element(struct normalizer *n, struct lexer *lexer, struct token *ret)
{
    lexer_next(lexer, ret);
    if (is_minus(ret) && !(n->options & NORMALIZE_KEEP_SIGNS)) {
        if (!take_signed_number(lexer))
            return ELEMENT_NONE;
        ret->kind = TOKEN_NUMBER;
        return ELEMENT_CONSTANT;
    }
    if ((ret->kind == TOKEN_STRING || ret->kind == TOKEN_NUMBER) && !ret->unterminated)
        return ELEMENT_CONSTANT;
    if (ret->kind == TOKEN_PARAMETER) {
        note_parameter(n, ret);
        return ELEMENT_CONSTANT;
    }
    return keyword_of(ret) & KEYWORD_CONSTANT ? ELEMENT_KEYWORD : ELEMENT_NONE;
}

/* Behind the opening bracket: a list of nothing but constants up to @close? Moves @lexer to before
 * the closing bracket and counts. */
static bool take_constant_list(struct normalizer *n, struct lexer *lexer, char close,
                               size_t *ret_count)
{
    struct lexer before;
    struct token token;

    *ret_count = 0;
    for (;;) {
        if (take_element(n, lexer, &token) == ELEMENT_NONE)
            return false;
        ++*ret_count;
        before = *lexer;
        lexer_next(lexer, &token);
        if (token_is_self(&token, close)) {
            *lexer = before;
            return true;
        }
        if (!token_is_self(&token, ','))
            return false;
    }
}

/* Behind an opening bracket that may hold a list: folds one of two or more constants to one. */
static void fold_list(struct normalizer *n, char close)
{
    struct lexer ahead = n->lexer;
    struct token token;
    size_t count;
    enum element first;

    if (!take_constant_list(n, &ahead, close, &count) || count < 2)
        return;
    first = take_element(n, &n->lexer, &token);
    if (first == ELEMENT_CONSTANT && token.kind == TOKEN_PARAMETER)
        write_given_parameter(n, &token);
    else
        write_literal(n, token.spaced);
    n->lexer = ahead;
    n->operand_next = false;
}

/* Behind a row of VALUES: drops the rows that follow if all are rows of constants. */
static bool take_constant_row(struct normalizer *n, struct lexer *lexer)
{
    struct token token;
    size_t count;

    lexer_next(lexer, &token);
    if (!token_is_self(&token, '(') || !take_constant_list(n, lexer, ')', &count))
        return false;
    lexer_next(lexer, &token);
    return true;
}

/* Behind VALUES: if all rows are of constants, returns true and where the first ends and the last
 * ends. */
static bool find_constant_rows(struct normalizer *n, struct lexer *ret_first_end,
                               struct lexer *ret_last_end)
{
    struct lexer ahead = n->lexer, before;
    struct token token;
    size_t rows = 0;

    for (;;) {
        if (!take_constant_row(n, &ahead))
            return false;
        if (++rows == 1)
            *ret_first_end = ahead;
        before = ahead;
        lexer_next(&ahead, &token);
        if (!token_is_self(&token, ',')) {
            *ret_last_end = before;
            return rows > 1;
        }
    }
}

/* ---- tokens --------------------------------------------------------------------------------- */

static inline void write_token(struct normalizer *n, const struct token *token, unsigned keyword)
{
    bool operand_next = precedes_operand(token, keyword);
    bool is_name;

    if (token->unterminated && !n->input_is_cut)
        n->flags |= NORMALIZED_MALFORMED;
    is_name = name_place_is_over(n->name_place, token) ? false
                                                       : name_place_advance(&n->name_place, token);
    switch (token->kind) {
    case TOKEN_STRING:
    case TOKEN_NUMBER:
        write_literal(n, token->spaced);
        break;
    case TOKEN_PARAMETER:
        note_parameter(n, token);
        write_given_parameter(n, token);
        break;
    case TOKEN_QUOTED_IDENTIFIER:
        if (token->unterminated) {
            /* What it swallowed may be anything. Spaced, lest it grow together with a name. */
            struct token empty = {TOKEN_QUOTED_IDENTIFIER, true, true, "\"\"", 2};
            write_bytes(n, &empty, empty.length);
            break;
        }
        /* fall through */
    case TOKEN_IDENTIFIER:
        if (is_name && !(n->options & NORMALIZE_KEEP_NAMES))
            write_name(n, token);
        else
            write_as_is(n, token);
        break;
    case TOKEN_OPERATOR:
        if (is_minus(token) && n->operand_next && !(n->options & NORMALIZE_KEEP_SIGNS) &&
            take_signed_number(&n->lexer)) {
            write_literal(n, token->spaced);
            operand_next = false;
            break;
        }
        write_as_is(n, token);
        break;
    case TOKEN_SELF:
        if (token_is_self(token, ';')) {
            n->semicolons++;
            break;
        }
        write_as_is(n, token);
        break;
    case TOKEN_OTHER:
        write_as_is(n, token);
        break;
    case TOKEN_END:
    case TOKEN_COMMENT:
        break;
    }
    n->operand_next = operand_next;
}

static void write_all(struct normalizer *n)
{
    struct token token;
    struct lexer first_row_end = {0}, rows_end = {0};
    unsigned keyword, before = 0; /* of the token before */

    for (;;) {
        if (first_row_end.at && n->lexer.at == first_row_end.at) {
            n->lexer = rows_end;
            first_row_end.at = NULL;
        }
        lexer_next(&n->lexer, &token);
        if (token.kind == TOKEN_END) {
            if (token.unterminated && !n->input_is_cut)
                n->flags |= NORMALIZED_MALFORMED;
            return;
        }
        keyword = keyword_of(&token);
        write_token(n, &token, keyword);
        if (n->options & NORMALIZE_KEEP_LISTS)
            continue;
        if (before & KEYWORD_IN && token_is_self(&token, '('))
            fold_list(n, ')');
        else if (before & KEYWORD_ARRAY && token_is_self(&token, '['))
            fold_list(n, ']');
        else if (keyword & KEYWORD_VALUES && !find_constant_rows(n, &first_row_end, &rows_end))
            first_row_end.at = NULL;
        before = keyword;
    }
}

static void begin(struct normalizer *n, struct view sql, uint32_t options, char *text,
                  size_t capacity, uint64_t highest_parameter)
{
    n->lexer = lexer_of(sql, options & NORMALIZE_BACKSLASH_STRINGS);
    n->options = options;
    n->flags = 0;
    n->text = text;
    n->text_length = 0;
    n->text_capacity = text ? capacity : 0;
    n->text_is_cut = !text;
    n->next_parameter = highest_parameter + 1;
    n->highest_parameter = 0;
    n->name_place = PLACE_START;
    n->operand_next = true;
    n->semicolons = 0;
    fingerprint_begin(&n->fingerprint);
}

void normalize(struct view sql, uint32_t options, char *text, size_t capacity,
               struct normalized *ret)
{
    struct normalizer n;
    uint64_t guess;

    if (!sql.bytes)
        sql = VIEW_LITERAL("");
    n.input_is_cut = sql.length > NORMALIZE_INPUT_MAX;
    if (n.input_is_cut)
        sql.length = NORMALIZE_INPUT_MAX;
    guess = highest_parameter_guess(sql);
    begin(&n, sql, options, text, capacity, guess);
    *ret = (struct normalized){.verb = verb_of(n.lexer)};
    write_all(&n);
    if (n.highest_parameter != guess && n.next_parameter > guess + 1) {
        /* Literals were numbered after something that was no parameter: once more. */
        begin(&n, sql, options, text, capacity, n.highest_parameter);
        write_all(&n);
    }
    ret->text_length = (uint32_t)n.text_length;
    ret->flags = n.flags | (n.input_is_cut || (text && n.text_is_cut) ? NORMALIZED_CUT : 0);
    if (ret->verb != VERB_EMPTY)
        ret->fingerprint = fingerprint_end(&n.fingerprint);
}
