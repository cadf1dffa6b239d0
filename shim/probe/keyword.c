#include "shim/probe/keyword.h"

struct entry {
    const char *text;
    uint8_t length;
    uint8_t bits;
};

/* In alphabetical order. */
static const struct entry entries[] = {
    {"all", 3, KEYWORD_BEFORE_OPERAND},
    {"and", 3, KEYWORD_BEFORE_OPERAND},
    {"array", 5, KEYWORD_ARRAY},
    {"as", 2, KEYWORD_BEFORE_OPERAND},
    {"asymmetric", 10, KEYWORD_BEFORE_OPERAND},
    {"between", 7, KEYWORD_BEFORE_OPERAND},
    {"both", 4, KEYWORD_BEFORE_OPERAND},
    {"by", 2, KEYWORD_BEFORE_OPERAND},
    {"case", 4, KEYWORD_BEFORE_OPERAND},
    {"check", 5, KEYWORD_BEFORE_OPERAND},
    {"default", 7, KEYWORD_BEFORE_OPERAND},
    {"distinct", 8, KEYWORD_BEFORE_OPERAND},
    {"do", 2, KEYWORD_BEFORE_OPERAND},
    {"else", 4, KEYWORD_BEFORE_OPERAND},
    {"except", 6, KEYWORD_BEFORE_OPERAND},
    {"false", 5, KEYWORD_CONSTANT},
    {"fetch", 5, KEYWORD_BEFORE_OPERAND},
    {"for", 3, KEYWORD_BEFORE_OPERAND},
    {"from", 4, KEYWORD_BEFORE_OPERAND},
    {"having", 6, KEYWORD_BEFORE_OPERAND},
    {"ilike", 5, KEYWORD_BEFORE_OPERAND},
    {"in", 2, KEYWORD_BEFORE_OPERAND | KEYWORD_IN},
    {"intersect", 9, KEYWORD_BEFORE_OPERAND},
    {"leading", 7, KEYWORD_BEFORE_OPERAND},
    {"like", 4, KEYWORD_BEFORE_OPERAND},
    {"limit", 5, KEYWORD_BEFORE_OPERAND},
    {"not", 3, KEYWORD_BEFORE_OPERAND},
    {"null", 4, KEYWORD_CONSTANT},
    {"offset", 6, KEYWORD_BEFORE_OPERAND},
    {"on", 2, KEYWORD_BEFORE_OPERAND},
    {"or", 2, KEYWORD_BEFORE_OPERAND},
    {"return", 6, KEYWORD_BEFORE_OPERAND},
    {"returning", 9, KEYWORD_BEFORE_OPERAND},
    {"select", 6, KEYWORD_BEFORE_OPERAND},
    {"similar", 7, KEYWORD_BEFORE_OPERAND},
    {"some", 4, KEYWORD_BEFORE_OPERAND},
    {"symmetric", 9, KEYWORD_BEFORE_OPERAND},
    {"then", 4, KEYWORD_BEFORE_OPERAND},
    {"to", 2, KEYWORD_BEFORE_OPERAND},
    {"trailing", 8, KEYWORD_BEFORE_OPERAND},
    {"true", 4, KEYWORD_CONSTANT},
    {"union", 5, KEYWORD_BEFORE_OPERAND},
    {"using", 5, KEYWORD_BEFORE_OPERAND},
    {"values", 6, KEYWORD_VALUES},
    {"variadic", 8, KEYWORD_BEFORE_OPERAND},
    {"when", 4, KEYWORD_BEFORE_OPERAND},
    {"where", 5, KEYWORD_BEFORE_OPERAND},
};

/* Where each letter's keywords begin among them. */
static const uint8_t begins[27] = {
    0,  5,  8,  10, 13, 15, 19, 19, 20, 23, 23, 23, 26, 26,
    28, 31, 31, 31, 33, 37, 41, 43, 45, 47, 47, 47, 47,
};

unsigned keyword_of(const struct token *token)
{
    unsigned letter;

    if (token->kind != TOKEN_IDENTIFIER)
        return 0;
    letter = ((uint8_t)token->bytes[0] | 0x20u) - 'a';
    if (letter >= 26)
        return 0;
    for (unsigned i = begins[letter]; i < begins[letter + 1]; i++) {
        if (token->length == entries[i].length && token_equals(token, entries[i].text))
            return entries[i].bits;
    }
    return 0;
}
