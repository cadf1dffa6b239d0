/* Is this the header of a segment that can be read? Judges a copy; afterwards only the copy counts.
 */
#pragma once

#include "proto/wire/message.h"
#include "proto/wire/segment.h"

enum {
    SEGMENT_FIXED_SIZE =
        128, /* of the header: what never changes once the segment is handed over */

    /* What the agent takes at most; today's shims use less. */
    SEGMENT_LANES_MAX = 64,
    SEGMENT_POOLS_MAX = 256,
    SEGMENT_SLOTS_MAX = 16384,
    SEGMENT_WAITERS_MAX = 16384,
    LANE_CAPACITY_MIN = 4096,
};
static_assert(offsetof(struct segment_header, control) == SEGMENT_FIXED_SIZE, "frozen part");

/* A segment's parts, ranged against its size. */
struct segment_layout {
    uint16_t version_major, version_minor;
    uint64_t size;
    uint8_t id[16];
    uint64_t process_offset, pools_offset, slots_offset, waiters_offset;
    uint64_t names_offset, lanes_offset;
    uint32_t names_stride, lane_stride;
    uint32_t lane_count, pool_count, slot_count, waiter_count;
    uint64_t created_monotonic_ns, created_realtime_ns;
    uint32_t pid;
};

/* @fixed: a private copy of the first SEGMENT_FIXED_SIZE bytes; @file_size: as fstat() says.
 * Returns 0 or enum refusal: REFUSAL_SEGMENT_LAYOUT, REFUSAL_SEGMENT_SIZE or REFUSAL_VERSION.
 * *ret_what names the field for the log (static text). */
int segment_check(const unsigned char fixed[SEGMENT_FIXED_SIZE], uint64_t file_size,
                  struct segment_layout *ret, const char **ret_what)
    __attribute__((warn_unused_result));
