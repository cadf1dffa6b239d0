#include <string.h>

#include "shim/session/failure.h"

enum again { FINAL = 0, RETRY = 1 };

struct rule {
    char state[6];
    enum weir_error_category category;
    enum again again;
};

static const struct rule code_rules[] = {
#define CLASS(class, category, again, why)
#define CODE(code, category, again, why) {code, WEIR_ERROR_##category, again},
#include "shim/session/sqlstate.def"
#undef CLASS
#undef CODE
};

static const struct rule class_rules[] = {
#define CLASS(class, category, again, why) {class, WEIR_ERROR_##category, again},
#define CODE(code, category, again, why)
#include "shim/session/sqlstate.def"
#undef CLASS
#undef CODE
};

/* Services define codes and classes of their own, for functions that raise them. */
static const struct rule unknown_rule = {"", WEIR_ERROR_SERVER, FINAL};

#define COUNT_OF(rules) (sizeof(rules) / sizeof((rules)[0]))

static const struct rule *rule_find(const char *sqlstate)
{
    if (!sqlstate || strlen(sqlstate) != 5)
        return &unknown_rule;
    for (size_t i = 0; i < COUNT_OF(code_rules); i++)
        if (!memcmp(code_rules[i].state, sqlstate, 5))
            return &code_rules[i];
    for (size_t i = 0; i < COUNT_OF(class_rules); i++)
        if (!memcmp(class_rules[i].state, sqlstate, 2))
            return &class_rules[i];
    return &unknown_rule;
}

enum weir_error_category sqlstate_category(const char *sqlstate)
{
    return rule_find(sqlstate)->category;
}

bool sqlstate_is_retryable(const char *sqlstate)
{
    return rule_find(sqlstate)->again == RETRY;
}
