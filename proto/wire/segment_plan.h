/* Where the parts of a new segment go: the writer's half of segment_check.h. Inline and libc only,
 * since the shim makes its segment with it. */
#pragma once

#include <errno.h>
#include <string.h>

#include "proto/wire/lane_writer.h"

/* The board's parts lie behind each other, each a whole number of cache lines. */
static inline uint64_t segment_board_size(uint64_t pools, uint64_t slots, uint64_t waiters)
{
    return BOARD_POOLS_OFFSET + pools * sizeof(struct board_pool) +
           slots * sizeof(struct board_slot) + waiters * sizeof(struct board_waiter);
}

/* Fills @header (zeroed by the caller) for a segment of @size bytes, a multiple of SEGMENT_PAGE
 * between SEGMENT_SIZE_MIN and SEGMENT_SIZE_MAX: all but id, pid and times. Each region starts on a
 * page; three sixteenths are for names, what the board leaves is for lanes. A segment smaller than
 * the default has fewer entries on its board in proportion; a larger one has no more, since entries
 * follow connections and not load. Returns 0 or -EINVAL. */
static inline int segment_plan(uint64_t size, struct segment_header *header)
{
    const uint64_t page = SEGMENT_PAGE;
    uint64_t scale = size < SEGMENT_SIZE_DEFAULT ? size : SEGMENT_SIZE_DEFAULT;
    uint64_t board, names, left;

    if (size < SEGMENT_SIZE_MIN || size > SEGMENT_SIZE_MAX || size % page)
        return -EINVAL;
    header->slot_count = (uint32_t)(SEGMENT_SLOTS * scale / SEGMENT_SIZE_DEFAULT);
    header->waiter_count = (uint32_t)(SEGMENT_WAITERS * scale / SEGMENT_SIZE_DEFAULT);
    board = segment_board_size(SEGMENT_POOLS, header->slot_count, header->waiter_count);
    board = (board + page - 1) / page * page;
    names = (size / 16 * 3 + page - 1) / page * page;
    left = size - page - board;
    header->magic = SEGMENT_MAGIC;
    header->version_major = WIRE_VERSION_MAJOR;
    header->version_minor = WIRE_VERSION_MINOR;
    header->header_size = sizeof(*header);
    header->segment_size = size;
    header->board_offset = page;
    header->names_offset = page + board;
    header->lanes_offset = header->names_offset + names;
    header->names_stride = (uint32_t)names;
    header->lane_stride = (uint32_t)((left - names) / SEGMENT_LANES / page * page);
    header->lane_count = SEGMENT_LANES;
    header->pool_count = SEGMENT_POOLS;
    return 0;
}

static inline struct lane *segment_names(struct segment_header *header)
{
    return (struct lane *)(void *)((char *)header + header->names_offset);
}

static inline struct lane *segment_lane(struct segment_header *header, uint32_t index)
{
    return (struct lane *)(void *)((char *)header + header->lanes_offset +
                                   (uint64_t)index * header->lane_stride);
}

/* Makes the rings of a mapped segment whose header is filled. */
static inline void segment_init_rings(struct segment_header *header)
{
    lane_init(segment_names(header), header->names_stride - (uint32_t)sizeof(struct lane));
    for (uint32_t i = 0; i < header->lane_count; i++)
        lane_init(segment_lane(header, i), header->lane_stride - (uint32_t)sizeof(struct lane));
}

/* The longest record that the lanes (@stride of a lane or of the names ring) always take once they
 * are empty: a longer one might find too little room on both sides of the end for ever. */
static inline uint32_t segment_record_length_max(uint32_t stride)
{
    uint32_t half = (stride - (uint32_t)sizeof(struct lane)) / 2 / RECORD_ALIGN * RECORD_ALIGN;

    return half < RECORD_LENGTH_MAX ? half : RECORD_LENGTH_MAX;
}

static inline struct board_process *segment_process(struct segment_header *header)
{
    return (struct board_process *)(void *)((char *)header + header->board_offset);
}

static inline struct board_pool *segment_pools(struct segment_header *header)
{
    return (struct board_pool *)(void *)((char *)header + header->board_offset +
                                         BOARD_POOLS_OFFSET);
}

static inline struct board_slot *segment_slots(struct segment_header *header)
{
    return (struct board_slot *)(void *)(segment_pools(header) + header->pool_count);
}

static inline struct board_waiter *segment_waiters(struct segment_header *header)
{
    return (struct board_waiter *)(void *)(segment_slots(header) + header->slot_count);
}
