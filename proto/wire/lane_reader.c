#include "proto/wire/lane_reader.h"

#include <string.h>

static int lane_reader_fail(struct lane_reader *reader, enum lane_fault fault)
{
    reader->fault = fault;
    return LANE_READER_E_BAD;
}

int lane_reader_open(struct lane_reader *reader, struct lane *lane, uint32_t stride)
{
    const uint32_t capacity = stride - (uint32_t)sizeof(*lane);

    *reader = (struct lane_reader){.lane = lane, .capacity = capacity};
    if (lane->magic != LANE_MAGIC)
        return lane_reader_fail(reader, LANE_FAULT_MAGIC);
    if (lane->capacity != capacity)
        return lane_reader_fail(reader, LANE_FAULT_CAPACITY);
    /* Only readers store tail, and we are the only one now. */
    reader->tail = atomic_load_explicit(&lane->tail, memory_order_acquire);
    if (reader->tail % RECORD_ALIGN)
        return lane_reader_fail(reader, LANE_FAULT_HEAD_ALIGN);
    reader->position = reader->head = reader->tail;
    return 0;
}

int lane_reader_resume(struct lane_reader *reader, uint64_t position, uint64_t number)
{
    if (reader->fault)
        return 0; /* stays unread; the fault says why */
    if (position > atomic_load_explicit(&reader->lane->head, memory_order_acquire))
        return LANE_RESUME_E_BEYOND;
    reader->number = number;
    if (reader->tail > position)
        return LANE_RESUME_E_MOVED;
    if (position % RECORD_ALIGN) {
        reader->fault = LANE_FAULT_HEAD_ALIGN;
        return 0;
    }
    reader->number_known = true;
    reader->position = reader->head = position;
    return 0;
}

int lane_reader_look(struct lane_reader *reader)
{
    uint64_t head;

    if (reader->fault)
        return LANE_READER_E_BAD;
    /* Partner: the release store in lane_publish(): the record's bytes came before. */
    head = atomic_load_explicit(&reader->lane->head, memory_order_acquire);
    if (head < reader->head)
        return lane_reader_fail(reader, LANE_FAULT_HEAD_BACK);
    if (head - reader->tail > reader->capacity)
        return lane_reader_fail(reader, LANE_FAULT_HEAD_BEYOND);
    if (head % RECORD_ALIGN)
        return lane_reader_fail(reader, LANE_FAULT_HEAD_ALIGN);
    reader->head = head;
    return 0;
}

/* Copies the header at the position, once. @ret_room: bytes up to head or the lane's end. */
static const char *lane_reader_peek(const struct lane_reader *reader, struct record_header *ret,
                                    uint64_t *ret_room)
{
    const uint64_t offset = reader->position % reader->capacity;
    const uint64_t available = reader->head - reader->position;
    const uint64_t rest = reader->capacity - offset;
    const char *bytes = (const char *)reader->lane + sizeof(struct lane) + offset;

    memcpy(ret, bytes, sizeof(*ret));
    *ret_room = available < rest ? available : rest;
    return bytes;
}

static int lane_reader_check_number(struct lane_reader *reader, uint32_t number)
{
    if (!reader->number_known) {
        /* Recorded is at least the number of any published record; only its low 32 bits travel. */
        uint64_t recorded = atomic_load_explicit(&reader->lane->recorded, memory_order_relaxed);
        recorded -= (uint32_t)((uint32_t)recorded - number);
        if (recorded < reader->number)
            return lane_reader_fail(reader, LANE_FAULT_NUMBER);
        reader->missed = recorded - reader->number;
        reader->number = recorded;
        reader->number_known = true;
    }
    return number == (uint32_t)reader->number ? 0 : lane_reader_fail(reader, LANE_FAULT_NUMBER);
}

int lane_reader_next(struct lane_reader *reader, struct lane_record_copy *copy,
                     const struct record_header **ret)
{
    struct record_header header;
    const char *bytes;
    uint64_t room;

    if (reader->fault)
        return LANE_READER_E_BAD;
    for (;;) {
        if (reader->position == reader->head)
            return LANE_READER_E_END;
        bytes = lane_reader_peek(reader, &header, &room);
        if (header.length < RECORD_ALIGN || header.length % RECORD_ALIGN || header.length > room ||
            header.length > RECORD_LENGTH_MAX)
            return lane_reader_fail(reader, LANE_FAULT_LENGTH);
        if (header.kind != RECORD_PAD)
            break;
        if ((reader->position + header.length) % reader->capacity != 0)
            return lane_reader_fail(reader, LANE_FAULT_PAD);
        reader->position += header.length;
    }
    if (lane_reader_check_number(reader, header.number) != 0)
        return LANE_READER_E_BAD;
    /* The header is the copy that was judged, whatever stands in the lane meanwhile. */
    memcpy(copy->bytes, &header, sizeof(header));
    memcpy(copy->bytes + sizeof(header), bytes + sizeof(header), header.length - sizeof(header));
    reader->record = reader->position;
    reader->position += header.length;
    reader->number++;
    *ret = (const struct record_header *)(const void *)copy->bytes;
    return 0;
}

void lane_reader_condemn(struct lane_reader *reader)
{
    reader->number--;
    reader->position = reader->record;
    reader->fault = LANE_FAULT_RECORD;
}

void lane_reader_commit(struct lane_reader *reader, uint64_t position)
{
    if (position <= reader->tail || position > reader->position)
        return;
    reader->tail = position;
    /* Partner: the acquire load in lane_take(): our reads of the bytes come before its writes. */
    atomic_store_explicit(&reader->lane->tail, position, memory_order_release);
}

uint64_t lane_reader_recorded(const struct lane_reader *reader)
{
    uint64_t recorded = atomic_load_explicit(&reader->lane->recorded, memory_order_relaxed);

    return recorded > reader->number ? recorded : reader->number;
}

const char *lane_fault_token(enum lane_fault fault)
{
    static const char *const tokens[LANE_FAULT_END] = {
        [LANE_FAULT_NONE] = "none",
        [LANE_FAULT_MAGIC] = "magic",
        [LANE_FAULT_CAPACITY] = "capacity",
        [LANE_FAULT_HEAD_BACK] = "head_back",
        [LANE_FAULT_HEAD_BEYOND] = "head_beyond",
        [LANE_FAULT_HEAD_ALIGN] = "head_align",
        [LANE_FAULT_LENGTH] = "length",
        [LANE_FAULT_PAD] = "pad",
        [LANE_FAULT_NUMBER] = "number",
        [LANE_FAULT_RECORD] = "record",
    };

    return fault < LANE_FAULT_END ? tokens[fault] : "none";
}
