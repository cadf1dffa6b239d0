/* What a client's board shows now: the present, for gauges and the API, never derived from events.
 */
#pragma once

#include "agent/model/process.h"
#include "proto/wire/segment.h"

struct live_pool {
    const struct process *process;
    uint64_t target; /* name id */
    uint32_t flags;  /* enum board_pool_flag */
    uint32_t connections_max, connections_min, idle_max, idle_min;
    uint32_t used, idle, waiting, connecting;
    uint64_t timeouts;
    uint32_t used_peak, waiting_peak; /* of the last whole 60 s window and the current one */
};

struct live_connection {
    const struct process *process;
    bool torn; /* its words were changing all the time: they may not belong together */
    enum slot_state state;
    uint32_t pool; /* index among the process's pools */
    uint32_t backend_pid;
    uint64_t connection, target, hold_id, call_site, tenant, fingerprint;
    uint64_t since_ns, acquired_ns, statement_since_ns, opened_ns; /* producer's clock; 0: not so */
    uint32_t oldest_open, newest_sent;
    uint8_t trace_id[16];
    uint8_t parent_span_id[8];
    uint8_t trace_flags;
};

struct live_waiter {
    const struct process *process;
    uint32_t pool;
    uint64_t since_ns, call_site, tenant;
    uint8_t trace_id[16];
};

/* Borrowed until the next look. */
struct live_board {
    const struct process *process;
    uint64_t now_ns; /* the producer's clock when the look was taken */
    enum process_observed observed;
    const struct live_pool *pools;
    size_t pool_count;
    const struct live_connection *connections;
    size_t connection_count;
    const struct live_waiter *waiters;
    size_t waiter_count;
};
