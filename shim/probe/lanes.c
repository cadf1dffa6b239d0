#include "shim/probe/lanes.h"

#include "shim/probe/thread.h"

enum { PROGRESS_SHIFT = 20 }; /* board_process.progress counts in 2^20 ns */

static inline struct lane *lane_at(const struct segment *segment, uint32_t index)
{
    return (struct lane *)(void *)(segment->lanes + (size_t)index * segment->lane_stride);
}

/* The own lane was no use. */
static bool lanes_take_other(const struct segment *segment, uint32_t own, int outcome,
                             uint32_t length, struct lane_record *ret)
{
    enum segment_drop cause;
    bool has_full = outcome == LANE_E_FULL;

    for (uint32_t i = 1; i < segment->lane_count; i++) {
        outcome = lane_take(lane_at(segment, (own + i) % segment->lane_count), length, ret);
        if (!outcome)
            return true;
        has_full |= outcome == LANE_E_FULL;
    }
    cause = has_full ? SEGMENT_DROP_LANES_FULL : SEGMENT_DROP_LANES_BUSY;
    atomic_fetch_add_explicit(&segment->header->dropped[cause], 1, memory_order_relaxed);
    return false;
}

bool lanes_take(const struct segment *segment, uint32_t length, struct lane_record *ret)
{
    uint32_t own = thread_enter()->lane - 1u;
    int outcome;

    if (__builtin_expect(segment_is_stopped(segment), 0))
        return false;
    outcome = lane_take(lane_at(segment, own), length, ret);
    if (__builtin_expect(!outcome, 1))
        return true;
    return lanes_take_other(segment, own, outcome, length, ret);
}

void lanes_publish(const struct segment *segment, struct lane_record *record)
{
    _Atomic uint64_t *progress = &segment->process->progress;
    uint64_t step = record->header->time_ns >> PROGRESS_SHIFT;

    lane_publish(record);
    /* A lost update is no matter, a written line that all threads share would be. */
    if (atomic_load_explicit(progress, memory_order_relaxed) < step)
        atomic_store_explicit(progress, step, memory_order_relaxed);
}
