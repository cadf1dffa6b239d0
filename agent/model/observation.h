/* One event as the stages see it: a checked copy of its record, and who said it. Borrowed for the
 * call. */
#pragma once

#include "agent/model/process.h"
#include "proto/wire/record.h"

struct observation {
    const struct process *process;
    uint64_t time_unix_ns; /* when it ended, in the agent's wall time */
    union {
        const struct event_head *head;
        const struct record_connect *connect;
        const struct record_close *close;
        const struct record_acquire *acquire;
        const struct record_release *release;
        const struct record_statement *statement;
        const struct record_transaction *transaction;
        const struct record_prepare *prepare;
        const struct record_cancel *cancel;
        const struct record_parameters *parameters;
        const struct record_pool_state *pool_state;
    };
    const struct event_context *context; /* NULL: none */
};
