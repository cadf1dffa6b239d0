/* How far a client was read: what a checkpoint stores, so that a later agent goes on there. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/model/ledger.h"
#include "agent/model/rows.h"
#include "proto/wire/segment_check.h"

struct ring_position {
    uint64_t position; /* bytes */
    uint64_t number;   /* records before it */
};

struct position {
    uint8_t client_id[16];
    bool is_frames;
    uint32_t lane_count; /* segments */
    struct ring_position names;
    struct ring_position lanes[SEGMENT_LANES_MAX];
    uint64_t frame;             /* frames: newest one taken */
    uint64_t events;            /* frames: events that the client made up to there */
    uint64_t read;              /* frames: of these, called back */
    uint64_t dropped[DROP_END]; /* booked by agents, not by the shim */

    /* Not stored. */
    uint64_t frame_saved;       /* frames: newest one in a checkpoint */
    bool is_unsaved, is_frozen; /* no checkpoint holds it; the one under way does */
};

void position_encode(const struct position *position, struct buffer *value);
/* @row of ROWS_POSITIONS. 0 or -EBADMSG. */
int position_decode(const struct row *row, struct position *ret)
    __attribute__((warn_unused_result));

/* Positions of clients that are away, the one away longest gives way. */
struct positions {
    struct position **items; /* oldest first */
    uint32_t count, max;
};
int positions_init(struct positions *positions, uint32_t max) __attribute__((warn_unused_result));
void positions_deinit(struct positions *positions);
/* Keeps a copy. Returns 0, -ENOMEM, or POSITIONS_E_EVICTED: *ret_evicted had to go. */
enum { POSITIONS_E_EVICTED = 1 };
int positions_put(struct positions *positions, const struct position *position,
                  uint8_t ret_evicted[16]) __attribute__((warn_unused_result));
/* Takes out the position of @client_id; NULL if there is none. The caller frees it. */
struct position *positions_take(struct positions *positions, const uint8_t client_id[16])
    __attribute__((warn_unused_result));
