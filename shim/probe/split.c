/* The top-level statements of a string. */
#include "shim/probe/lexer.h"
#include "shim/probe/normalize.h"
#include "shim/probe/verb.h"

enum { IDENTIFIER_NAME_MAX = 63 }; /* PostgreSQL cuts longer names: NAMEDATALEN - 1 */

/* Where a ';' ends nothing: inside parentheses and inside BEGIN ATOMIC … END. */
struct nesting {
    size_t parentheses;
    size_t blocks;  /* BEGIN ATOMIC and the CASEs inside */
    unsigned words; /* of the statement so far, up to CREATE OR REPLACE FUNCTION's four */
    bool is_create, is_routine;
    bool after_begin; /* ATOMIC comes next, or this is no block */
    bool is_label;    /* after AS or a dot any keyword is a name */
};

static void nesting_follow_word(struct nesting *nesting, const struct token *token)
{
    unsigned word = nesting->words++;

    if (word == 0)
        nesting->is_create = token_is(token, "create");
    else if (word < 4 && nesting->is_create && !nesting->is_routine)
        nesting->is_routine = token_is(token, "function") || token_is(token, "procedure");
    else if (!nesting->is_routine || nesting->parentheses || nesting->is_label)
        return;
    else if (nesting->after_begin)
        nesting->blocks += token_is(token, "atomic");
    else if (nesting->blocks && token_is(token, "case"))
        nesting->blocks++;
    else if (nesting->blocks && token_is(token, "end"))
        nesting->blocks--;
}

static void nesting_follow(struct nesting *nesting, const struct token *token)
{
    if (token_is_self(token, '('))
        nesting->parentheses++;
    else if (token_is_self(token, ')'))
        nesting->parentheses -= nesting->parentheses > 0;
    else if (token->kind == TOKEN_IDENTIFIER)
        nesting_follow_word(nesting, token);
    nesting->after_begin = token_is(token, "begin");
    nesting->is_label = token_is(token, "as") || token_is_self(token, '.');
}

static struct view token_view(const struct token *token)
{
    return (struct view){token->bytes, token->length};
}

/* The name that PREPARE, EXECUTE, DEALLOCATE, LISTEN and UNLISTEN are about, and PREPARE's body. */
static void read_name(struct statement_part *part, uint32_t options)
{
    struct lexer lexer = lexer_of(part->sql, options & NORMALIZE_BACKSLASH_STRINGS);
    struct token token;
    size_t parentheses = 0;

    if (part->verb != VERB_PREPARE && part->verb != VERB_EXECUTE && part->verb != VERB_DEALLOCATE &&
        part->verb != VERB_LISTEN && part->verb != VERB_UNLISTEN)
        return;
    lexer_next(&lexer, &token);
    lexer_next(&lexer, &token);
    if (part->verb == VERB_DEALLOCATE && token_is(&token, "prepare"))
        lexer_next(&lexer, &token);
    if (part->verb == VERB_DEALLOCATE && token_is(&token, "all")) {
        part->deallocate_all = true;
        return;
    }
    if (token.kind == TOKEN_IDENTIFIER || token.kind == TOKEN_QUOTED_IDENTIFIER)
        part->name = token_view(&token);
    while (part->verb == VERB_PREPARE && token.kind != TOKEN_END) {
        lexer_next(&lexer, &token);
        parentheses += token_is_self(&token, '(');
        parentheses -= token_is_self(&token, ')') && parentheses > 0;
        if (parentheses == 0 && token_is(&token, "as")) {
            lexer_next(&lexer, &token);
            part->body.bytes = token.bytes;
            part->body.length = (size_t)(lexer.end - token.bytes);
            return;
        }
    }
}

bool statement_split_next(struct view sql, uint32_t options, size_t *offset,
                          struct statement_part *ret)
{
    struct nesting nesting = {0};
    struct lexer lexer;
    struct token token;
    const char *begin = NULL, *end = NULL;

    if (!sql.bytes || *offset >= sql.length)
        return false;
    lexer = lexer_of((struct view){sql.bytes + *offset, sql.length - *offset},
                     options & NORMALIZE_BACKSLASH_STRINGS);
    for (;;) {
        lexer_next(&lexer, &token);
        if (token.kind == TOKEN_END)
            break;
        if (token_is_self(&token, ';') && nesting.parentheses == 0 && nesting.blocks == 0) {
            if (begin)
                break;
            continue;
        }
        nesting_follow(&nesting, &token);
        if (!begin)
            begin = token.bytes;
        end = token.bytes + token.length;
    }
    *offset = (size_t)(lexer.at - sql.bytes);
    if (!begin)
        return false;
    *ret = (struct statement_part){.sql = {begin, (size_t)(end - begin)}};
    ret->verb = verb_of(lexer_of(ret->sql, options & NORMALIZE_BACKSLASH_STRINGS));
    read_name(ret, options);
    return true;
}

size_t statement_name_fold(struct view name, char *folded, size_t capacity)
{
    bool is_quoted = name.length >= 2 && name.bytes[name.length - 1] == '"';
    size_t begin = 0, end = name.length, length = 0;

    if (is_quoted) {
        begin = (name.bytes[0] | 0x20) == 'u' ? 3 : 1;
        end--;
    }
    for (size_t i = begin; i < end && length < IDENTIFIER_NAME_MAX; i++) {
        char byte = name.bytes[i];
        if (length == capacity)
            return 0;
        if (is_quoted && byte == '"')
            i++; /* doubled */
        else if (!is_quoted && byte >= 'A' && byte <= 'Z')
            byte = (char)(byte + 'a' - 'A');
        folded[length++] = byte;
    }
    return length;
}
