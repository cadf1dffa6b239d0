/* Which state of a session the statements of a text may change. What a function or a DO block does
 * inside is not seen: a service that changes its session there resets with WEIR_RESET_ALL. */
#include "shim/session/changes.h"

#include <stdatomic.h>

#include "shim/probe/lexer.h"
#include "shim/probe/text_cache.h"
#include "shim/session/exchange.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { TRAITS_KNOWN = 1024, TRAIT_IS_KNOWN = 1u << 15, TRAITS_MASK = 0xffff };

/* ---- one statement's beginning --------------------------------------------------------------- */

static uint32_t traits_of_set(struct lexer *lexer)
{
    struct token token;

    lexer_next(lexer, &token);
    if (token_is(&token, "session") || token_is(&token, "local"))
        lexer_next(lexer, &token);
    if (token_is(&token, "role") || token_is(&token, "authorization"))
        return CHANGED_ROLE;
    if (token_is(&token, "constraints") || token_is(&token, "transaction"))
        return 0;
    return CHANGED_SETTINGS;
}

static uint32_t traits_of_create(struct lexer *lexer)
{
    struct token token;

    lexer_next(lexer, &token);
    while (token_is(&token, "or") || token_is(&token, "replace") || token_is(&token, "local") ||
           token_is(&token, "global"))
        lexer_next(lexer, &token);
    return token_is(&token, "temp") || token_is(&token, "temporary") ? CHANGED_TEMPORARY : 0;
}

static uint32_t traits_of_declare(struct lexer *lexer)
{
    struct token token;
    bool is_with = false;

    do {
        is_with = token_is(&token, "with");
        lexer_next(lexer, &token);
        if (is_with && token_is(&token, "hold"))
            return CHANGED_CURSORS;
    } while (token.kind == TOKEN_IDENTIFIER && !token_is(&token, "for"));
    return 0;
}

/* What a statement's first word says; @lexer stands behind it and is a copy. */
static uint32_t traits_of_first(const struct token *first, struct lexer lexer)
{
    struct token token;

    if (token_is(first, "select") || token_is(first, "insert") || token_is(first, "update") ||
        token_is(first, "delete") || token_is(first, "with"))
        return 0;
    if (token_is(first, "set") || token_is(first, "reset"))
        return traits_of_set(&lexer);
    if (token_is(first, "listen"))
        return CHANGED_LISTEN | TRAIT_LISTENS;
    if (token_is(first, "unlisten") || token_is(first, "discard"))
        return TRAIT_LISTENS;
    if (token_is(first, "create"))
        return traits_of_create(&lexer);
    if (token_is(first, "declare"))
        return traits_of_declare(&lexer);
    if (token_is(first, "deallocate"))
        return TRAIT_PREPARES;
    if (token_is(first, "prepare")) {
        lexer_next(&lexer, &token);
        return token_is(&token, "transaction") ? 0 : CHANGED_PREPARED | TRAIT_PREPARES;
    }
    if (token_is(first, "commit") || token_is(first, "end"))
        return TRAIT_COMMITS;
    return 0;
}

/* ---- words anywhere -------------------------------------------------------------------------- */

static bool view_begins(struct view text, const char *lower)
{
    size_t length = strlen(lower);

    if (text.length < length)
        return false;
    for (size_t i = 0; i < length; i++)
        if ((text.bytes[i] >= 'A' && text.bytes[i] <= 'Z' ? text.bytes[i] | 0x20 : text.bytes[i]) !=
            lower[i])
            return false;
    return true;
}

/* Names of functions and schemas; quoted ones without their quotes. */
static uint32_t traits_of_name(const struct token *token)
{
    struct view name = {token->bytes, token->length};

    if (token->kind == TOKEN_QUOTED_IDENTIFIER && name.length > 2) {
        name.bytes++;
        name.length--;
    }
    switch (name.bytes[0] | 0x20) {
    case 's':
        return view_begins(name, "set_config") ? CHANGED_SETTINGS : 0;
    case 'p':
        /* The locks of a transaction have xact in their names before lock. */
        if (view_begins(name, "pg_advisory_lock") || view_begins(name, "pg_try_advisory_lock"))
            return CHANGED_LOCKS;
        return view_begins(name, "pg_temp") ? CHANGED_TEMPORARY : 0;
    default:
        return 0;
    }
}

/* Texts with these statements count as scripts even where a ';' stands in a function's body: the
 * one who splits them looks closer. */
uint32_t traits_of(struct view sql, bool backslash_strings)
{
    struct lexer lexer = lexer_of(sql, backslash_strings);
    struct token token;
    uint32_t traits = 0, statements = 0;
    bool is_first = true, after_into = false;

    for (lexer_next(&lexer, &token); token.kind != TOKEN_END; lexer_next(&lexer, &token)) {
        if (token_is_self(&token, ';')) {
            is_first = true;
            continue;
        }
        if (is_first) {
            traits |= traits_of_first(&token, lexer);
            statements++;
        }
        is_first = false;
        if (token.kind != TOKEN_IDENTIFIER && token.kind != TOKEN_QUOTED_IDENTIFIER)
            continue;
        traits |= traits_of_name(&token);
        if (after_into && (token_is(&token, "temp") || token_is(&token, "temporary")))
            traits |= CHANGED_TEMPORARY;
        after_into = token_is(&token, "into") ||
                     (after_into && (token_is(&token, "local") || token_is(&token, "global")));
    }
    if (statements > 1)
        traits |= TRAIT_SCRIPT;
    if (sql.length && memchr(sql.bytes, '\\', sql.length))
        traits |= TRAIT_BACKSLASH;
    return traits;
}

uint32_t changes_of(struct view sql)
{
    return traits_recall(sql, text_hash(sql), NULL) & TRAITS_CHANGES;
}

/* ---- remembered ------------------------------------------------------------------------------ */

/* A text's hash but for its low bits, and its traits in their place. The entry's own place says ten
 * of them. One word, so that racing writers can only replace each other. */
static _Atomic uint64_t traits_known[TRAITS_KNOWN];

uint64_t text_hash(struct view sql)
{
    return XXH3_64bits_withSeed(sql.bytes, sql.length, text_cache_seed());
}

static bool has_backslash_strings(const PGconn *conn)
{
    const char *value = conn ? PQparameterStatus(conn, "standard_conforming_strings") : NULL;

    return value && !strcmp(value, "off");
}

uint32_t traits_recall(struct view sql, uint64_t hash, const PGconn *conn)
{
    _Atomic uint64_t *place = &traits_known[hash % TRAITS_KNOWN];
    uint64_t known = atomic_load_explicit(place, memory_order_relaxed);
    uint32_t traits;

    if ((known & TRAIT_IS_KNOWN) && !((known ^ hash) & ~(uint64_t)TRAITS_MASK)) {
        traits = (uint32_t)known & (TRAITS_MASK & ~TRAIT_IS_KNOWN);
    } else {
        traits = traits_of(sql, false);
        atomic_store_explicit(place, (hash & ~(uint64_t)TRAITS_MASK) | traits | TRAIT_IS_KNOWN,
                              memory_order_relaxed);
    }
    if (__builtin_expect(traits & TRAIT_BACKSLASH, 0) && has_backslash_strings(conn))
        return traits_of(sql, true);
    return traits & ~(uint32_t)TRAIT_BACKSLASH;
}
