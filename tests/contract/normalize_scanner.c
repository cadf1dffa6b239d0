#include "tests/contract/normalize_scanner.h"

#include <errno.h>
#include <pg_query.h>
#include <pg_query/pg_query.pb-c.h>
#include <stdlib.h>

static enum token_kind kind_of(const PgQuery__ScanToken *token, const char *bytes)
{
    if (token->keyword_kind != PG_QUERY__KEYWORD_KIND__NO_KEYWORD)
        return TOKEN_IDENTIFIER;
    switch ((int)token->token) {
    case PG_QUERY__TOKEN__IDENT:
        return *bytes == '"' ? TOKEN_QUOTED_IDENTIFIER : TOKEN_IDENTIFIER;
    case PG_QUERY__TOKEN__FCONST:
    case PG_QUERY__TOKEN__ICONST:
        return TOKEN_NUMBER;
    case PG_QUERY__TOKEN__SCONST:
    case PG_QUERY__TOKEN__BCONST:
    case PG_QUERY__TOKEN__XCONST:
        return TOKEN_STRING;
    case PG_QUERY__TOKEN__PARAM:
        return TOKEN_PARAMETER;
    case PG_QUERY__TOKEN__SQL_COMMENT:
    case PG_QUERY__TOKEN__C_COMMENT:
        return TOKEN_COMMENT;
    case PG_QUERY__TOKEN__Op:
    case PG_QUERY__TOKEN__COLON_EQUALS:
    case PG_QUERY__TOKEN__EQUALS_GREATER:
    case PG_QUERY__TOKEN__LESS_EQUALS:
    case PG_QUERY__TOKEN__GREATER_EQUALS:
    case PG_QUERY__TOKEN__NOT_EQUALS:
        return TOKEN_OPERATOR;
    case PG_QUERY__TOKEN__TYPECAST:
    case PG_QUERY__TOKEN__DOT_DOT:
        return TOKEN_SELF;
    default:
        if (*bytes && strchr(",()[].;:", *bytes))
            return TOKEN_SELF;
        return *bytes && strchr("+-*/%^<>=", *bytes) ? TOKEN_OPERATOR : TOKEN_OTHER;
    }
}

__attribute__((visibility("default"))) int scanner_scan(const char *text, struct scanned **ret,
                                                        size_t *ret_count)
{
    PgQueryScanResult result = pg_query_scan(text);
    PgQuery__ScanResult *scan = NULL;
    int r = -EINVAL;

    if (!result.error) {
        scan = pg_query__scan_result__unpack(NULL, result.pbuf.len, (uint8_t *)result.pbuf.data);
        r = -ENOMEM;
    }
    pg_query_free_scan_result(result);
    if (!scan)
        return r;
    *ret = calloc(scan->n_tokens + 1, sizeof(**ret));
    for (size_t i = 0; *ret && i < scan->n_tokens; i++) {
        const PgQuery__ScanToken *token = scan->tokens[i];
        (*ret)[i] = (struct scanned){
            .begin = (uint32_t)token->start,
            .end = (uint32_t)token->end,
            .kind = kind_of(token, text + token->start),
            .is_excepted = token->token == PG_QUERY__TOKEN__USCONST ||
                           token->token == PG_QUERY__TOKEN__UIDENT || token->start == token->end,
        };
    }
    *ret_count = scan->n_tokens;
    pg_query__scan_result__free_unpacked(scan, NULL);
    return *ret ? 0 : -ENOMEM;
}
