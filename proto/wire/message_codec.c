#include "proto/wire/message_codec.h"

#include <string.h>

#include "proto/wire/layout.h"

struct message_header message_header_make(enum message_kind kind)
{
    return (struct message_header){
        .magic = MESSAGE_MAGIC,
        .kind = (uint16_t)kind,
        .version_major = WIRE_VERSION_MAJOR,
        .version_minor = WIRE_VERSION_MINOR,
    };
}

int message_length_check(uint32_t length)
{
    if (length < sizeof(struct message_header))
        return REFUSAL_MALFORMED;
    return length > MESSAGE_LENGTH_MAX ? REFUSAL_TOO_LONG : 0;
}

int message_header_read(struct view message, struct message_header *ret)
{
    if (message.length < sizeof(*ret))
        return REFUSAL_MALFORMED;
    memcpy(ret, message.bytes, sizeof(*ret));
    return ret->magic == MESSAGE_MAGIC ? 0 : REFUSAL_MALFORMED;
}

int message_version_agree(const struct message_header *offer, uint16_t *ret_major,
                          uint16_t *ret_minor)
{
    const uint16_t minor = WIRE_VERSION_MINOR; /* so that 0 needs no special case */
    uint16_t major =
        offer->version_major < WIRE_VERSION_MAJOR ? offer->version_major : WIRE_VERSION_MAJOR;

    if (offer->version_major_oldest == 0 || offer->version_major_oldest > major ||
        major < WIRE_VERSION_MAJOR_OLDEST)
        return REFUSAL_VERSION;
    *ret_major = major;
    *ret_minor = minor;
    if (offer->version_major == major && offer->version_minor < minor)
        *ret_minor = offer->version_minor;
    return 0;
}

static size_t message_put(void *bytes, size_t size, const void *message, uint32_t length)
{
    if (size < MESSAGE_PREFIX_SIZE + (size_t)length)
        return 0;
    memcpy(bytes, &length, sizeof(length));
    memcpy((char *)bytes + MESSAGE_PREFIX_SIZE, message, length);
    return MESSAGE_PREFIX_SIZE + (size_t)length;
}

static struct message_header message_header_agreed(enum message_kind kind,
                                                   struct message_version version)
{
    struct message_header header = message_header_make(kind);

    header.version_major = version.major;
    header.version_minor = version.minor;
    return header;
}

size_t welcome_encode(void *bytes, size_t size, struct message_version version, uint32_t flags,
                      uint64_t acknowledged)
{
    struct message_welcome welcome = {
        .header = message_header_agreed(MESSAGE_WELCOME, version),
        .flags = flags,
        .acknowledged = acknowledged,
    };

    return message_put(bytes, size, &welcome, sizeof(welcome));
}

size_t refused_encode(void *bytes, size_t size, enum refusal reason, struct view text)
{
    char message[sizeof(struct message_refused) + REFUSED_TEXT_MAX];
    struct message_refused refused = {
        .header = message_header_make(MESSAGE_REFUSED),
        .reason = (uint32_t)reason,
        .text_length = (uint32_t)(text.length < REFUSED_TEXT_MAX ? text.length : REFUSED_TEXT_MAX),
    };

    refused.header.version_major_oldest = WIRE_VERSION_MAJOR_OLDEST;
    memcpy(message, &refused, sizeof(refused));
    if (refused.text_length)
        memcpy(message + sizeof(refused), text.bytes, refused.text_length);
    return message_put(bytes, size, message, (uint32_t)sizeof(refused) + refused.text_length);
}

size_t ack_encode(void *bytes, size_t size, struct message_version version, uint64_t number)
{
    struct message_ack ack = {
        .header = message_header_agreed(MESSAGE_ACK, version),
        .number = number,
    };

    return message_put(bytes, size, &ack, sizeof(ack));
}

static int welcome_decode(struct view message, struct answer *ret)
{
    struct message_welcome welcome;

    if (message.length < sizeof(welcome))
        return REFUSAL_MALFORMED;
    memcpy(&welcome, message.bytes, sizeof(welcome));
    ret->flags = welcome.flags;
    ret->acknowledged = welcome.acknowledged;
    return 0;
}

static int refused_decode(struct view message, struct answer *ret)
{
    struct message_refused refused;

    if (message.length < sizeof(refused))
        return REFUSAL_MALFORMED;
    memcpy(&refused, message.bytes, sizeof(refused));
    if (refused.text_length > message.length - sizeof(refused))
        return REFUSAL_MALFORMED;
    ret->reason = refused.reason;
    ret->text = (struct view){message.bytes + sizeof(refused), refused.text_length};
    return 0;
}

static int ack_decode(struct view message, struct answer *ret)
{
    struct message_ack ack;

    if (message.length < sizeof(ack))
        return REFUSAL_MALFORMED;
    memcpy(&ack, message.bytes, sizeof(ack));
    ret->acknowledged = ack.number;
    return 0;
}

int answer_decode(struct view message, struct answer *ret)
{
    struct message_header header;
    int r;

    *ret = (struct answer){0};
    r = message_header_read(message, &header);
    if (r != 0)
        return r;
    ret->kind = (enum message_kind)header.kind;
    ret->version = (struct message_version){header.version_major, header.version_minor};
    switch (header.kind) {
    case MESSAGE_WELCOME:
        return welcome_decode(message, ret);
    case MESSAGE_REFUSED:
        return refused_decode(message, ret);
    case MESSAGE_ACK:
        return ack_decode(message, ret);
    default:
        return REFUSAL_UNEXPECTED;
    }
}

const char *refusal_token(uint32_t reason)
{
    static const char *const tokens[REFUSAL_END] = {
        [REFUSAL_MALFORMED] = "malformed",       [REFUSAL_VERSION] = "version",
        [REFUSAL_DESCRIPTORS] = "descriptors",   [REFUSAL_SEALS] = "seals",
        [REFUSAL_SEGMENT_SIZE] = "segment_size", [REFUSAL_SEGMENT_LAYOUT] = "segment_layout",
        [REFUSAL_CLIENTS_MAX] = "clients_max",   [REFUSAL_MAPPED_MAX] = "mapped_max",
        [REFUSAL_HUGE_PAGES] = "huge_pages",     [REFUSAL_TOO_LONG] = "too_long",
        [REFUSAL_POSITION] = "position",         [REFUSAL_UNEXPECTED] = "unexpected",
    };

    return reason < REFUSAL_END && tokens[reason] ? tokens[reason] : "unknown";
}

bool frame_begin(struct frame_writer *writer, void *bytes, size_t size, uint64_t number)
{
    const size_t fixed = MESSAGE_PREFIX_SIZE + sizeof(struct message_frame);

    *writer = (struct frame_writer){.bytes = bytes, .number = number, .length = fixed};
    writer->size = size < MESSAGE_PREFIX_SIZE + (size_t)MESSAGE_LENGTH_MAX
                       ? size
                       : MESSAGE_PREFIX_SIZE + (size_t)MESSAGE_LENGTH_MAX;
    return size >= fixed;
}

bool frame_append(struct frame_writer *writer, const struct record_header *record)
{
    if (record->length > writer->size - writer->length)
        return false;
    memcpy(writer->bytes + writer->length, record, record->length);
    writer->length += record->length;
    writer->record_count++;
    return true;
}

size_t frame_end(struct frame_writer *writer)
{
    struct message_frame frame = {
        .header = message_header_make(MESSAGE_FRAME),
        .number = writer->number,
        .record_count = writer->record_count,
    };
    uint32_t length = (uint32_t)(writer->length - MESSAGE_PREFIX_SIZE);

    memcpy(writer->bytes, &length, sizeof(length));
    memcpy(writer->bytes + MESSAGE_PREFIX_SIZE, &frame, sizeof(frame));
    return writer->length;
}
