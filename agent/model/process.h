/* One client of the agent: a probed process with a segment, or a client that sends frames. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/model/attributes.h"

struct process {
    uint8_t client_id[16]; /* the segment's id, kept over reconnects and agent restarts */
    uint32_t pid;          /* as the process sees itself */
    bool is_frames;
    const struct attributes *hello;    /* all that it said of itself; owned reference */
    const struct attributes *resource; /* its service instance; owned reference */
    int64_t wall_offset_ns;            /* add to its CLOCK_MONOTONIC to get unix time */
};
