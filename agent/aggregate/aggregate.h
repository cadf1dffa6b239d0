/* From observations to numbers: statement series with limits, the API's statement table, pools, and
 * the snapshot of it all. Pure: no descriptor, no clock, no log, no thread; one owner, the loop.
 *
 * What is counted where (admission, displacement, overflow, expiry) is in docs/ARCHITECTURE.md
 * under "Whose series". Nothing counted ever moves between series: admitted + ended + overflow =
 * all. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/model/live.h"
#include "agent/model/names.h"
#include "agent/model/observation.h"
#include "agent/model/rows.h"
#include "agent/model/snapshot.h"

struct aggregate;

/* The db.query.summary of a normalized text; borrowed until the next call. */
typedef struct view (*summary_fn)(void *userdata, uint64_t fingerprint, struct view text);

struct aggregate_opts {
    uint32_t sets_per_service_max; /* 50 */
    uint32_t sets_max;             /* 200 */
    uint32_t statements_max;       /* 5,000: rows of the API's table */
    uint32_t pools_max;            /* 256 */
    uint32_t services_max;         /* 64 resources; later ones share an overflow resource */
    uint64_t histogram_bytes_max;  /* arena of exponential buckets */
    bool statement_info;           /* weir.statement.info and texts in the API */
    struct names *names;           /* borrowed for life */
    summary_fn summary;
    void *summary_userdata;
};

struct aggregate_stats {
    uint32_t sets, statements, pools, services;
    uint64_t overflow_calls; /* counted in overflow series */
    uint64_t displaced_sets, expired_sets, evicted_statements;
    uint64_t histograms_downscaled;
    uint64_t out_of_memory; /* observations that could not be counted for want of memory */
};

int aggregate_new(const struct aggregate_opts *opts, uint64_t now_unix_ns, struct aggregate **ret)
    __attribute__((warn_unused_result));
struct aggregate *aggregate_free(struct aggregate *aggregate);
CLEANUP_DEFINE(struct aggregate *, aggregate_freep, aggregate_free)

/* Counts one event. Returns 0, or AGGREGATE_E_DROPPED when memory ran out (counted). Events that
 * feed no series (prepare, cancel) return 0. */
enum { AGGREGATE_E_DROPPED = 1 };
int aggregate_observe(struct aggregate *aggregate, const struct observation *observation);

/* Takes in what a living process's board shows now: gauges and the open part of connection time. */
void aggregate_look(struct aggregate *aggregate, const struct live_board *board,
                    uint64_t now_unix_ns);
/* The process is gone: its gauges leave the sums, its counts stay. */
void aggregate_process_ended(struct aggregate *aggregate, const struct process *process);

/* Minute work: admission, displacement, expiry. Call about once a second. */
void aggregate_tick(struct aggregate *aggregate, uint64_t now_unix_ns);

/* Writes what changed since the last freeze to @rows and every point to @builder (NULL: rows only).
 * Resources other than the agent's own. */
void aggregate_freeze(struct aggregate *aggregate, uint64_t now_unix_ns, struct rows *rows,
                      struct snapshot_builder *builder);
/* After a failed commit: the next freeze writes everything again. */
void aggregate_mark_unsaved(struct aggregate *aggregate);
/* Takes one stored row back, before the first observation. 0, -EBADMSG (the row is unreadable and
 * skipped) or -ENOMEM. ROWS_RESOURCES come first. */
int aggregate_restore(struct aggregate *aggregate, const struct row *row)
    __attribute__((warn_unused_result));

struct aggregate_stats aggregate_stats(const struct aggregate *aggregate);

/* The API's statement table, live. Views are borrowed for the call. */
struct statement_row {
    uint64_t fingerprint; /* 0: the row `other` */
    struct view summary, text, namespace, pool, service, instance;
    uint64_t calls, errors, rows;
    double total_seconds, p50_seconds, p95_seconds, p99_seconds, max_seconds;
};
typedef void (*statement_row_fn)(void *userdata, const struct statement_row *row);
void aggregate_statements(struct aggregate *aggregate, statement_row_fn fn, void *userdata);
