/* Where events are written: the thread's own lane, else the next one that is free and has room. */
#pragma once

#include "shim/probe/segment.h"
#include "shim/probe/thread.h"

static inline struct lane *lanes_at(const struct segment *segment, uint32_t index)
{
    return (struct lane *)(void *)(segment->lanes + (size_t)index * segment->lane_stride);
}

/* The own lane was no use for @outcome: tries the others, counts if none would have it. */
bool lanes_take_other(const struct segment *segment, uint32_t own, int outcome, uint32_t length,
                      struct lane_record *ret);

/* Finds room for an event of @length bytes (a multiple of RECORD_ALIGN). False: the agent told us
 * to stop, or no lane would have it, which is counted. On true the caller fills the record's header
 * (kind, length, time_ns) and the rest, and publishes. */
static inline bool lanes_take(const struct segment *segment, uint32_t length,
                              struct lane_record *ret)
{
    uint32_t own = thread_enter()->lane - 1u;
    int outcome;

    if (__builtin_expect(segment_is_stopped(segment), 0))
        return false;
    outcome = lane_take(lanes_at(segment, own), length, ret);
    if (__builtin_expect(!outcome, 1))
        return true;
    return lanes_take_other(segment, own, outcome, length, ret);
}

enum { PROGRESS_SHIFT = 20 }; /* board_process.progress counts in 2^20 ns */

static inline void lanes_publish(const struct segment *segment, struct lane_record *record)
{
    _Atomic uint64_t *progress = &segment->process->progress;
    uint64_t step = record->header->time_ns >> PROGRESS_SHIFT;

    lane_publish(record);
    /* A lost update is no matter, a written line that all threads share would be. */
    if (__builtin_expect(atomic_load_explicit(progress, memory_order_relaxed) < step, 0))
        atomic_store_explicit(progress, step, memory_order_relaxed);
}
