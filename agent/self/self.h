/* What the agent says of itself: weir.agent.*, under a resource of its own. One owner, the loop. */
#pragma once

#include <stdint.h>

#include "agent/model/attributes.h"
#include "agent/model/snapshot.h"
#include "base/cleanup.h"

struct self;

/* One member of a count that is split by an attribute. Texts are borrowed for the call. */
struct self_count {
    const char *value, *second; /* of the metric's attributes; NULL: none */
    uint64_t count;
};

enum { SELF_COUNTS_MAX = 40 };

struct self_counts {
    struct self_count items[SELF_COUNTS_MAX];
    uint32_t count;
};

static inline void self_counts_add(struct self_counts *counts, const char *value,
                                   const char *second, uint64_t count)
{
    if (counts->count < SELF_COUNTS_MAX)
        counts->items[counts->count++] = (struct self_count){value, second, count};
}

/* Filled anew for each snapshot, from what the parts count. */
struct self_facts {
    struct self_counts clients;         /* weir.shim.version */
    struct self_counts clients_refused; /* weir.agent.reason */
    struct self_counts records_bad;     /* weir.agent.reason */
    struct self_counts exports;         /* weir.agent.signal, weir.agent.outcome */
    struct self_counts spans;           /* weir.agent.outcome */
    uint64_t names, names_evicted;
};

/* @instance: of service.instance.id, e.g. a hostname. @environment: attributes added. */
int self_new(uint64_t now_unix_ns, const struct attributes *environment, struct self **ret)
    __attribute__((warn_unused_result));
struct self *self_free(struct self *self);
CLEANUP_DEFINE(struct self *, self_freep, self_free)

/* A checkpoint is over. */
void self_checkpoint(struct self *self, bool is_committed, uint64_t duration_ns);

void self_points(struct self *self, uint64_t now_unix_ns, const struct self_facts *facts,
                 struct snapshot_builder *builder);
