/* PostgreSQL's lexical forms, token by token, over bytes that need not be text: never reads past
 * the end, never allocates, never fails. The forms are those of PostgreSQL 16's scanner; older
 * servers refuse what is new in them. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

enum token_kind {
    TOKEN_END = 0,
    TOKEN_IDENTIFIER,        /* keyword or unquoted identifier */
    TOKEN_QUOTED_IDENTIFIER, /* "…" and U&"…" */
    TOKEN_STRING, /* '…' E'…' U&'…' N'…' B'…' X'…' and dollar-quoted, continuations too */
    TOKEN_NUMBER,
    TOKEN_PARAMETER, /* $1 */
    TOKEN_OPERATOR,  /* an operator of any length, => and := too */
    TOKEN_SELF,      /* , ( ) [ ] . ; : and the pairs :: and .. */
    TOKEN_COMMENT,   /* only where asked for */
    TOKEN_OTHER,     /* a byte that begins nothing */
};

struct token {
    enum token_kind kind;
    bool spaced;       /* white space or a comment stood before it */
    bool unterminated; /* the input ended inside */
    const char *bytes;
    size_t length;
};

struct lexer {
    const char *at;
    const char *end;
    bool backslash_strings; /* standard_conforming_strings = off */
    bool wants_comments;    /* deliver comments as tokens */
};

static inline struct lexer lexer_of(struct view sql, bool backslash_strings)
{
    return (struct lexer){sql.bytes, sql.bytes + sql.length, backslash_strings, false};
}

/* The next token; TOKEN_END again and again at the end. */
void lexer_next(struct lexer *lexer, struct token *ret);

/* True if an unquoted identifier of @keyword's length is this keyword, given in lower case. */
bool token_equals(const struct token *token, const char *keyword);

/* The same of any length; nearly always the first letter decides. */
static inline bool token_is(const struct token *token, const char *keyword)
{
    return token->kind == TOKEN_IDENTIFIER && (token->bytes[0] | 0x20) == keyword[0] &&
           token->length == strlen(keyword) && token_equals(token, keyword);
}

static inline bool token_is_self(const struct token *token, char self)
{
    return token->kind == TOKEN_SELF && token->length == 1 && token->bytes[0] == self;
}

/* Non-zero for bytes that may stand inside an unquoted identifier. */
extern const uint8_t lexer_identifier_bytes[256];

static inline bool lexer_is_identifier_byte(char byte)
{
    return lexer_identifier_bytes[(uint8_t)byte];
}
