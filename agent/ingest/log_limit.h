/* One line per cause and while, with the number of times: ten thousand refusals are one line. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct log_limit {
    uint64_t said_ns; /* 0: never */
    uint64_t unsaid;  /* since then */
};

enum { LOG_LIMIT_S = 10 };

/* True if this occurrence is to be said now; *ret_unsaid have not been said before it. */
bool log_limit_say(struct log_limit *limit, uint64_t now_ns, uint64_t *ret_unsaid);
/* True if occurrences wait that nobody said, and their time has come. */
bool log_limit_due(struct log_limit *limit, uint64_t now_ns, uint64_t *ret_unsaid);
