/* A table gives each byte its classes; every form is one function that moves `at` behind it. */
#include "shim/probe/lexer.h"

enum {
    SPACE = 1u << 0,
    IDENTIFIER_START = 1u << 1,
    IDENTIFIER_REST = 1u << 2,
    DIGIT = 1u << 3,
    OPERATOR = 1u << 4,
    SELF = 1u << 5,
    NEWLINE = 1u << 6,
    HEX = 1u << 7,
};

#define LETTER (IDENTIFIER_START | IDENTIFIER_REST)

static const uint8_t classes[256] = {
    [' '] = SPACE,
    ['\t'] = SPACE,
    ['\n'] = SPACE | NEWLINE,
    ['\r'] = SPACE | NEWLINE,
    ['\f'] = SPACE,
    ['\v'] = SPACE, /* since 16; an error before */
    ['a' ... 'f'] = LETTER | HEX,
    ['g' ... 'z'] = LETTER,
    ['A' ... 'F'] = LETTER | HEX,
    ['G' ... 'Z'] = LETTER,
    ['_'] = LETTER,
    [0x80 ... 0xff] = LETTER,
    ['$'] = IDENTIFIER_REST,
    ['0' ... '9'] = DIGIT | IDENTIFIER_REST | HEX,
    ['~'] = OPERATOR,
    ['!'] = OPERATOR,
    ['@'] = OPERATOR,
    ['#'] = OPERATOR,
    ['^'] = OPERATOR,
    ['&'] = OPERATOR,
    ['|'] = OPERATOR,
    ['`'] = OPERATOR,
    ['?'] = OPERATOR,
    ['+'] = OPERATOR,
    ['-'] = OPERATOR,
    ['*'] = OPERATOR,
    ['/'] = OPERATOR,
    ['%'] = OPERATOR,
    ['<'] = OPERATOR,
    ['>'] = OPERATOR,
    ['='] = OPERATOR,
    [','] = SELF,
    ['('] = SELF,
    [')'] = SELF,
    ['['] = SELF,
    [']'] = SELF,
    ['.'] = SELF,
    [';'] = SELF,
    [':'] = SELF,
};

static inline bool is(char byte, unsigned class)
{
    return classes[(uint8_t)byte] & class;
}

const uint8_t lexer_identifier_bytes[256] = {
    ['a' ... 'z'] = 1, ['A' ... 'Z'] = 1,   ['0' ... '9'] = 1,
    ['_'] = 1,         [0x80 ... 0xff] = 1, ['$'] = 1,
};

static inline size_t left(const struct lexer *lexer, const char *at)
{
    return (size_t)(lexer->end - at);
}

static inline bool starts(const struct lexer *lexer, const char *at, char first, char second)
{
    return left(lexer, at) >= 2 && at[0] == first && at[1] == second;
}

static const char *skip_class(const struct lexer *lexer, const char *at, unsigned class)
{
    while (at < lexer->end && is(*at, class))
        at++;
    return at;
}

static const char *skip_line_comment(const struct lexer *lexer, const char *at)
{
    while (at < lexer->end && !is(*at, NEWLINE))
        at++;
    return at;
}

/* Block comments nest. @at is at the opening. */
static const char *skip_block_comment(const struct lexer *lexer, const char *at,
                                      bool *ret_unterminated)
{
    size_t depth = 0;

    while (at < lexer->end) {
        if (starts(lexer, at, '/', '*')) {
            depth++;
            at += 2;
        } else if (starts(lexer, at, '*', '/')) {
            at += 2;
            if (--depth == 0)
                return at;
        } else {
            at++;
        }
    }
    *ret_unterminated = true;
    return at;
}

/* Two strings with a newline between them are one. Comments of the line kind may stand there too.
 * Returns where the continuation's text begins, or NULL. */
static const char *string_continuation(const struct lexer *lexer, const char *at)
{
    bool newline = false;

    for (;;) {
        while (at < lexer->end && is(*at, SPACE) && *at != '\v') {
            newline = newline || is(*at, NEWLINE);
            at++;
        }
        if (!starts(lexer, at, '-', '-'))
            break;
        at = skip_line_comment(lexer, at);
        if (at == lexer->end)
            return NULL;
    }
    return newline && at < lexer->end && *at == '\'' ? at + 1 : NULL;
}

enum string_form {
    STRING_PLAIN,       /* a quote doubled is one */
    STRING_BACKSLASHES, /* … and so is one behind a backslash */
    STRING_BITS,        /* the first quote ends it: B'' and X'' */
};

/* @at is behind the opening quote. */
static const char *skip_string(const struct lexer *lexer, const char *at, enum string_form form,
                               bool *ret_unterminated)
{
    while (at < lexer->end) {
        if (form != STRING_BACKSLASHES) {
            at = memchr(at, '\'', left(lexer, at));
            if (!at)
                break;
        } else if (*at == '\\') {
            at += left(lexer, at) >= 2 ? 2 : 1;
            continue;
        } else if (*at != '\'') {
            at++;
            continue;
        }
        at++; /* behind a quote */
        if (at < lexer->end && *at == '\'' && form != STRING_BITS) {
            at++;
            continue;
        }
        const char *more = string_continuation(lexer, at);
        if (!more)
            return at;
        at = more;
    }
    *ret_unterminated = true;
    return lexer->end;
}

static enum string_form plain_form(const struct lexer *lexer)
{
    return lexer->backslash_strings ? STRING_BACKSLASHES : STRING_PLAIN;
}

static const char *skip_quoted_identifier(const struct lexer *lexer, const char *at,
                                          bool *ret_unterminated)
{
    while (at < lexer->end && (at = memchr(at, '"', left(lexer, at)))) {
        at++;
        if (at == lexer->end || *at != '"')
            return at;
        at++;
    }
    *ret_unterminated = true;
    return lexer->end;
}

/* $tag$ … $tag$; @at is at the first dollar. NULL if this opens no dollar-quoted string. */
static const char *skip_dollar_string(const struct lexer *lexer, const char *at,
                                      bool *ret_unterminated)
{
    const char *tag = at++;
    size_t tag_length;

    if (at < lexer->end && is(*at, IDENTIFIER_START)) {
        while (at < lexer->end && is(*at, IDENTIFIER_REST) && *at != '$')
            at++;
    }
    if (at == lexer->end || *at != '$')
        return NULL;
    at++;
    tag_length = (size_t)(at - tag);
    while ((at = memchr(at, '$', left(lexer, at)))) {
        if (left(lexer, at) < tag_length)
            break;
        if (memcmp(at, tag, tag_length) == 0)
            return at + tag_length;
        at++;
    }
    *ret_unterminated = true;
    return lexer->end;
}

/* Digits of @class with single underscores between them: {digit}(_?{digit})*. */
static const char *skip_digits(const struct lexer *lexer, const char *at, unsigned class)
{
    while (at < lexer->end) {
        if (is(*at, class))
            at++;
        else if (*at == '_' && left(lexer, at) >= 2 && is(at[1], class))
            at += 2;
        else
            break;
    }
    return at;
}

/* Nothing, where no digit comes first. */
static const char *skip_integer(const struct lexer *lexer, const char *at)
{
    return at < lexer->end && is(*at, DIGIT) ? skip_digits(lexer, at, DIGIT) : at;
}

static const char *skip_octal_or_binary(const struct lexer *lexer, const char *at, char last)
{
    while (at < lexer->end) {
        if (*at >= '0' && *at <= last)
            at++;
        else if (*at == '_' && left(lexer, at) >= 2 && at[1] >= '0' && at[1] <= last)
            at += 2;
        else
            break;
    }
    return at;
}

/* 0x…, 0o…, 0b…; NULL if no digit follows the prefix. */
static const char *skip_prefixed_number(const struct lexer *lexer, const char *at)
{
    const char *digits, *behind;

    if (left(lexer, at) < 3 || at[0] != '0')
        return NULL;
    digits = at + 2;
    switch (at[1]) {
    case 'x':
    case 'X':
        behind = skip_digits(lexer, digits, HEX);
        break;
    case 'o':
    case 'O':
        behind = skip_octal_or_binary(lexer, digits, '7');
        break;
    case 'b':
    case 'B':
        behind = skip_octal_or_binary(lexer, digits, '1');
        break;
    default:
        return NULL;
    }
    return behind > digits ? behind : NULL;
}

static const char *skip_other_number(const struct lexer *lexer, const char *at)
{
    const char *exponent, *behind = skip_prefixed_number(lexer, at);

    if (behind)
        return behind;
    at = skip_integer(lexer, at);
    /* `1..10` is a number, two dots and a number. */
    if (at < lexer->end && *at == '.' && !starts(lexer, at, '.', '.'))
        at = skip_integer(lexer, at + 1);
    if (at < lexer->end && (*at == 'e' || *at == 'E')) {
        exponent = at + 1;
        if (exponent < lexer->end && (*exponent == '+' || *exponent == '-'))
            exponent++;
        if (exponent < lexer->end && is(*exponent, DIGIT))
            at = skip_digits(lexer, exponent, DIGIT);
    }
    return at;
}

/* Nearly all are digits and nothing else. */
static inline const char *skip_number(const struct lexer *lexer, const char *at)
{
    const char *behind = at;

    while (behind < lexer->end && is(*behind, DIGIT))
        behind++;
    if (behind == lexer->end || !(is(*behind, IDENTIFIER_REST) || *behind == '.'))
        return behind;
    return skip_other_number(lexer, at);
}

/* The longest run of operator bytes, cut where a comment begins; of more than one byte it may
 * end in + or - only if it holds one of ~ ! @ # ^ & | ` ? %, as SQL's own operators do not. */
static const char *skip_operator(const struct lexer *lexer, const char *at)
{
    const char *begin = at, *behind = at;
    bool is_special = false;

    if (left(lexer, at) >= 2 && !is(at[1], OPERATOR))
        return at + 1;
    while (behind < lexer->end && is(*behind, OPERATOR)) {
        if (behind > begin && (starts(lexer, behind, '/', '*') || starts(lexer, behind, '-', '-')))
            break;
        behind++;
    }
    for (at = begin; at < behind; at++)
        is_special = is_special || memchr("~!@#^&|`?%", *at, 10);
    while (!is_special && behind - begin > 1 && (behind[-1] == '+' || behind[-1] == '-'))
        behind--;
    return behind;
}

/* White space, and comments where they are not wanted. True if there was any. */
static bool skip_space(struct lexer *lexer, bool *ret_unterminated)
{
    const char *begin = lexer->at;

    for (;;) {
        lexer->at = skip_class(lexer, lexer->at, SPACE);
        if (lexer->wants_comments)
            break;
        if (starts(lexer, lexer->at, '-', '-'))
            lexer->at = skip_line_comment(lexer, lexer->at);
        else if (starts(lexer, lexer->at, '/', '*'))
            lexer->at = skip_block_comment(lexer, lexer->at, ret_unterminated);
        else
            break;
    }
    return lexer->at > begin;
}

/* A letter and the quote behind it: a string's opening? */
static const char *skip_prefixed_string(const struct lexer *lexer, struct token *token)
{
    const char *behind = token->bytes + 2;

    switch (token->bytes[0] | 0x20) {
    case 'e':
        token->kind = TOKEN_STRING;
        return skip_string(lexer, behind, STRING_BACKSLASHES, &token->unterminated);
    case 'b':
    case 'x':
        token->kind = TOKEN_STRING;
        return skip_string(lexer, behind, STRING_BITS, &token->unterminated);
    case 'n':
        token->kind = TOKEN_STRING;
        return skip_string(lexer, behind, plain_form(lexer), &token->unterminated);
    default:
        return behind - 1;
    }
}

/* U& and a quote. */
static const char *skip_unicode(const struct lexer *lexer, struct token *token)
{
    const char *behind = token->bytes + 3;

    if (behind[-1] == '\'') {
        token->kind = TOKEN_STRING;
        return skip_string(lexer, behind, STRING_PLAIN, &token->unterminated);
    }
    token->kind = TOKEN_QUOTED_IDENTIFIER;
    return skip_quoted_identifier(lexer, behind, &token->unterminated);
}

#ifdef __SSE2__
#include <emmintrin.h>

/* Sixteen bytes at a time, since most names are shorter: one step, and no branch to mispredict. */
static inline const char *skip_identifier(const struct lexer *lexer, const char *at)
{
    while (left(lexer, at) >= 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        /* Signed: bytes from 0x80 are negative, and stand in names. */
        __m128i folded = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
        __m128i letter = _mm_and_si128(_mm_cmpgt_epi8(folded, _mm_set1_epi8('a' - 1)),
                                       _mm_cmplt_epi8(folded, _mm_set1_epi8('z' + 1)));
        __m128i digit = _mm_and_si128(_mm_cmpgt_epi8(bytes, _mm_set1_epi8('0' - 1)),
                                      _mm_cmplt_epi8(bytes, _mm_set1_epi8('9' + 1)));
        __m128i other = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('_')),
                                     _mm_cmpeq_epi8(bytes, _mm_set1_epi8('$')));
        __m128i rest = _mm_or_si128(_mm_or_si128(letter, digit), _mm_or_si128(other, bytes));
        unsigned ends = ~(unsigned)_mm_movemask_epi8(rest) & 0xffff;
        if (ends)
            return at + __builtin_ctz(ends);
        at += 16;
    }
    return skip_class(lexer, at, IDENTIFIER_REST);
}
#else
static inline const char *skip_identifier(const struct lexer *lexer, const char *at)
{
    return skip_class(lexer, at, IDENTIFIER_REST);
}
#endif

/* Names, keywords, and strings with a letter before the quote. */
static inline const char *skip_word(const struct lexer *lexer, struct token *token)
{
    const char *begin = token->bytes, *behind = skip_identifier(lexer, begin + 1);

    token->kind = TOKEN_IDENTIFIER;
    if (behind - begin == 1 && behind < lexer->end) {
        if (*behind == '\'')
            return skip_prefixed_string(lexer, token);
        if (*behind == '&' && (*begin | 0x20) == 'u' && left(lexer, behind) >= 2 &&
            (behind[1] == '\'' || behind[1] == '"'))
            return skip_unicode(lexer, token);
    }
    return behind;
}

static const char *skip_dollar(const struct lexer *lexer, struct token *token)
{
    const char *at = token->bytes, *behind;

    if (left(lexer, at) >= 2 && is(at[1], DIGIT)) {
        token->kind = TOKEN_PARAMETER;
        return skip_class(lexer, at + 1, DIGIT);
    }
    behind = skip_dollar_string(lexer, at, &token->unterminated);
    token->kind = behind ? TOKEN_STRING : TOKEN_OTHER;
    return behind ? behind : at + 1;
}

static const char *skip_self(const struct lexer *lexer, struct token *token)
{
    const char *at = token->bytes;

    if (at[0] == '.' && left(lexer, at) >= 2 && is(at[1], DIGIT)) {
        token->kind = TOKEN_NUMBER;
        return skip_number(lexer, at);
    }
    if (starts(lexer, at, ':', '=')) {
        token->kind = TOKEN_OPERATOR;
        return at + 2;
    }
    token->kind = TOKEN_SELF;
    return at + (starts(lexer, at, ':', ':') || starts(lexer, at, '.', '.') ? 2 : 1);
}

static const char *skip_token(const struct lexer *lexer, struct token *token)
{
    const char *at = token->bytes;
    uint8_t class = classes[(uint8_t)*at];

    if (class & IDENTIFIER_START)
        return skip_word(lexer, token);
    if (class & DIGIT) {
        token->kind = TOKEN_NUMBER;
        return skip_number(lexer, at);
    }
    if (class & SELF)
        return skip_self(lexer, token);
    if (class & OPERATOR) {
        if (starts(lexer, at, '-', '-')) {
            token->kind = TOKEN_COMMENT;
            return skip_line_comment(lexer, at);
        }
        if (starts(lexer, at, '/', '*')) {
            token->kind = TOKEN_COMMENT;
            return skip_block_comment(lexer, at, &token->unterminated);
        }
        token->kind = TOKEN_OPERATOR;
        return skip_operator(lexer, at);
    }
    switch (*at) {
    case '\'':
        token->kind = TOKEN_STRING;
        return skip_string(lexer, at + 1, plain_form(lexer), &token->unterminated);
    case '"':
        token->kind = TOKEN_QUOTED_IDENTIFIER;
        return skip_quoted_identifier(lexer, at + 1, &token->unterminated);
    case '$':
        return skip_dollar(lexer, token);
    default:
        token->kind = TOKEN_OTHER;
        return at + 1;
    }
}

void lexer_next(struct lexer *lexer, struct token *ret)
{
    const char *at = lexer->at;

    ret->unterminated = false;
    ret->spaced = at < lexer->end && *at == ' '; /* nearly always one or none */
    at += ret->spaced;
    if (at == lexer->end || is(*at, SPACE) || *at == '-' || *at == '/') {
        lexer->at = at;
        ret->spaced |= skip_space(lexer, &ret->unterminated);
        at = lexer->at;
    }
    ret->bytes = at;
    if (at == lexer->end) {
        lexer->at = at;
        ret->kind = TOKEN_END;
        ret->length = 0;
        return;
    }
    lexer->at = skip_token(lexer, ret);
    ret->length = (size_t)(lexer->at - at);
}

bool token_equals(const struct token *token, const char *keyword)
{
    for (size_t i = 0; i < token->length; i++) {
        char byte = token->bytes[i];
        if (byte >= 'A' && byte <= 'Z')
            byte = (char)(byte + 'a' - 'A');
        if (byte != keyword[i])
            return false;
    }
    return true;
}
