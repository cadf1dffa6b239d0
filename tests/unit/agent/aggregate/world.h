/* An aggregate with names, a clock of its own and a checkpoint in memory, for the tests of this
 * folder. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/aggregate/aggregate.h"

#define SECOND UINT64_C(1000000000)
#define MINUTE (60 * SECOND)

/* Rows as a checkpoint's file holds them: by table and key, in that order. */
struct store_row {
    struct store_row *next;
    enum row_table table;
    struct view key, value; /* own memory */
};

struct store {
    struct store_row *first;
    size_t count;
};

void store_apply(struct store *store, const struct rows *rows);
void store_clear(struct store *store);
size_t store_count(const struct store *store, enum row_table table);

struct world {
    struct aggregate_opts opts;
    struct names *names;
    struct aggregate *aggregate;
    struct store store;
    uint64_t now_ns;
    uint64_t generation;
    size_t rows_written; /* by the last commit */
};

/* Limits that are zero in @opts become the agent's own. */
void world_init(struct world *world, const struct aggregate_opts *opts);
void world_deinit(struct world *world);

/* Kill and start: what was not committed is gone. */
void world_restart(struct world *world);

/* Freezes and commits. The caller owns the snapshot. */
const struct snapshot *world_commit(struct world *world);
void world_tick(struct world *world, uint64_t passed_ns);

/* A process of @service; each has a client id of its own. */
struct process *process_of(const char *service, uint32_t pid);
struct process *process_free(struct process *process);
CLEANUP_DEFINE(struct process *, process_freep, process_free)

/* Announces a target "pool\nnamespace\naddress\nport" and returns its id. */
uint64_t target_add(struct world *world, const char *text);

struct call {
    uint64_t target, fingerprint, duration_ns, hold_id;
    uint64_t rows; /* ROWS_UNKNOWN: none */
    uint8_t failure;
    char sqlstate[6];
    uint32_t flags;
};
void call_observe(struct world *world, const struct process *process, const struct call *call);

/* Any other event: @kind with its head filled in. */
void event_observe(struct world *world, const struct process *process, enum record_kind kind,
                   struct event_head *head);

const struct resource_metrics *resource_in(const struct snapshot *snapshot,
                                           const struct attributes *resource);
/* The points of one metric, NULL if it has none. */
const struct metric_points *metric_in(const struct resource_metrics *resource,
                                      enum metric_id metric);
/* The only point whose attribute @key is the text @value (NULL: has no @key); NULL if there is none
 * or more than one. */
const struct metric_point *point_in(const struct metric_points *points, const char *key,
                                    const char *value);
bool is_overflow(const struct metric_point *point);
