/* The process's own view of its segment: where its parts lie. Made once, then read by every thread.
 */
#pragma once

#include "proto/wire/lane_writer.h"
#include "proto/wire/segment.h"
#include "proto/wire/segment_plan.h"

struct segment {
    struct segment_header *header;
    struct board_process *process;
    struct board_pool *pools;
    struct board_slot *slots;
    struct board_waiter *waiters;
    struct lane *names;
    char *lanes;
    size_t size;
    uint32_t lane_stride;
    uint32_t lane_count;
    uint32_t pool_count;
    uint32_t slot_count;
    uint32_t waiter_count;
    uint32_t generation;           /* differs after each fork; never 0 */
    const _Atomic uint32_t *alive; /* fork wipes it to 0 in the child */
};

/* What WEIR_SEGMENT_SIZE says: bytes, or a number with KiB, MiB or GiB. NULL, nonsense: the
 * default; out of range: the nearest that is allowed; page-aligned. */
size_t segment_size_parse(const char *text);

/* Makes, seals and maps a segment of @size bytes. On success *ret_fd is the caller's. Negative
 * errno: the kernel or a limit refuses, nothing is left behind. @generation, from 1, sets the first
 * epoch apart from those of the parent's segment, so that nothing counts as announced. */
int segment_create(size_t size, uint32_t generation, struct segment *ret_segment, int *ret_fd)
    __attribute__((warn_unused_result));

/* In a child of fork: lays private memory where the parent's segment was, so that a recording which
 * fork interrupted (fork in a signal handler) ends in it harmlessly. */
void segment_shadow(const struct segment *segment);

/* The segment to record into, or NULL: none, or this is a child of fork that has none yet. */
extern _Atomic(const struct segment *) segment_current;

static inline const struct segment *segment_enter(void)
{
    /* Partner: the release store in process.c, so that the parts are seen whole. */
    const struct segment *segment = atomic_load_explicit(&segment_current, memory_order_acquire);

    if (__builtin_expect(!segment, 0))
        return NULL;
    if (__builtin_expect(!atomic_load_explicit(segment->alive, memory_order_relaxed), 0))
        return NULL;
    return segment;
}

/* Whether the agent told us to write no events. Its word: a relaxed load per event is in time. */
static inline bool segment_is_stopped(const struct segment *segment)
{
    return atomic_load_explicit(&segment->header->control, memory_order_relaxed) &
           SEGMENT_STOP_RECORDING;
}

static inline uint32_t segment_epoch(const struct segment *segment)
{
    return atomic_load_explicit(&segment->header->epoch, memory_order_relaxed);
}
