/* The few keywords that normalization must know. Pure. */
#pragma once

#include "shim/probe/lexer.h"

enum keyword {
    KEYWORD_BEFORE_OPERAND = 1u << 0, /* cannot end an expression: a minus behind it is a sign */
    KEYWORD_CONSTANT = 1u << 1,       /* TRUE, FALSE, NULL: constants that stay as they are */
    KEYWORD_IN = 1u << 2,
    KEYWORD_ARRAY = 1u << 3,
    KEYWORD_VALUES = 1u << 4,
};

/* What @token is, as bits of enum keyword; 0 for all that is no such keyword. */
unsigned keyword_of(const struct token *token);
