/* The text of a connection's newest statement, as it was sent and cut, for reports of leaks and
 * drains. It may hold literals, so nobody gets to see it: newest_read() normalizes it. Written by
 * the holder at each statement, without a lock and in some ten nanoseconds; read by any thread. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/view.h"

enum {
    NEWEST_WORDS = 96, /* of 8 bytes: as much of a text as is kept */
    NEWEST_NORMALIZED_MAX = NEWEST_WORDS * 8 + 64,
};

struct newest {
    _Atomic uint32_t sequence; /* odd while it is written */
    _Atomic uint32_t length;
    _Atomic uint32_t is_cut;
    _Atomic uint64_t words[NEWEST_WORDS];
};

void newest_note(struct newest *newest, struct view sql);

/* The normalized text with its NUL; "" if there was none, or if it is being replaced just now. The
 * fingerprint is 0 with it, and for a text that was cut, since it would be another statement's. */
void newest_read(const struct newest *newest, char text[NEWEST_NORMALIZED_MAX],
                 uint64_t *ret_fingerprint);
