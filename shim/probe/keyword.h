/* The few keywords that normalization must know. Pure. */
#pragma once

#include <stdbool.h>

#include "shim/probe/lexer.h"

/* True for keywords after which a minus can only be a sign: they cannot end an expression. */
bool keyword_before_operand(const struct token *token);

/* TRUE, FALSE, NULL: constants that stay as they are. */
bool keyword_is_constant(const struct token *token);
