#include "shim/probe/lanes.h"

bool lanes_take_other(const struct segment *segment, uint32_t own, int outcome, uint32_t length,
                      struct lane_record *ret)
{
    enum segment_drop cause;
    bool has_full = outcome == LANE_E_FULL;

    for (uint32_t i = 1; i < segment->lane_count; i++) {
        outcome = lane_take(lanes_at(segment, (own + i) % segment->lane_count), length, ret);
        if (!outcome)
            return true;
        has_full |= outcome == LANE_E_FULL;
    }
    cause = has_full ? SEGMENT_DROP_LANES_FULL : SEGMENT_DROP_LANES_BUSY;
    atomic_fetch_add_explicit(&segment->header->dropped[cause], 1, memory_order_relaxed);
    return false;
}
