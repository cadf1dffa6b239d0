#include "shim/probe/verb.h"

static enum statement_verb verb_of_rollback(struct lexer *lexer)
{
    struct token token;

    lexer_next(lexer, &token);
    if (token_is(&token, "work") || token_is(&token, "transaction"))
        lexer_next(lexer, &token);
    return token_is(&token, "to") || token_is(&token, "prepared") ? VERB_OTHER : VERB_ROLLBACK;
}

static enum statement_verb verb_of_prepare(struct lexer *lexer)
{
    struct token token;

    lexer_next(lexer, &token);
    if (!token_is(&token, "transaction"))
        return VERB_PREPARE;
    lexer_next(lexer, &token);
    return token.kind == TOKEN_STRING ? VERB_OTHER : VERB_PREPARE;
}

enum statement_verb verb_of(struct lexer lexer)
{
    static const struct {
        const char *keyword;
        enum statement_verb verb;
    } simple[] = {
        {"begin", VERB_BEGIN},           {"execute", VERB_EXECUTE}, {"listen", VERB_LISTEN},
        {"deallocate", VERB_DEALLOCATE}, {"discard", VERB_DISCARD}, {"copy", VERB_COPY},
        {"unlisten", VERB_UNLISTEN},     {"set", VERB_SET},
    };
    struct token token, second;

    do
        lexer_next(&lexer, &token);
    while (token_is_self(&token, ';'));
    if (token.kind == TOKEN_END)
        return VERB_EMPTY;
    if (token.kind != TOKEN_IDENTIFIER)
        return VERB_OTHER;
    for (size_t i = 0; i < sizeof(simple) / sizeof(simple[0]); i++) {
        if (token_is(&token, simple[i].keyword))
            return simple[i].verb;
    }
    if (token_is(&token, "rollback") || token_is(&token, "abort"))
        return verb_of_rollback(&lexer);
    if (token_is(&token, "prepare"))
        return verb_of_prepare(&lexer);
    lexer_next(&lexer, &second);
    if (token_is(&token, "start") && token_is(&second, "transaction"))
        return VERB_BEGIN;
    if ((token_is(&token, "commit") || token_is(&token, "end")) && !token_is(&second, "prepared"))
        return VERB_COMMIT;
    return VERB_OTHER;
}
