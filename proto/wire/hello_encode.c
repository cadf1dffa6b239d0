#include "proto/wire/hello.h"

#include <string.h>

#include "proto/wire/message_codec.h"
#include "proto/wire/record.h"

enum { HELLO_OFFSET = MESSAGE_PREFIX_SIZE };

static void hello_append(struct hello_writer *writer, const void *bytes, size_t length)
{
    memcpy(writer->bytes + writer->length, bytes, length);
    writer->length += length;
}

void hello_begin(struct hello_writer *writer, void *bytes, size_t size,
                 const struct hello_fields *fields)
{
    struct message_hello hello = {
        .header = message_header_make(MESSAGE_HELLO),
        .hello_kind = (uint16_t)fields->kind,
        .pid = fields->pid,
        .monotonic_ns = fields->monotonic_ns,
        .realtime_ns = fields->realtime_ns,
    };

    *writer = (struct hello_writer){.bytes = bytes, .size = size};
    if (size < HELLO_OFFSET + sizeof(hello)) {
        writer->failed = true;
        return;
    }
    hello.header.version_major_oldest = WIRE_VERSION_MAJOR_OLDEST;
    memcpy(hello.client_id, fields->client_id, sizeof(hello.client_id));
    writer->length = HELLO_OFFSET;
    hello_append(writer, &hello, sizeof(hello));
}

bool hello_attribute(struct hello_writer *writer, struct view key, struct view value)
{
    uint16_t lengths[2] = {(uint16_t)key.length, (uint16_t)value.length};
    size_t room;

    if (writer->failed)
        return false;
    if (key.length == 0 || value.length == 0)
        return true;
    room = writer->size < HELLO_OFFSET + (size_t)HELLO_LENGTH_MAX
               ? writer->size
               : HELLO_OFFSET + (size_t)HELLO_LENGTH_MAX;
    room -= writer->length;
    if (writer->attribute_count == HELLO_ATTRIBUTES_MAX || room < sizeof(lengths) ||
        key.length > UINT16_MAX || value.length > UINT16_MAX ||
        key.length + value.length > room - sizeof(lengths))
        return false;
    hello_append(writer, lengths, sizeof(lengths));
    hello_append(writer, key.bytes, key.length);
    hello_append(writer, value.bytes, value.length);
    writer->attribute_count++;
    return true;
}

size_t hello_end(struct hello_writer *writer)
{
    uint32_t length;

    if (writer->failed)
        return 0;
    length = (uint32_t)(writer->length - HELLO_OFFSET);
    memcpy(writer->bytes, &length, sizeof(length));
    memcpy(writer->bytes + HELLO_OFFSET + offsetof(struct message_hello, attribute_count),
           &writer->attribute_count, sizeof(writer->attribute_count));
    return writer->length;
}
