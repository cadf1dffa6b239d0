/* Texts behind the ids that events carry: normalized statements, call sites, tenants, targets. One
 * table for all clients, since ids are hashes of texts; bounded in entries and bytes, the one
 * unused longest leaves. Losing a text never merges counts. */
#pragma once

#include <stdint.h>

#include "base/cleanup.h"
#include "base/view.h"
#include "proto/wire/record.h"

struct names;

struct names_opts {
    uint32_t entries_max;
    uint64_t bytes_max;
};

struct names_stats {
    uint64_t entries, bytes, evicted, refused; /* refused: the id does not fit the text, or it is
                                                   longer than a text, or all texts, may be */
};

int names_new(const struct names_opts *opts, struct names **ret)
    __attribute__((warn_unused_result));
struct names *names_free(struct names *names);
CLEANUP_DEFINE(struct names *, names_freep, names_free)

/* Keeps a copy. The id of every kind but NAME_STATEMENT is checked against the text. Returns 0,
 * -ENOMEM, or NAMES_E_REFUSED. */
enum { NAMES_E_REFUSED = 1 };
int names_add(struct names *names, enum name_kind kind, uint64_t id, uint32_t flags,
              struct view text);

/* Borrowed until the next add. Empty view if unknown; touches the entry. */
struct view names_find(struct names *names, enum name_kind kind, uint64_t id);
struct names_stats names_stats(const struct names *names);

/* A NAME_TARGET's four lines. Empty parts are unknown. */
struct target {
    struct view pool, namespace, address, port;
};
struct target target_parse(struct view text);
