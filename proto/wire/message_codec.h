/* Messages as bytes: lengths in front, headers, the agent's answers, frames. No allocation, no
 * system call, libc only: both the shims and the agent use it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/view.h"
#include "proto/wire/message.h"
#include "proto/wire/record.h"

enum {
    MESSAGE_PREFIX_SIZE = 4,       /* the 32-bit length before each message */
    WIRE_VERSION_MAJOR_OLDEST = 1, /* the oldest that this code reads and writes */
    REFUSED_TEXT_MAX = 512,
    ANSWER_SIZE_MAX = MESSAGE_PREFIX_SIZE + 24 + REFUSED_TEXT_MAX, /* the longest from the agent */
};
static_assert(sizeof(struct message_refused) == 24, "ANSWER_SIZE_MAX counts on it");

/* A header in our own newest version. */
struct message_header message_header_make(enum message_kind kind);

/* Checks the length in front before anything of the message is read or stored. Returns 0,
 * REFUSAL_MALFORMED (shorter than a header) or REFUSAL_TOO_LONG. */
int message_length_check(uint32_t length) __attribute__((warn_unused_result));

/* Copies and checks the header of @message. Returns 0 or REFUSAL_MALFORMED. The version is not
 * judged. */
int message_header_read(struct view message, struct message_header *ret)
    __attribute__((warn_unused_result));

/* The newest version that the sender of @offer and we both speak. Returns 0 or REFUSAL_VERSION. */
int message_version_agree(const struct message_header *offer, uint16_t *ret_major,
                          uint16_t *ret_minor) __attribute__((warn_unused_result));

/* Encoders: the whole message, its length in front included; the return value is its size, 0 if
 * @size is too small. @version carries the agreed version. */
struct message_version {
    uint16_t major, minor;
};
size_t welcome_encode(void *bytes, size_t size, struct message_version version, uint32_t flags,
                      uint64_t acknowledged);
/* @text is cut to REFUSED_TEXT_MAX bytes. */
size_t refused_encode(void *bytes, size_t size, enum refusal reason, struct view text);
size_t ack_encode(void *bytes, size_t size, struct message_version version, uint64_t number);

/* What the agent answered. */
struct answer {
    enum message_kind kind; /* MESSAGE_WELCOME, MESSAGE_REFUSED or MESSAGE_ACK */
    struct message_version version;
    uint32_t flags;        /* welcome: enum welcome_flag */
    uint64_t acknowledged; /* welcome and ack: newest frame in the checkpoint */
    uint32_t reason;       /* refused: enum refusal, or one of a newer agent */
    struct view text;      /* refused: borrowed from the message, any bytes */
};
/* Decodes an answer (without its length). Returns 0 or REFUSAL_MALFORMED; REFUSAL_UNEXPECTED for a
 * kind that no agent sends to a client. */
int answer_decode(struct view message, struct answer *ret) __attribute__((warn_unused_result));

/* What a refusal is called in counters and logs; "unknown" beyond the list. */
const char *refusal_token(uint32_t reason);

/* A frame while it is filled, in the caller's buffer. */
struct frame_writer {
    char *bytes;
    size_t size, length;
    uint32_t record_count;
    uint64_t number;
};
/* False if @size does not even hold the fixed part. */
bool frame_begin(struct frame_writer *writer, void *bytes, size_t size, uint64_t number)
    __attribute__((warn_unused_result));
/* Appends a whole record. False: it does not fit, the frame is as before. */
bool frame_append(struct frame_writer *writer, const struct record_header *record)
    __attribute__((warn_unused_result));
/* The whole message's size, its length in front included. */
size_t frame_end(struct frame_writer *writer);
