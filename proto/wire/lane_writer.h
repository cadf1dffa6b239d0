/* The writing half of a lane: take, fill, publish or abandon. Never waits, never calls the system.
 *
 * A record exists once head covers it; whoever dies between take and publish costs this lane and
 * nothing else. A signal handler that interrupts a writer finds the lane owned and takes another.
 */
#pragma once

#include <string.h>

#include "proto/wire/segment.h"

enum lane_outcome {
    LANE_E_BUSY = 1, /* somebody else is writing */
    LANE_E_FULL = 2, /* the reader's checkpoint leaves too little room */
};

/* Where a taken record goes; valid until publish or abandon. */
struct lane_record {
    struct lane *lane;
    struct record_header *header;
    uint64_t end; /* head after publishing */
};

static inline char *lane_data(struct lane *lane)
{
    return (char *)lane + sizeof(*lane);
}

static inline void lane_init(struct lane *lane, uint32_t capacity)
{
    lane->capacity = capacity;
    lane->magic = LANE_MAGIC;
}

/* Takes @lane and finds room for a record of @length bytes (a multiple of RECORD_ALIGN, at most
 * RECORD_LENGTH_MAX). Returns 0 or enum lane_outcome. On 0 the caller fills ret->header onward, all
 * but number, and publishes or abandons. */
static inline int lane_take(struct lane *lane, uint32_t length, struct lane_record *ret)
{
    uint32_t expected = 0;
    uint64_t head, tail, lap, offset, need;
    bool wraps;

    /* Partner: the release stores in lane_publish() and lane_abandon(), so that we see its head and
     * lap. */
    if (!atomic_compare_exchange_strong_explicit(&lane->owner, &expected, 1, memory_order_acquire,
                                                 memory_order_relaxed))
        return LANE_E_BUSY;
    head = atomic_load_explicit(&lane->head, memory_order_relaxed);
    lap = atomic_load_explicit(&lane->lap, memory_order_relaxed);
    /* Partner: the agent's release store of tail: its reads of the old bytes came before. */
    tail = atomic_load_explicit(&lane->tail, memory_order_acquire);
    offset = head - lap;
    wraps = offset + length > lane->capacity;
    need = length + (wraps ? lane->capacity - offset : 0);
    if (head - tail + need > lane->capacity) {
        atomic_store_explicit(&lane->owner, 0, memory_order_release);
        return LANE_E_FULL;
    }
    if (wraps) {
        if (offset < lane->capacity) {
            struct record_header *pad = (struct record_header *)(void *)(lane_data(lane) + offset);
            *pad = (struct record_header){.kind = RECORD_PAD,
                                          .length = (uint16_t)(lane->capacity - offset)};
        }
        lap += lane->capacity;
        offset = 0;
        atomic_store_explicit(&lane->lap, lap, memory_order_relaxed);
    }
    ret->lane = lane;
    ret->header = (struct record_header *)(void *)(lane_data(lane) + offset);
    ret->end = lap + offset + length;
    return 0;
}

static inline void lane_publish(struct lane_record *record)
{
    struct lane *lane = record->lane;
    uint64_t recorded = atomic_load_explicit(&lane->recorded, memory_order_relaxed);

    record->header->number = (uint32_t)recorded;
    atomic_store_explicit(&lane->recorded, recorded + 1, memory_order_relaxed);
    atomic_store_explicit(&lane->head, record->end, memory_order_release);
    atomic_store_explicit(&lane->owner, 0, memory_order_release);
}

static inline void lane_abandon(struct lane_record *record)
{
    /* A PAD written by the take is not covered by head; the next take writes it again. */
    struct lane *lane = record->lane;
    uint64_t head = atomic_load_explicit(&lane->head, memory_order_relaxed);
    uint64_t lap = atomic_load_explicit(&lane->lap, memory_order_relaxed);

    if (lap > head)
        atomic_store_explicit(&lane->lap, lap - lane->capacity, memory_order_relaxed);
    atomic_store_explicit(&lane->owner, 0, memory_order_release);
}
