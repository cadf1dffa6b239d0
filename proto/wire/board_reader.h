/* The board as a reader sees it: copies of its words, each loaded once, bounded whatever they say.
 *
 * A slot or waiter is read between two equal, even values of its sequence word; four tries, then
 * word by word and marked torn. A reader never waits for a writer. */
#pragma once

#include "proto/wire/segment_check.h"

enum { BOARD_READ_TRIES = 4 };

/* The board of a mapped segment. */
struct board_view {
    const struct board_process *process;
    const struct board_pool *pools;
    const struct board_slot *slots;
    const struct board_waiter *waiters;
    uint32_t pool_count, slot_count, waiter_count;
};
struct board_view board_view_of(const void *segment, const struct segment_layout *layout);

struct process_copy {
    uint32_t observed; /* enum process_observed, or one of a later version */
    uint32_t library_version;
    uint64_t statements_open;
    uint64_t progress;
};
struct process_copy board_read_process(const struct board_view *board);

struct pool_copy {
    uint64_t target; /* 0: the entry is free */
    uint32_t flags;
    uint32_t connections_max, connections_min, idle_max, idle_min;
    uint32_t used, idle, waiting, connecting;
    uint64_t timeouts;
    uint32_t used_peak, waiting_peak; /* of the current 60 s window and the one before */
};
/* @now_ns: the producer's CLOCK_MONOTONIC. False: the entry is free. */
bool board_read_pool(const struct board_view *board, uint32_t index, uint64_t now_ns,
                     struct pool_copy *ret);

struct slot_copy {
    bool torn;
    uint32_t sequence;
    uint32_t state; /* enum slot_state; one of a later version reads as SLOT_HELD */
    uint32_t pool, backend_pid;
    uint64_t connection, target, since_ns, acquired_ns, hold_id, call_site, tenant;
    uint64_t trace_id[2];
    uint64_t parent_span_id, fingerprint, statement_since_ns;
    uint32_t oldest_open, newest_sent, thread, trace_flags;
    uint64_t opened_ns;
};
/* False: the slot is free. */
bool board_read_slot(const struct board_view *board, uint32_t index, struct slot_copy *ret);

struct waiter_copy {
    bool torn;
    uint32_t sequence;
    uint32_t pool, thread;
    uint64_t since_ns, call_site, tenant;
    uint64_t trace_id[2];
};
/* False: the entry is free. */
bool board_read_waiter(const struct board_view *board, uint32_t index, struct waiter_copy *ret);

/* The mark of the current window and the one before; older windows read as 0. */
uint32_t board_read_peak(const struct board_peak *peak, uint64_t now_ns);
