/* The statements that libweir prepared on a connection: text and parameter types, each with a name
 * on the server. At most prepared_max (weir/pool.h); beyond it the one that was executed longest
 * ago gives its place, and is deallocated in the round trip that prepares the new one.
 *
 * A name is made once in the world (a random number of the connection is in it), so that behind a
 * pooler that shares server connections a name is missing or taken, but never another statement.
 *
 * When the server has lost what the cache knows:
 * - DISCARD ALL and DEALLOCATE ALL sent through libweir empty the cache, by their command tags.
 * - Otherwise (direct use of the PGconn, a function, a pooler) executing fails with 26000, or with
 *   0A000 when the result's columns changed. Outside of a transaction nothing happened yet: it is
 *   prepared anew and executed once more, and if that fails the same way, without a name from then
 *   on (PgBouncer before 1.21 pooling transactions).
 * - Inside a transaction the failure has ended the transaction, and the caller gets it. So once a
 *   hold has used the PGconn directly, statements in its transactions are not taken from the cache.
 *
 * Used by the connection's holder alone. */
#pragma once

#include <libpq-fe.h>

#include "base/view.h"
#include "include/weir/statement.h"
#include "shim/probe/table.h"

enum { PREPARED_NAME_MAX = 48 };

struct prepared_entry {
    struct prepared_entry *chain;
    struct prepared_entry *newer, *older; /* by last use; of a doomed one, older is the next */
    const struct probe_table *probe;
    struct weir_probe_text *text;
    uint64_t hash;
    struct view sql;
    int32_t count;
    uint32_t references;
    bool has_types;
    char name[PREPARED_NAME_MAX];
    Oid types[]; /* and the text */
};

struct prepared_cache;

/* NULL: memory ran out, or there is no randomness for names. */
struct prepared_cache *prepared_new(const struct probe_table *probe);
struct prepared_cache *prepared_free(struct prepared_cache *cache); /* NULL is fine */

/* The entry of a text of that hash (changes.h), as the newest; NULL: there is none. */
struct prepared_entry *prepared_find(struct prepared_cache *cache, struct view sql, uint64_t hash,
                                     const struct weir_statement_opts *opts);
/* Makes an entry, and room for it. NULL: memory ran out. */
struct prepared_entry *prepared_add(struct prepared_cache *cache, struct view sql, uint64_t hash,
                                    const struct weir_statement_opts *opts, uint32_t max,
                                    bool backslash_strings);
/* For what runs while the cache may change. NULL is fine. */
struct prepared_entry *prepared_ref(struct prepared_entry *entry);
void prepared_unref(struct prepared_entry *entry);
/* Takes one out, if it is still in: the server does not have it. */
void prepared_drop(struct prepared_cache *cache, struct prepared_entry *entry);
/* Takes one out, if it is still in, that the server has: to be deallocated. */
void prepared_doom(struct prepared_cache *cache, struct prepared_entry *entry);
/* One of those that are to be deallocated, taken off their list; NULL: there is none. The caller
 * ends it with prepared_closed(). */
struct prepared_entry *prepared_take_doomed(struct prepared_cache *cache);
bool prepared_has_doomed(const struct prepared_cache *cache);
/* It was deallocated, or (@again) is to be tried again. */
void prepared_closed(struct prepared_cache *cache, struct prepared_entry *entry, bool again);
/* The server has none of them any more. NULL is fine. */
void prepared_forget(struct prepared_cache *cache);

/* Names do not work on this connection. */
void prepared_set_useless(struct prepared_cache *cache);
bool prepared_is_useless(const struct prepared_cache *cache);
uint32_t prepared_count(const struct prepared_cache *cache);
