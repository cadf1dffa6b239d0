#include "shim/probe/generated_name.h"

static enum name_place place_after_first(const struct token *token)
{
    static const struct {
        const char *keyword;
        enum name_place place;
    } places[] = {
        {"savepoint", PLACE_NAME},    {"release", PLACE_RELEASE},
        {"rollback", PLACE_ROLLBACK}, {"declare", PLACE_NAME},
        {"fetch", PLACE_FETCH},       {"move", PLACE_FETCH},
        {"close", PLACE_NAME},        {"prepare", PLACE_NAME},
        {"execute", PLACE_NAME},      {"deallocate", PLACE_DEALLOCATE},
        {"listen", PLACE_NAME},       {"unlisten", PLACE_NAME},
        {"notify", PLACE_NAME},       {"create", PLACE_CREATE},
    };

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (token_is(token, places[i].keyword))
            return places[i].place;
    }
    return PLACE_NONE;
}

/* Where the words before the name lead; PLACE_NAME means that @token itself is none of them. */
static enum name_place place_after_word(enum name_place place, const struct token *token,
                                        bool *ret_is_name)
{
    *ret_is_name = false;
    switch (place) {
    case PLACE_START:
        return place_after_first(token);
    case PLACE_RELEASE:
    case PLACE_TO:
        if (token_is(token, "savepoint"))
            return PLACE_NAME;
        break;
    case PLACE_DEALLOCATE:
        if (token_is(token, "prepare"))
            return PLACE_NAME;
        break;
    case PLACE_ROLLBACK:
        if (token_is(token, "work") || token_is(token, "transaction"))
            return PLACE_ROLLBACK;
        return token_is(token, "to") ? PLACE_TO : PLACE_NONE;
    case PLACE_FETCH:
        return token_is(token, "from") || token_is(token, "in") ? PLACE_NAME : PLACE_FETCH;
    case PLACE_CREATE:
        if (token_is(token, "global") || token_is(token, "local"))
            return PLACE_CREATE;
        return token_is(token, "temp") || token_is(token, "temporary") ? PLACE_TEMPORARY
                                                                       : PLACE_NONE;
    case PLACE_TEMPORARY:
        return token_is(token, "table") ? PLACE_TABLE : PLACE_NONE;
    case PLACE_TABLE:
        if (token_is(token, "if") || token_is(token, "not") || token_is(token, "exists"))
            return PLACE_TABLE;
        break;
    case PLACE_NAME:
        break;
    case PLACE_NONE:
        return PLACE_NONE;
    }
    *ret_is_name = token->kind == TOKEN_IDENTIFIER || token->kind == TOKEN_QUOTED_IDENTIFIER;
    return PLACE_NONE;
}

bool name_place_advance(enum name_place *place, const struct token *token)
{
    bool is_name;

    if (token_is_self(token, ';')) {
        *place = PLACE_START;
        return false;
    }
    *place = place_after_word(*place, token, &is_name);
    return is_name && !token->unterminated;
}

size_t generated_name_fold(const struct token *token, char *folded, size_t capacity)
{
    size_t length = 0;
    bool in_digits = false;

    for (size_t i = 0; i < token->length; i++) {
        bool is_digit = token->bytes[i] >= '0' && token->bytes[i] <= '9';
        if (is_digit && in_digits)
            continue;
        in_digits = is_digit;
        if (length == capacity)
            return 0;
        folded[length++] = is_digit ? '0' : token->bytes[i];
    }
    return length;
}
