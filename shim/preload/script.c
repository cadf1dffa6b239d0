#include "shim/preload/script.h"

#include "shim/probe/verb.h"

struct script script_of(struct view sql, uint32_t options)
{
    return (struct script){.sql = sql, .options = options};
}

/* True if there is no ';' but at the end. */
static bool script_is_single(struct view sql)
{
    const char *first = memchr(sql.bytes, ';', sql.length);

    if (!first)
        return true;
    for (const char *at = first + 1; at < sql.bytes + sql.length; at++)
        if (*at != ' ' && *at != '\n' && *at != '\t' && *at != '\r')
            return false;
    return true;
}

/* The verbs whose names and bodies are wanted. */
static bool verb_has_name(enum statement_verb verb)
{
    return verb == VERB_PREPARE || verb == VERB_EXECUTE || verb == VERB_DEALLOCATE ||
           verb == VERB_LISTEN || verb == VERB_UNLISTEN;
}

bool script_next(struct script *script, struct statement_part *ret)
{
    enum statement_verb verb;

    if (script->offset == 0 && script->sql.length && script_is_single(script->sql)) {
        verb = verb_of(lexer_of(script->sql, script->options & NORMALIZE_BACKSLASH_STRINGS));
        if (!verb_has_name(verb)) {
            /* Whole, with the comments around it: they may say whose request it is. */
            *ret = (struct statement_part){.sql = script->sql, .verb = verb};
            script->offset = script->sql.length;
            return verb != VERB_EMPTY;
        }
    }
    return statement_split_next(script->sql, script->options, &script->offset, ret);
}
