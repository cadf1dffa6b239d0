/* The texts that one connection prepared, by name: by Parse and by SQL PREPARE, which share their
 * names in the server too. Bounded: beyond the maximum the one that was executed longest ago is
 * forgotten, and its next execution has an unknown text. Used by the connection's thread alone. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/view.h"
#include "include/weir/probe.h"
#include "shim/probe/normalize.h"

enum {
    PREPARED_NAME_MAX = 64,     /* PostgreSQL keeps 63 bytes of a name */
    PREPARED_NAMES_MAX = 16384, /* of a connection */
};

/* Shared by the table and by the requests under way. */
struct prepared_text {
    struct weir_probe_text *text; /* NULL: memory ran out */
    enum statement_verb verb;
    uint32_t references;
};

/* NULL: memory ran out. @flags: enum weir_statement_flag. */
struct prepared_text *prepared_text_new(struct view sql, uint32_t flags);
struct prepared_text *prepared_text_ref(struct prepared_text *text); /* NULL is fine */
void prepared_text_unref(struct prepared_text *text);                /* NULL is fine */

struct prepared_name;
struct prepared {
    struct prepared_name **buckets; /* NULL: none yet */
    struct prepared_name *newest, *oldest;
    uint32_t count;
};

void prepared_deinit(struct prepared *prepared);
/* Takes a reference of its own; replaces what had the name. Without memory it is not kept. */
void prepared_put(struct prepared *prepared, struct view name, struct prepared_text *text);
/* Borrowed; NULL: not known. */
struct prepared_text *prepared_find(struct prepared *prepared, struct view name);
void prepared_remove(struct prepared *prepared, struct view name);
void prepared_clear(struct prepared *prepared);
