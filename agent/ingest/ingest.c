#include "agent/ingest/ingest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/ingest/listener.h"
#include "agent/ingest/state.h"
#include "base/cleanup.h"
#include "base/clock.h"

static void ingest_on_no_handles(void *userdata);

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value ? value : otherwise;
}

static int ingest_set_opts(struct ingest *ingest, const struct ingest_opts *opts)
{
    ingest->opts = *opts;
    ingest->opts.socket_mode = or_default(opts->socket_mode, 0666);
    ingest->opts.clients_max = or_default(opts->clients_max, 1024);
    ingest->opts.greeting_max = or_default(opts->greeting_max, 256);
    ingest->opts.hello_timeout_ms = or_default(opts->hello_timeout_ms, 5000);
    ingest->opts.gone_timeout_ms = or_default(opts->gone_timeout_ms, 15000);
    ingest->opts.stored_max = or_default(opts->stored_max, 1024);
    if (!opts->mapped_bytes_max)
        ingest->opts.mapped_bytes_max = UINT64_C(8) << 30;
    if (!opts->buffered_bytes_max)
        ingest->opts.buffered_bytes_max = 64 << 20;
    if ((size_t)snprintf(ingest->socket_path, sizeof(ingest->socket_path), "%s",
                         opts->socket_path) >= sizeof(ingest->socket_path))
        return -ENAMETOOLONG;
    ingest->opts.socket_path = ingest->socket_path;
    return 0;
}

static void ingest_release(struct ingest *ingest)
{
    positions_deinit(&ingest->positions);
    look_deinit(&ingest->look);
    free(ingest->tombstones.ids);
    free(ingest->greeting);
    free(ingest->clients);
    free(ingest);
}

int ingest_new(uv_loop_t *loop, const struct ingest_opts *opts, struct ingest **ret)
{
    struct ingest *ingest = aligned_alloc(64, (sizeof(*ingest) + 63) / 64 * 64);
    int r;

    if (!ingest)
        return -ENOMEM;
    memset(ingest, 0, sizeof(*ingest));
    ingest->loop = loop;
    ingest->listener_fd = ingest->spare_fd = -1;
    r = ingest_set_opts(ingest, opts);
    if (r == 0)
        r = positions_init(&ingest->positions, ingest->opts.stored_max);
    ingest->greeting = calloc(ingest->opts.greeting_max, sizeof(*ingest->greeting));
    ingest->clients = calloc(ingest->opts.clients_max, sizeof(*ingest->clients));
    if (r == 0 && (!ingest->greeting || !ingest->clients))
        r = -ENOMEM;
    if (r < 0) {
        ingest_release(ingest);
        return r;
    }
    ingest->handles = (struct handle_count){.on_none = ingest_on_no_handles, .userdata = ingest};
    ingest->connections.loop = loop;
    ingest->connections.handles = &ingest->handles;
    ingest->connections.ops = &admission_connection_ops;
    ingest->connections.userdata = ingest;
    ingest->connections.buffered_bytes_max = ingest->opts.buffered_bytes_max;
    ingest->drain.ops = ingest->opts.ops;
    ingest->drain.userdata = ingest->opts.userdata;
    ingest->drain.stats = &ingest->stats;
    *ret = ingest;
    return 0;
}

int ingest_restore(struct ingest *ingest, const struct row *row)
{
    struct position position;
    uint8_t evicted[16];
    int r = position_decode(row, &position);

    if (r < 0)
        return r;
    r = positions_put(&ingest->positions, &position, evicted);
    if (r == POSITIONS_E_EVICTED) {
        ingest->stats.evicted_positions++;
        tombstones_add(&ingest->tombstones, evicted);
        r = 0;
    }
    return r;
}

int ingest_listen(struct ingest *ingest)
{
    int r = listener_open(ingest->socket_path, ingest->opts.socket_mode, &ingest->listener_fd);

    if (r < 0)
        return r;
    r = uv_poll_init(ingest->loop, &ingest->listener, ingest->listener_fd);
    if (r < 0) {
        (void)close(ingest->listener_fd); /* only the refusal matters */
        ingest->listener_fd = -1;
        return r;
    }
    (void)uv_timer_init(ingest->loop, &ingest->timer); /* always 0 */
    ingest->listener.data = ingest->timer.data = ingest;
    ingest->handles.open += 2;
    ingest->spare_fd = listener_spare();
    ingest->is_listening = true;
    admission_listen(ingest);
    pass_start(ingest);
    return 0;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void ingest_on_handle_closed(uv_handle_t *handle)
{
    struct ingest *ingest = handle->data;

    handle_count_down(&ingest->handles);
}

static void ingest_on_no_handles(void *userdata)
{
    struct ingest *ingest = userdata;

    if (ingest->is_closing && ingest->on_closed)
        ingest->on_closed(ingest->on_closed_userdata);
}

void ingest_close(struct ingest *ingest, ingest_closed_fn fn, void *userdata)
{
    ingest->is_closing = true;
    ingest->on_closed = fn;
    ingest->on_closed_userdata = userdata;
    admission_close_all(ingest);
    if (ingest->is_listening) {
        /* Ours, by the lock; whoever connects now finds no agent and tries again. */
        (void)unlink(ingest->socket_path);
        uv_close((uv_handle_t *)&ingest->listener, ingest_on_handle_closed);
        uv_close((uv_handle_t *)&ingest->timer, ingest_on_handle_closed);
        (void)close(ingest->listener_fd); /* nothing is written through it */
        if (ingest->spare_fd >= 0)
            (void)close(ingest->spare_fd); /* nor through this one */
        ingest->is_listening = false;
    } else if (ingest->handles.open == 0) {
        ingest_on_no_handles(ingest);
    }
}

struct ingest *ingest_free(struct ingest *ingest)
{
    if (ingest)
        ingest_release(ingest);
    return NULL;
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

void tombstones_add(struct tombstones *tombstones, const uint8_t client_id[16])
{
    if (tombstones->count == tombstones->capacity) {
        uint32_t capacity = tombstones->capacity ? 2 * tombstones->capacity : 64;
        void *ids = capacity > TOMBSTONES_MAX
                        ? NULL
                        : realloc(tombstones->ids, capacity * sizeof(*tombstones->ids));
        if (!ids)
            return; /* its row stays in the store, where the next agent's bound finds it */
        tombstones->ids = ids;
        tombstones->capacity = capacity;
    }
    memcpy(tombstones->ids[tombstones->count++], client_id, sizeof(*tombstones->ids));
}

void ingest_drain(struct ingest *ingest)
{
    (void)pass_drain_all(ingest);
}

static void ingest_freeze_position(const struct position *position, struct rows *rows)
{
    struct view key = {(const char *)position->client_id, sizeof(position->client_id)};
    struct buffer value;

    buffer_init(&value, sizeof(struct position) + 64);
    position_encode(position, &value);
    if (value.failed)
        rows->bytes.failed = true;
    else
        rows_put(rows, ROWS_POSITIONS, key, (struct view){value.bytes, value.length});
    buffer_deinit(&value);
}

void ingest_freeze(struct ingest *ingest, struct rows *rows)
{
    ingest->is_frozen = true;
    /* Deletions first: who was forgotten may be here again. */
    ingest->tombstones.frozen = ingest->tombstones.count;
    for (uint32_t i = 0; i < ingest->tombstones.frozen; i++)
        rows_put(
            rows, ROWS_POSITIONS,
            (struct view){(const char *)ingest->tombstones.ids[i], sizeof(*ingest->tombstones.ids)},
            (struct view){0});
    for (uint32_t i = 0; i < ingest->client_count; i++) {
        struct client *client = ingest->clients[i];
        client->is_frozen = client->changes != client->changes_saved;
        if (!client->is_frozen)
            continue;
        client->changes_frozen = client->changes;
        client_position(client, &client->frozen);
        ingest_freeze_position(&client->frozen, rows);
    }
    for (uint32_t i = 0; i < ingest->positions.count; i++) {
        struct position *away = ingest->positions.items[i];
        away->is_frozen = away->is_unsaved;
        if (away->is_frozen)
            ingest_freeze_position(away, rows);
    }
}

void ingest_commit(struct ingest *ingest)
{
    struct tombstones *tombstones = &ingest->tombstones;

    if (!ingest->is_frozen)
        return;
    ingest->is_frozen = false;
    for (uint32_t i = 0; i < ingest->client_count; i++) {
        struct client *client = ingest->clients[i];
        if (!client->is_frozen)
            continue;
        client->is_frozen = false;
        client_commit(client);
        if (client->process.is_frames && client->connection &&
            client->frame_committed > client->frame_acked) {
            client->frame_acked = client->frame_committed;
            connection_ack(client->connection, client->frame_acked);
        }
    }
    for (uint32_t i = 0; i < ingest->positions.count; i++) {
        struct position *away = ingest->positions.items[i];
        if (!away->is_frozen)
            continue;
        away->is_frozen = away->is_unsaved = false;
        away->frame_saved = away->frame;
    }
    tombstones->count -= tombstones->frozen;
    if (tombstones->frozen)
        memmove(tombstones->ids, tombstones->ids + tombstones->frozen,
                tombstones->count * sizeof(*tombstones->ids));
    tombstones->frozen = 0;
}

void ingest_commit_failed(struct ingest *ingest)
{
    ingest->is_frozen = false;
    ingest->tombstones.frozen = 0;
    for (uint32_t i = 0; i < ingest->client_count; i++)
        ingest->clients[i]->is_frozen = false;
    for (uint32_t i = 0; i < ingest->positions.count; i++)
        ingest->positions.items[i]->is_frozen = false;
}

/* ---- what the caller sees and says ----------------------------------------------------------- */

void ingest_stop_recording(struct ingest *ingest, bool stop)
{
    ingest->is_stopped = stop;
    for (uint32_t i = 0; i < ingest->client_count; i++)
        admission_tell(ingest, ingest->clients[i], false);
}

void ingest_announce(struct ingest *ingest)
{
    for (uint32_t i = 0; i < ingest->client_count; i++)
        admission_tell(ingest, ingest->clients[i], true);
}

void ingest_look(struct ingest *ingest, ingest_board_fn fn, void *userdata)
{
    const uint64_t now_ns = clock_monotonic_ns();
    struct live_board board;

    for (uint32_t i = 0; i < ingest->client_count; i++) {
        if (look_at(&ingest->look, ingest->clients[i], now_ns, &board) < 0)
            ingest->stats.out_of_memory++;
        else
            fn(userdata, &board);
    }
}

void ingest_counts(struct ingest *ingest, ingest_counts_fn fn, void *userdata)
{
    struct ingest_counts counts;

    for (uint32_t i = 0; i < ingest->client_count; i++) {
        client_counts(ingest->clients[i], &counts);
        fn(userdata, &ingest->clients[i]->process, &counts);
    }
}

struct ingest_stats ingest_stats(const struct ingest *ingest)
{
    struct ingest_stats stats = ingest->stats;

    stats.clients = ingest->client_count;
    stats.greeting = ingest->greeting_count;
    stats.buffered_bytes = ingest->connections.buffered_bytes;
    stats.stored = ingest->positions.count;
    for (uint32_t i = 0; i < ingest->client_count; i++)
        stats.frames_clients += ingest->clients[i]->process.is_frames;
    return stats;
}
