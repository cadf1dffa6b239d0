/* The loss ledger (N4), in events, one row a client process:
 * recorded = exported + buffered + dropped by cause; imbalance is what is left and must be 0. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/wire/segment.h"

enum drop_cause {
#define DROP(value, token) value,
#include "agent/model/drop.def"
#undef DROP
    DROP_END
};

extern const char *const drop_tokens[]; /* DROP_END entries */

/* One client's counts over its whole life, whoever read them: recorded = read + in_lanes + dropped.
 */
struct ledger_counts {
    uint64_t recorded, read, in_lanes;
    uint64_t dropped[DROP_END];
};

struct ledger_row {
    uint8_t client_id[16];
    uint32_t pid;
    const char *service;  /* borrowed */
    const char *instance; /* borrowed */
    uint64_t recorded;    /* published in lanes or frames, plus what the shim dropped */
    uint64_t exported;
    uint64_t in_lanes; /* published and not read: the reader's own count of records */
    uint64_t read;     /* applied to series and not yet exported */
    uint64_t dropped[DROP_END];
    int64_t imbalance;
    bool tail_unknown; /* both sides died: the end of its records cannot be known */
    bool is_alive;
    enum process_observed observed; /* whether its statements can be seen, or why not */
};

/* "yes", "not_yet", "static_libpq", "bypassed_libpq", "disabled" */
const char *observed_token(enum process_observed observed);
