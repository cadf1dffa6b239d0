/* A client's board as the stages see it. */
#pragma once

#include "agent/ingest/client.h"

/* Room for one board; grows to the largest seen, which is bounded by segment_check.h. */
struct look {
    struct live_pool *pools;
    struct live_connection *connections;
    struct live_waiter *waiters;
    uint32_t *places; /* of the board's pool entries among pools; UINT32_MAX: free */
    uint32_t pools_max, connections_max, waiters_max, places_max;
};
void look_deinit(struct look *look);

/* Fills @ret, which points into @look and is valid until the next call. 0 or -ENOMEM. */
int look_at(struct look *look, struct client *client, uint64_t now_monotonic_ns,
            struct live_board *ret) __attribute__((warn_unused_result));
