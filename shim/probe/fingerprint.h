/* The hash over canonical tokens that identifies a statement: XXH3-64 of each token's canonical
 * bytes followed by a NUL. TEXT.md in proto/wire defines the bytes. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { FINGERPRINT_ROOM = 2048 };

struct fingerprint {
    size_t length; /* of bytes not yet hashed */
    void *stream;  /* NULL as long as all fits into room */
    char room[FINGERPRINT_ROOM];
    uint64_t stream_state[80]; /* an XXH3 state, aligned when it is needed */
};

void fingerprint_begin(struct fingerprint *fingerprint);
/* One token, as it stands in the text; @lower: ASCII letters in lower case. */
void fingerprint_token(struct fingerprint *fingerprint, const char *bytes, size_t length,
                       int is_lowered);
/* Never 0: that is no statement. */
uint64_t fingerprint_end(struct fingerprint *fingerprint);
