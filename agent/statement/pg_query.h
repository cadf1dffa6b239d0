/* PostgreSQL's own scanner and parser, as far as summaries need them. Lives in a shared object of
 * its own (libweir_pg_query.so): libpg_query's archive brings its own protobuf-c and xxHash, whose
 * names would clash with the real ones that the agent links. Nothing else of it is visible. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum pg_token_kind {
    PG_TOKEN_NAME,    /* an identifier, quoted or not */
    PG_TOKEN_KEYWORD, /* any keyword, reserved or not */
    PG_TOKEN_PARAM,   /* $n */
    PG_TOKEN_DOT,
    PG_TOKEN_COMMA,
    PG_TOKEN_OPEN, /* ( */
    PG_TOKEN_OTHER,
};

/* A token's bytes are text[start, end). Comments are no tokens. */
struct pg_token {
    uint32_t start, end;
    enum pg_token_kind kind;
};

enum { PG_QUERY_E_REFUSED = 1 };

/* Scans a NUL-terminated text; tokens beyond @tokens_max are left out. Returns 0, -ENOMEM, or
 * PG_QUERY_E_REFUSED with the offset of what no scanner accepts in *ret_offset. Any thread. */
int weir_pg_query_scan(const char *text, struct pg_token *tokens, size_t tokens_max,
                       size_t *ret_count, size_t *ret_offset) __attribute__((warn_unused_result));

/* Parses a NUL-terminated text into a tree, written as JSON by PostgreSQL's names of nodes and
 * fields; the caller frees it with free(). 0, -ENOMEM or PG_QUERY_E_REFUSED. */
int weir_pg_query_parse(const char *text, char **ret_tree) __attribute__((warn_unused_result));
