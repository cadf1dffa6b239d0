/* Which relations a parse tree names, and where in the text. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { RELATIONS_MAX = 128 };

/* Byte offsets into the parsed text, ascending. Relations beyond RELATIONS_MAX are left out. */
struct relations {
    uint32_t count;
    uint32_t offsets[RELATIONS_MAX];
};

/* Walks a tree as weir_pg_query_parse writes it. Names of the statement's own WITH queries and of
 * locking clauses (FOR UPDATE OF x) are not relations of their own. */
void relations_find(const char *tree, struct relations *ret);
