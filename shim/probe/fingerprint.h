/* The hash over canonical tokens that identifies a statement: XXH3-64 of each token's canonical
 * bytes followed by a NUL. TEXT.md in proto/wire defines the bytes. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    FINGERPRINT_ROOM = 2048,
    FINGERPRINT_STEP = 16, /* bytes that are moved at once where so many may be read and written */
};

struct fingerprint {
    size_t length; /* of bytes not yet hashed */
    void *stream;  /* NULL as long as all fits into room */
    char room[FINGERPRINT_ROOM + FINGERPRINT_STEP];
    uint64_t stream_state[80]; /* an XXH3 state, aligned when it is needed */
};

void fingerprint_begin(struct fingerprint *fingerprint);

/* A token that is long, or the last before the end of the room. */
void fingerprint_token_slowly(struct fingerprint *fingerprint, const char *bytes, size_t length,
                              bool is_lowered);

/* Eight bytes with ASCII's capital letters in lower case. */
static inline uint64_t fingerprint_lower(uint64_t bytes)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t low = bytes & ones * 0x7f;
    /* The high bit of each byte: from A on, beyond Z, and whether it is ASCII. */
    uint64_t is_capital = (low + ones * (0x80 - 'A')) & ~(low + ones * (0x7f - 'Z')) & ~bytes;

    return bytes | (is_capital & ones * 0x80) >> 2;
}

/* One token. @readable: bytes that may be read from @bytes on, at least @length. @is_lowered: ASCII
 * letters in lower case. */
static inline void fingerprint_token(struct fingerprint *fingerprint, const char *bytes,
                                     size_t length, size_t readable, bool is_lowered)
{
    char *to = fingerprint->room + fingerprint->length;
    uint64_t words[2];

    if (length > FINGERPRINT_STEP || readable < FINGERPRINT_STEP ||
        length >= FINGERPRINT_ROOM - fingerprint->length) {
        fingerprint_token_slowly(fingerprint, bytes, length, is_lowered);
        return;
    }
    memcpy(words, bytes, sizeof(words));
    if (is_lowered) {
        words[0] = fingerprint_lower(words[0]);
        words[1] = fingerprint_lower(words[1]);
    }
    memcpy(to, words, sizeof(words));
    to[length] = '\0';
    fingerprint->length += length + 1;
}

/* The token that any literal and any parameter is. */
static inline void fingerprint_literal(struct fingerprint *fingerprint)
{
    if (FINGERPRINT_ROOM - fingerprint->length < 2) {
        fingerprint_token_slowly(fingerprint, "$", 1, false);
        return;
    }
    memcpy(fingerprint->room + fingerprint->length, "$", 2);
    fingerprint->length += 2;
}

/* Never 0: that is no statement. */
uint64_t fingerprint_end(struct fingerprint *fingerprint);
