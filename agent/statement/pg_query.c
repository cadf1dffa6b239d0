#include "agent/statement/pg_query.h"

#include <errno.h>
#include <pg_query.h>
#include <pg_query/pg_query.pb-c.h>
#include <stdlib.h>
#include <string.h>

#define EXPORTED __attribute__((visibility("default")))

static enum pg_token_kind token_kind(const PgQuery__ScanToken *token)
{
    if (token->keyword_kind != PG_QUERY__KEYWORD_KIND__NO_KEYWORD)
        return PG_TOKEN_KEYWORD;
    if (token->token == PG_QUERY__TOKEN__IDENT || token->token == PG_QUERY__TOKEN__UIDENT)
        return PG_TOKEN_NAME;
    if (token->token == PG_QUERY__TOKEN__PARAM)
        return PG_TOKEN_PARAM;
    if (token->token == PG_QUERY__TOKEN__ASCII_46)
        return PG_TOKEN_DOT;
    if (token->token == PG_QUERY__TOKEN__ASCII_44)
        return PG_TOKEN_COMMA;
    if (token->token == PG_QUERY__TOKEN__ASCII_40)
        return PG_TOKEN_OPEN;
    return PG_TOKEN_OTHER;
}

static size_t tokens_copy(const PgQuery__ScanResult *scan, size_t length, struct pg_token *tokens,
                          size_t tokens_max)
{
    size_t count = 0;

    for (size_t i = 0; i < scan->n_tokens && count < tokens_max; i++) {
        const PgQuery__ScanToken *token = scan->tokens[i];

        if (token->token == PG_QUERY__TOKEN__SQL_COMMENT ||
            token->token == PG_QUERY__TOKEN__C_COMMENT)
            continue;
        if (token->start < 0 || token->end < token->start || (size_t)token->end > length)
            continue;
        tokens[count++] =
            (struct pg_token){(uint32_t)token->start, (uint32_t)token->end, token_kind(token)};
    }
    return count;
}

EXPORTED int weir_pg_query_scan(const char *text, struct pg_token *tokens, size_t tokens_max,
                                size_t *ret_count, size_t *ret_offset)
{
    PgQueryScanResult result = pg_query_scan(text);
    PgQuery__ScanResult *scan = NULL;
    int r = 0;

    if (result.error) {
        /* The position counts characters from 1; as bytes it is never beyond the fault. */
        *ret_offset = result.error->cursorpos > 0 ? (size_t)result.error->cursorpos - 1 : 0;
        r = PG_QUERY_E_REFUSED;
    } else {
        scan = pg_query__scan_result__unpack(NULL, result.pbuf.len, (uint8_t *)result.pbuf.data);
        if (!scan)
            r = -ENOMEM;
    }
    if (scan) {
        *ret_count = tokens_copy(scan, strlen(text), tokens, tokens_max);
        pg_query__scan_result__free_unpacked(scan, NULL);
    }
    pg_query_free_scan_result(result);
    return r;
}

EXPORTED int weir_pg_query_parse(const char *text, char **ret_tree)
{
    PgQueryParseResult result = pg_query_parse(text);
    int r = 0;

    if (result.error) {
        r = PG_QUERY_E_REFUSED;
    } else {
        *ret_tree = result.parse_tree;
        result.parse_tree = NULL;
        if (!*ret_tree)
            r = -ENOMEM;
    }
    pg_query_free_parse_result(result);
    return r;
}
