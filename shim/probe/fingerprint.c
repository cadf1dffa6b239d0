/* A short statement is hashed in one go, a long one as a stream: XXH3 gives both the same value. */
#include "shim/probe/fingerprint.h"

#include <assert.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static_assert(sizeof(XXH3_state_t) + 64 <= sizeof(((struct fingerprint *)0)->stream_state),
              "the stream's state fits");

void fingerprint_begin(struct fingerprint *fingerprint)
{
    fingerprint->length = 0;
    fingerprint->stream = NULL;
}

static void hash_room(struct fingerprint *fingerprint)
{
    if (!fingerprint->stream) {
        uintptr_t place = ((uintptr_t)fingerprint->stream_state + 63) & ~(uintptr_t)63;
        fingerprint->stream = (void *)place; /* XXH3 wants its state on a cache line */
        (void)XXH3_64bits_reset(fingerprint->stream);
    }
    (void)XXH3_64bits_update(fingerprint->stream, fingerprint->room, fingerprint->length);
    fingerprint->length = 0;
}

static void append(struct fingerprint *fingerprint, const char *bytes, size_t length)
{
    while (length > FINGERPRINT_ROOM - fingerprint->length) {
        size_t part = FINGERPRINT_ROOM - fingerprint->length;
        memcpy(fingerprint->room + fingerprint->length, bytes, part);
        fingerprint->length = FINGERPRINT_ROOM;
        hash_room(fingerprint);
        bytes += part;
        length -= part;
    }
    memcpy(fingerprint->room + fingerprint->length, bytes, length);
    fingerprint->length += length;
}

static void append_lowered(struct fingerprint *fingerprint, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        char byte = bytes[i];
        if (fingerprint->length == FINGERPRINT_ROOM)
            hash_room(fingerprint);
        fingerprint->room[fingerprint->length++] =
            (char)(byte >= 'A' && byte <= 'Z' ? byte + ('a' - 'A') : byte);
    }
}

void fingerprint_token_slowly(struct fingerprint *fingerprint, const char *bytes, size_t length,
                              bool is_lowered)
{
    if (is_lowered)
        append_lowered(fingerprint, bytes, length);
    else
        append(fingerprint, bytes, length);
    append(fingerprint, "", 1);
}

uint64_t fingerprint_end(struct fingerprint *fingerprint)
{
    uint64_t hash;

    if (fingerprint->stream) {
        hash_room(fingerprint);
        hash = XXH3_64bits_digest(fingerprint->stream);
    } else {
        hash = XXH3_64bits(fingerprint->room, fingerprint->length);
    }
    return hash ? hash : 1;
}
