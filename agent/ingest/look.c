#include "agent/ingest/look.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void look_deinit(struct look *look)
{
    free(look->pools);
    free(look->connections);
    free(look->waiters);
    free(look->places);
    *look = (struct look){0};
}

static int look_grow(void **items, uint32_t *max, uint32_t need, size_t size)
{
    void *grown;

    if (need <= *max)
        return 0;
    grown = realloc(*items, need * size);
    if (!grown)
        return -ENOMEM;
    *items = grown;
    *max = need;
    return 0;
}

static int look_make_room(struct look *look, const struct board_view *board)
{
    int r;

    r = look_grow((void **)&look->pools, &look->pools_max, board->pool_count, sizeof(*look->pools));
    if (r == 0)
        r = look_grow((void **)&look->places, &look->places_max, board->pool_count,
                      sizeof(*look->places));
    if (r == 0)
        r = look_grow((void **)&look->connections, &look->connections_max, board->slot_count,
                      sizeof(*look->connections));
    if (r == 0)
        r = look_grow((void **)&look->waiters, &look->waiters_max, board->waiter_count,
                      sizeof(*look->waiters));
    return r;
}

/* False: the entry that begins with @word was never used. Looked at alone, since an entry may reach
 * over to a page that does not exist yet. */
static bool look_is_used(const struct client *client, const void *word)
{
    return segment_map_touched(&client->map, word) &&
           atomic_load_explicit((const _Atomic uint64_t *)word, memory_order_acquire) != 0;
}

static size_t look_pools(struct look *look, const struct client *client, uint64_t now_ns)
{
    const struct board_view *board = &client->map.board;
    struct pool_copy copy;
    size_t count = 0;

    for (uint32_t i = 0; i < board->pool_count; i++) {
        look->places[i] = UINT32_MAX;
        if (!look_is_used(client, &board->pools[i].target) ||
            !board_read_pool(board, i, now_ns, &copy))
            continue;
        look->places[i] = (uint32_t)count;
        look->pools[count++] = (struct live_pool){
            .process = &client->process,
            .target = copy.target,
            .flags = copy.flags,
            .connections_max = copy.connections_max,
            .connections_min = copy.connections_min,
            .idle_max = copy.idle_max,
            .idle_min = copy.idle_min,
            .used = copy.used,
            .idle = copy.idle,
            .waiting = copy.waiting,
            .connecting = copy.connecting,
            .timeouts = copy.timeouts,
            .used_peak = copy.used_peak,
            .waiting_peak = copy.waiting_peak,
        };
    }
    return count;
}

/* The place among the pools of what the board calls pool @index. */
static uint32_t look_place(const struct look *look, const struct client *client, uint32_t index)
{
    return index < client->map.board.pool_count ? look->places[index] : UINT32_MAX;
}

static struct live_connection look_connection(const struct client *client,
                                              const struct slot_copy *copy, uint32_t pool)
{
    struct live_connection connection = {
        .process = &client->process,
        .torn = copy->torn,
        .state = (enum slot_state)copy->state,
        .pool = pool,
        .backend_pid = copy->backend_pid,
        .connection = copy->connection,
        .target = copy->target,
        .hold_id = copy->hold_id,
        .call_site = copy->call_site,
        .tenant = copy->tenant,
        .fingerprint = copy->fingerprint,
        .since_ns = copy->since_ns,
        .acquired_ns = copy->acquired_ns,
        .statement_since_ns = copy->statement_since_ns,
        .opened_ns = copy->opened_ns,
        .oldest_open = copy->oldest_open,
        .newest_sent = copy->newest_sent,
        .trace_flags = (uint8_t)copy->trace_flags,
    };

    memcpy(connection.trace_id, copy->trace_id, sizeof(connection.trace_id));
    memcpy(connection.parent_span_id, &copy->parent_span_id, sizeof(connection.parent_span_id));
    return connection;
}

static size_t look_connections(struct look *look, const struct client *client)
{
    const struct board_view *board = &client->map.board;
    struct slot_copy copy;
    size_t count = 0;

    for (uint32_t i = 0; i < board->slot_count; i++) {
        /* The state lies beside the sequence: one word says whether there is a connection. */
        if (look_is_used(client, &board->slots[i].sequence) && board_read_slot(board, i, &copy))
            look->connections[count++] =
                look_connection(client, &copy, look_place(look, client, copy.pool));
    }
    return count;
}

static size_t look_waiters(struct look *look, const struct client *client)
{
    const struct board_view *board = &client->map.board;
    struct waiter_copy copy;
    size_t count = 0;

    for (uint32_t i = 0; i < board->waiter_count; i++) {
        if (!look_is_used(client, &board->waiters[i].since_ns) ||
            !board_read_waiter(board, i, &copy))
            continue;
        look->waiters[count] = (struct live_waiter){
            .process = &client->process,
            .pool = look_place(look, client, copy.pool),
            .since_ns = copy.since_ns,
            .call_site = copy.call_site,
            .tenant = copy.tenant,
        };
        memcpy(look->waiters[count++].trace_id, copy.trace_id, sizeof(copy.trace_id));
    }
    return count;
}

int look_at(struct look *look, struct client *client, uint64_t now_monotonic_ns,
            struct live_board *ret)
{
    struct process_copy process;
    int r;

    *ret = (struct live_board){
        .process = &client->process,
        .now_ns = now_monotonic_ns - (uint64_t)client->clock_offset_ns,
        .observed = OBSERVED_YES,
    };
    if (client->process.is_frames) {
        ret->pools = client->pools;
        ret->pool_count = client->pool_count;
        return 0;
    }
    r = look_make_room(look, &client->map.board);
    if (r < 0)
        return r;
    segment_map_look(&client->map);
    process = board_read_process(&client->map.board);
    /* A later version's reason is a reason not known to us: attached, nothing seen yet. */
    ret->observed = process.observed <= OBSERVED_DISABLED ? (enum process_observed)process.observed
                                                          : OBSERVED_NOT_YET;
    ret->pools = look->pools;
    ret->pool_count = look_pools(look, client, ret->now_ns);
    ret->connections = look->connections;
    ret->connection_count = look_connections(look, client);
    ret->waiters = look->waiters;
    ret->waiter_count = look_waiters(look, client);
    return 0;
}
