#include "shim/probe/keyword.h"

bool keyword_before_operand(const struct token *token)
{
    static const char *const keywords[] = {
        "all",     "and",       "as",      "asymmetric", "between",  "both",      "by",
        "case",    "check",     "default", "distinct",   "do",       "else",      "except",
        "fetch",   "for",       "from",    "having",     "ilike",    "in",        "intersect",
        "leading", "like",      "limit",   "not",        "offset",   "on",        "or",
        "return",  "returning", "select",  "similar",    "some",     "symmetric", "then",
        "to",      "trailing",  "union",   "using",      "variadic", "when",      "where",
    };

    if (token->kind != TOKEN_IDENTIFIER || token->length < 2 || token->length > 10)
        return false;
    for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
        /* First letters differ for nearly all, so this costs less than any table. */
        if (((token->bytes[0] ^ keywords[i][0]) & ~0x20) == 0 && token_is(token, keywords[i]))
            return true;
    }
    return false;
}

bool keyword_is_constant(const struct token *token)
{
    return token_is(token, "null") || token_is(token, "true") || token_is(token, "false");
}
