/* What a text does, as far as it can be read off it. */
#pragma once

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"
#include "shim/session/slot.h"

/* Beside enum change, which has the low eight bits. */
enum trait {
    TRAIT_SCRIPT = 1u << 8,     /* more than one statement */
    TRAIT_PREPARES = 1u << 9,   /* a PREPARE or DEALLOCATE is in it: events, not calls */
    TRAIT_LISTENS = 1u << 10,   /* a LISTEN, UNLISTEN or DISCARD */
    TRAIT_COMMITS = 1u << 11,   /* a COMMIT */
    TRAIT_BACKSLASH = 1u << 12, /* what is a string depends on standard_conforming_strings */
};

#define TRAITS_CHANGES 0xffu

/* One pass over the text. @backslash_strings: standard_conforming_strings is off. */
uint32_t traits_of(struct view sql, bool backslash_strings);

/* A hash that nobody outside of the process can foresee: XXH3-64 with a seed. */
uint64_t text_hash(struct view sql);
/* The same as traits_of(), remembered for the process by the text's hash; lock-free, 8 KiB. */
uint32_t traits_recall(struct view sql, uint64_t hash, const PGconn *conn);
