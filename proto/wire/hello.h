/* Hello: what a client says first. Encoding is for shims (no allocation, no system call, libc
 * only); decoding, with all its checks, is for the agent. */
#pragma once

#include <stdbool.h>

#include "base/view.h"
#include "proto/wire/message.h"

/* ---- encoding (library weir_wire) ------------------------------------------------------------ */

/* The caller's buffer and how far it is filled. */
struct hello_writer {
    char *bytes;
    size_t size;
    size_t length;
    uint16_t attribute_count;
    bool failed; /* sticky: something did not fit */
};

/* What stands in the fixed part. */
struct hello_fields {
    enum hello_kind kind;
    uint32_t pid;
    uint8_t client_id[16];
    uint64_t monotonic_ns, realtime_ns; /* read back to back */
};

/* Starts a hello in @bytes, which the caller keeps until hello_end(). */
void hello_begin(struct hello_writer *writer, void *bytes, size_t size,
                 const struct hello_fields *fields);
/* Appends one attribute. An empty @key or @value is left out. One that does not fit whole (the
 * buffer, HELLO_LENGTH_MAX, HELLO_ATTRIBUTES_MAX) is left out too: returns false, and the hello
 * goes on without it. */
bool hello_attribute(struct hello_writer *writer, struct view key, struct view value);
/* The whole message's bytes, its 32-bit length in front included; 0 if the buffer was too small
 * even for the fixed part. */
size_t hello_end(struct hello_writer *writer);

/* ---- decoding (library weir_wire_reader) ----------------------------------------------------- */

struct hello_attribute {
    struct view key, value; /* borrowed from the message; bytes as sent, not checked for UTF-8 */
};

struct hello {
    uint16_t version_major, version_minor; /* what both can speak */
    uint16_t offered_major, offered_minor; /* the client's newest */
    enum hello_kind kind;
    uint32_t pid;
    uint8_t client_id[16];
    uint64_t monotonic_ns, realtime_ns;
    uint16_t attribute_count;
    struct hello_attribute attributes[HELLO_ATTRIBUTES_MAX];
};

/* Decodes @message (without its 32-bit length). Returns 0 or enum refusal; @ret is complete on 0
 * only, but its offered version is set wherever the header could be read. */
int hello_decode(struct view message, struct hello *ret) __attribute__((warn_unused_result));

/* The value of @key, or an empty view. Of equal keys the last one counts. */
struct view hello_find(const struct hello *hello, struct view key);
