/* Names that programs generate (savepoint_17, cursor_0x3) and where grammar names them: there each
 * run of digits stands as one 0. Pure. */
#pragma once

#include <stdbool.h>

#include "shim/probe/lexer.h"

enum name_place {
    PLACE_START = 0, /* the statement's first word comes next */
    PLACE_NONE,
    PLACE_NAME, /* the name comes next */
    PLACE_RELEASE,
    PLACE_ROLLBACK,
    PLACE_TO,
    PLACE_FETCH,
    PLACE_DEALLOCATE,
    PLACE_CREATE,
    PLACE_TEMPORARY,
    PLACE_TABLE,
};

/* True where @token cannot lead to such a name: nearly always, and then *place stays. */
static inline bool name_place_is_over(enum name_place place, const struct token *token)
{
    return place == PLACE_NONE && token->kind != TOKEN_SELF;
}

/* Moves *place over @token. True: @token is such a name. */
bool name_place_advance(enum name_place *place, const struct token *token);

/* Writes @token with each run of digits as 0; returns the length, 0 if it does not fit. */
size_t generated_name_fold(const struct token *token, char *folded, size_t capacity);
