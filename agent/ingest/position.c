#include "agent/ingest/position.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* The value's first byte; a row of another version is skipped, as if it were not there. */
enum { POSITION_VERSION = 1 };

static void ring_position_encode(const struct ring_position *ring, struct buffer *value)
{
    row_write_u64(value, ring->position);
    row_write_u64(value, ring->number);
}

static struct ring_position ring_position_decode(struct row_reader *reader)
{
    struct ring_position ring;

    ring.position = row_read_u64(reader);
    ring.number = row_read_u64(reader);
    return ring;
}

void position_encode(const struct position *position, struct buffer *value)
{
    row_write_u8(value, POSITION_VERSION);
    row_write_u8(value, position->is_frames);
    row_write_u32(value, DROP_END);
    for (int i = 0; i < DROP_END; i++)
        row_write_u64(value, position->dropped[i]);
    if (position->is_frames) {
        row_write_u64(value, position->frame);
        row_write_u64(value, position->events);
        row_write_u64(value, position->read);
        return;
    }
    row_write_u32(value, position->lane_count);
    ring_position_encode(&position->names, value);
    for (uint32_t i = 0; i < position->lane_count; i++)
        ring_position_encode(&position->lanes[i], value);
}

int position_decode(const struct row *row, struct position *ret)
{
    struct row_reader reader = {.bytes = row->value};
    uint32_t drops;

    *ret = (struct position){0};
    if (row->key.length != sizeof(ret->client_id) || row_read_u8(&reader) != POSITION_VERSION)
        return -EBADMSG;
    memcpy(ret->client_id, row->key.bytes, sizeof(ret->client_id));
    ret->is_frames = row_read_u8(&reader) != 0;
    drops = row_read_u32(&reader);
    for (uint32_t i = 0; i < drops && !reader.failed; i++) {
        uint64_t dropped = row_read_u64(&reader);
        if (i < DROP_END)
            ret->dropped[i] = dropped;
    }
    if (ret->is_frames) {
        ret->frame = ret->frame_saved = row_read_u64(&reader);
        ret->events = row_read_u64(&reader);
        ret->read = row_read_u64(&reader);
        return reader.failed ? -EBADMSG : 0;
    }
    ret->lane_count = row_read_u32(&reader);
    if (reader.failed || ret->lane_count > SEGMENT_LANES_MAX)
        return -EBADMSG;
    ret->names = ring_position_decode(&reader);
    for (uint32_t i = 0; i < ret->lane_count; i++)
        ret->lanes[i] = ring_position_decode(&reader);
    return reader.failed ? -EBADMSG : 0;
}

int positions_init(struct positions *positions, uint32_t max)
{
    *positions = (struct positions){.max = max};
    positions->items = calloc(max, sizeof(*positions->items));
    return positions->items ? 0 : -ENOMEM;
}

void positions_deinit(struct positions *positions)
{
    for (uint32_t i = 0; i < positions->count; i++)
        free(positions->items[i]);
    free(positions->items);
    *positions = (struct positions){0};
}

static struct position *positions_remove(struct positions *positions, uint32_t index)
{
    struct position *position = positions->items[index];

    positions->count--;
    memmove(&positions->items[index], &positions->items[index + 1],
            (positions->count - index) * sizeof(*positions->items));
    return position;
}

int positions_put(struct positions *positions, const struct position *position,
                  uint8_t ret_evicted[16])
{
    struct position *CLEANUP(freep) copy = malloc(sizeof(*copy));
    struct position *CLEANUP(freep) evicted = NULL;

    if (!copy)
        return -ENOMEM;
    *copy = *position;
    free(positions_take(positions, position->client_id));
    if (positions->count == positions->max) {
        evicted = positions_remove(positions, 0);
        memcpy(ret_evicted, evicted->client_id, sizeof(evicted->client_id));
    }
    positions->items[positions->count++] = STEAL(copy);
    return evicted ? POSITIONS_E_EVICTED : 0;
}

struct position *positions_take(struct positions *positions, const uint8_t client_id[16])
{
    for (uint32_t i = 0; i < positions->count; i++) {
        if (memcmp(positions->items[i]->client_id, client_id, 16) == 0)
            return positions_remove(positions, i);
    }
    return NULL;
}
