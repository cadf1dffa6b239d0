/* What an agent does between a benchmark's turns: frees what the lanes hold, so that every event is
 * written and none is dropped. By the working threads themselves, now and then: an agent on a core
 * of its own would cost the peers that core, or us alone. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "shim/probe/segment.h"

/* Any thread, several at a time; none waits for another, since that one may not be running. */
static inline void lanes_empty(void)
{
    const struct segment *segment = segment_enter();

    for (uint32_t i = 0; segment && i < segment->lane_count; i++) {
        struct lane *lane = segment_lane(segment->header, i);
        uint64_t tail = atomic_load_explicit(&lane->tail, memory_order_relaxed);
        uint64_t head = atomic_load_explicit(&lane->head, memory_order_acquire);
        /* Only if nobody else moved it meanwhile: it never steps back. */
        if (head > tail)
            (void)atomic_compare_exchange_strong_explicit(
                &lane->tail, &tail, head, memory_order_release, memory_order_relaxed);
    }
}

/* Events that found no place; 0 too where telemetry is off. */
static inline uint64_t lanes_dropped(void)
{
    const struct segment *segment = segment_enter();
    uint64_t dropped = 0;

    for (int cause = 0; segment && cause < SEGMENT_DROP_END; cause++)
        dropped += atomic_load_explicit(&segment->header->dropped[cause], memory_order_relaxed);
    return dropped;
}
