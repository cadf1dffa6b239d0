/* Where events are written: the thread's own lane, else the next one that is free and has room. */
#pragma once

#include "shim/probe/segment.h"

/* Finds room for an event of @length bytes (a multiple of RECORD_ALIGN). False: the agent told us
 * to stop, or no lane would have it, which is counted. On true the caller fills the record's header
 * (kind, length, time_ns) and the rest, and publishes. */
bool lanes_take(const struct segment *segment, uint32_t length, struct lane_record *ret);

void lanes_publish(const struct segment *segment, struct lane_record *record);
