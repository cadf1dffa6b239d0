/* Who holds a connection, for leaks, drains and the log. */
#pragma once

#include "shim/session/slot.h"

enum { HOLDER_TEXT_SIZE = HOLDER_WORDS * 8 + 8 };

struct holder_text {
    char call_site[HOLDER_TEXT_SIZE]; /* as named, else the code that acquired it */
    char tenant[HOLDER_TEXT_SIZE], traceparent[HOLDER_TEXT_SIZE];
    uint32_t thread; /* the kernel's id */
    bool is_site_named;
};

/* What a request said of itself; NULL: nothing. Borrowed. */
struct holder_words {
    const char *call_site, *tenant, *traceparent;
};

/* By the holder. NULL @said: nothing. */
void holder_write(struct slot *slot, const void *caller, const struct holder_words *said);
/* By any thread. False: it was given back meanwhile, and the texts may be another holder's. */
bool holder_read(const struct slot *slot, uint64_t lease, struct holder_text *ret);
/* In a forked child the calling thread has another number. */
void holder_fork_child(void);
