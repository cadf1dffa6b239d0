#include "proto/wire/frame_reader.h"

#include <string.h>

#include "proto/wire/message_codec.h"

/* The length of the first record in @left, 0 if it is impossible. */
static uint16_t frame_record_length(struct view left)
{
    struct record_header header;

    if (left.length < sizeof(header))
        return 0;
    memcpy(&header, left.bytes, sizeof(header));
    if (header.kind == RECORD_PAD || header.length < RECORD_ALIGN || header.length % RECORD_ALIGN ||
        header.length > RECORD_LENGTH_MAX || header.length > left.length)
        return 0;
    return header.length;
}

static int frame_check_lengths(struct view left, uint32_t record_count)
{
    for (uint32_t i = 0; i < record_count; i++) {
        uint16_t length = frame_record_length(left);
        if (length == 0)
            return REFUSAL_MALFORMED;
        left.bytes += length;
        left.length -= length;
    }
    return left.length == 0 ? 0 : REFUSAL_MALFORMED;
}

int frame_open(struct frame_reader *reader, struct view message)
{
    struct message_header header;
    struct message_frame frame;
    int r;

    r = message_header_read(message, &header);
    if (r != 0)
        return r;
    if (header.kind != MESSAGE_FRAME)
        return REFUSAL_UNEXPECTED;
    if (message.length < sizeof(frame))
        return REFUSAL_MALFORMED;
    memcpy(&frame, message.bytes, sizeof(frame));
    if (frame.number == 0)
        return REFUSAL_MALFORMED;
    *reader = (struct frame_reader){
        .number = frame.number,
        .record_count = frame.record_count,
        .left = {message.bytes + sizeof(frame), message.length - sizeof(frame)},
    };
    return frame_check_lengths(reader->left, frame.record_count);
}

bool frame_next(struct frame_reader *reader, struct lane_record_copy *copy,
                const struct record_header **ret)
{
    uint16_t length = frame_record_length(reader->left);

    if (length == 0)
        return false;
    memcpy(copy->bytes, reader->left.bytes, length);
    reader->left.bytes += length;
    reader->left.length -= length;
    *ret = (const struct record_header *)(const void *)copy->bytes;
    return true;
}
