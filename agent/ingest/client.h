/* A client that was accepted: its process, and what its segment or its frames hold. It outlives its
 * connection: hang-up is not death. */
#pragma once

#include <uv.h>

#include "agent/ingest/connection.h"
#include "agent/ingest/position.h"
#include "agent/ingest/segment_map.h"
#include "agent/model/live.h"
#include "proto/wire/hello.h"
#include "proto/wire/lane_reader.h"

struct client;
typedef void (*client_died_fn)(void *userdata, struct client *client);

struct client {
    struct process process;
    struct connection *connection; /* NULL: hung up */
    struct message_version version;
    uint64_t since_ns; /* agent's clock: accepted */

    /* Its clock: add to its CLOCK_MONOTONIC to get ours (time namespaces); 0 in the same one. */
    int64_t clock_offset_ns;

    /* Death. The poll's memory is freed when the loop has let go of it. */
    uv_poll_t death;
    int pidfd; /* -1: none */
    client_died_fn on_died;
    void *userdata;
    struct handle_count *handles;

    /* Hung up: since when nothing moved. */
    uint64_t still_since_ns;
    uint64_t progress;

    /* Segments. */
    struct segment_map map;
    struct lane_reader names;
    struct lane_reader *lanes; /* map.layout.lane_count */

    /* Frames. */
    uint64_t frame, frame_acked, frame_committed;
    uint64_t events, read;
    bool events_known; /* else the first record tells how many came before */
    struct live_pool *pools;
    uint32_t pool_count;

    uint64_t dropped[DROP_END]; /* booked by us or by agents before us */

    /* Checkpoints. */
    uint64_t changes, changes_frozen, changes_saved;
    struct position frozen;
    bool is_frozen; /* the checkpoint under way holds its position */
    bool has_row;
};

/* What makes a client. */
struct client_opts {
    uv_loop_t *loop;
    const struct hello *hello;
    const struct resource_defaults *defaults;
    uint64_t now_monotonic_ns, now_realtime_ns; /* read back to back, after the hello came */
    client_died_fn on_died;
    void *userdata;
    struct handle_count *handles;
};

/* A client without segment and connection. 0 or -ENOMEM. */
int client_new(const struct client_opts *opts, bool *ret_bad_resource, struct client **ret)
    __attribute__((warn_unused_result));
/* Lets go of all but the connection, which is the caller's. NULL is fine. */
struct client *client_free(struct client *client);

/* Takes over @map and opens its rings; with @stored goes on there. Returns 0, -ENOMEM, or
 * SEGMENT_MAP_E_REFUSED (map stays the caller's). */
int client_adopt_segment(struct client *client, struct segment_map *map,
                         const struct position *stored, struct segment_refusal *ret_refusal)
    __attribute__((warn_unused_result));
void client_adopt_frames(struct client *client, const struct position *stored);

/* Watches @pidfd, and takes it over on success. 0 or negative errno. */
int client_watch_death(struct client *client, uv_loop_t *loop, int pidfd)
    __attribute__((warn_unused_result));

/* The agent's wall clock moved on: events are placed by the new pair. */
void client_set_wall(struct client *client, uint64_t now_monotonic_ns, uint64_t now_realtime_ns);

/* Where it was read to by now, saved or not. */
void client_position(const struct client *client, struct position *ret);
/* A checkpoint covers client->frozen. */
void client_commit(struct client *client);

struct ingest_counts;
void client_counts(const struct client *client, struct ingest_counts *ret);

/* Grows with anything that the client records. */
uint64_t client_progress(const struct client *client);
