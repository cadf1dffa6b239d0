/* The loss ledger (N4): for every client, recorded = exported + buffered + dropped by cause, over
 * its whole life and over lives of the agent. Pure; one owner, the loop.
 *
 * *Exported* are the events that a snapshot contains which the first destination acknowledged; the
 * caller says which snapshots are on their way (ledger_mark) and which arrived (ledger_exported).
 *
 * Bounded: rows of clients that ended are folded, the oldest first, into one row a service. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/model/ledger.h"
#include "agent/model/process.h"
#include "agent/model/rows.h"
#include "agent/model/snapshot.h"
#include "base/cleanup.h"

struct ledger;

struct ledger_opts {
    uint32_t rows_max;     /* of clients, living and ended; at least as many as may live */
    uint32_t services_max; /* later ones share the overflow resource */
};

int ledger_new(const struct ledger_opts *opts, uint64_t now_unix_ns, struct ledger **ret)
    __attribute__((warn_unused_result));
struct ledger *ledger_free(struct ledger *ledger);
CLEANUP_DEFINE(struct ledger *, ledger_freep, ledger_free)

/* A client came, for the first time or again: after a restart of the agent, or a hang-up. */
void ledger_client(struct ledger *ledger, const struct process *process);
/* What it counts now. */
void ledger_update(struct ledger *ledger, const struct process *process,
                   const struct ledger_counts *counts);
/* Whether its statements can be seen. True if that is new. */
bool ledger_observed(struct ledger *ledger, const struct process *process,
                     enum process_observed observed);
/* One of the events read could not be counted for want of memory. */
void ledger_lost(struct ledger *ledger, const struct process *process);
/* It ended, and all that it left was read. */
void ledger_ended(struct ledger *ledger, const struct process *process,
                  const struct ledger_counts *counts);
/* Clients that lived when the last agent wrote, and did not come back: both sides died, and what
 * was recorded and not read is segment_lost. Call it once, when they had time to come. */
void ledger_close_absent(struct ledger *ledger);

/* The snapshot @generation, made of what was read until now, is on its way to the destination. */
void ledger_mark(struct ledger *ledger, uint64_t generation);
/* It and all before it arrived. */
void ledger_exported(struct ledger *ledger, uint64_t generation);

/* Rows that changed to @rows, points of every service to @builder (NULL: rows only). */
void ledger_freeze(struct ledger *ledger, struct rows *rows, struct snapshot_builder *builder);
/* After a failed commit: the next freeze writes everything again. */
void ledger_mark_unsaved(struct ledger *ledger);
/* Takes a row of ROWS_LEDGER back. 0, -EBADMSG (skipped) or -ENOMEM. */
int ledger_restore(struct ledger *ledger, const struct row *row)
    __attribute__((warn_unused_result));

/* Every client's row, and of a service with folded ones one more with pid 0. */
typedef void (*ledger_fn)(void *userdata, const struct ledger_row *row);
void ledger_rows(const struct ledger *ledger, ledger_fn fn, void *userdata);
