#include <string.h>

#include "proto/wire/hello.h"
#include "proto/wire/message_codec.h"

static int hello_decode_attribute(struct view *left, struct hello_attribute *ret)
{
    uint16_t lengths[2];
    size_t need;

    if (left->length < sizeof(lengths))
        return REFUSAL_MALFORMED;
    memcpy(lengths, left->bytes, sizeof(lengths));
    need = sizeof(lengths) + lengths[0] + lengths[1];
    if (lengths[0] == 0 || need > left->length)
        return REFUSAL_MALFORMED;
    ret->key = (struct view){left->bytes + sizeof(lengths), lengths[0]};
    ret->value = (struct view){ret->key.bytes + lengths[0], lengths[1]};
    left->bytes += need;
    left->length -= need;
    return 0;
}

static int hello_decode_fixed(const struct message_hello *fixed, struct hello *ret)
{
    static const uint8_t zeros[sizeof(fixed->client_id)];

    if (fixed->hello_kind < HELLO_SEGMENT || fixed->hello_kind > HELLO_FRAMES)
        return REFUSAL_MALFORMED;
    if (fixed->attribute_count > HELLO_ATTRIBUTES_MAX ||
        memcmp(fixed->client_id, zeros, sizeof(zeros)) == 0)
        return REFUSAL_MALFORMED;
    ret->kind = (enum hello_kind)fixed->hello_kind;
    ret->pid = fixed->pid;
    ret->monotonic_ns = fixed->monotonic_ns;
    ret->realtime_ns = fixed->realtime_ns;
    ret->attribute_count = fixed->attribute_count;
    memcpy(ret->client_id, fixed->client_id, sizeof(ret->client_id));
    return 0;
}

int hello_decode(struct view message, struct hello *ret)
{
    struct message_hello fixed;
    struct message_header header;
    struct view left;
    int r;

    ret->offered_major = ret->offered_minor = 0;
    if (message.length > HELLO_LENGTH_MAX)
        return REFUSAL_TOO_LONG;
    r = message_header_read(message, &header);
    if (r != 0)
        return r;
    ret->offered_major = header.version_major;
    ret->offered_minor = header.version_minor;
    if (header.kind != MESSAGE_HELLO)
        return REFUSAL_UNEXPECTED;
    r = message_version_agree(&header, &ret->version_major, &ret->version_minor);
    if (r != 0)
        return r;
    if (message.length < sizeof(fixed))
        return REFUSAL_MALFORMED;
    memcpy(&fixed, message.bytes, sizeof(fixed));
    r = hello_decode_fixed(&fixed, ret);
    left = (struct view){message.bytes + sizeof(fixed), message.length - sizeof(fixed)};
    for (uint16_t i = 0; r == 0 && i < ret->attribute_count; i++)
        r = hello_decode_attribute(&left, &ret->attributes[i]);
    if (r != 0)
        return r;
    return left.length == 0 ? 0 : REFUSAL_MALFORMED;
}

struct view hello_find(const struct hello *hello, struct view key)
{
    for (size_t i = hello->attribute_count; i > 0; i--) {
        if (view_equal(hello->attributes[i - 1].key, key))
            return hello->attributes[i - 1].value;
    }
    return (struct view){0};
}
