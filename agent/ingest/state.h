/* What ingest is made of; shared by ingest.c (the caller's side), admission.c (who comes in and
 * goes out) and pass.c (reading on a timer). */
#pragma once

#include "agent/ingest/client.h"
#include "agent/ingest/drain.h"
#include "agent/ingest/ingest.h"
#include "agent/ingest/log_limit.h"
#include "agent/ingest/look.h"

/* Ids whose rows the next checkpoint deletes. */
struct tombstones {
    uint8_t (*ids)[16];
    uint32_t count, capacity;
    uint32_t frozen;
};

enum { TOMBSTONES_MAX = 1 << 16 }; /* between two checkpoints; a row more stays in the store */

struct ingest {
    struct ingest_opts opts;
    uv_loop_t *loop;
    struct connection_pool connections;
    struct connection **greeting; /* no hello yet, oldest first */
    uint32_t greeting_count;
    struct client **clients;
    uint32_t client_count;
    struct positions positions;
    struct tombstones tombstones;
    struct drain drain;
    struct look look;
    struct ingest_stats stats;
    struct log_limit limits[REFUSAL_END + 2];

    uv_poll_t listener;
    int listener_fd, spare_fd;
    uv_timer_t timer;
    uint64_t interval_ms;
    uint32_t first;        /* client that the next pass begins with */
    uint64_t frames_taken; /* since the last pass */
    uint64_t wall_set_ns;  /* when the clocks were last compared */
    bool is_listening, is_closing, is_stopped, is_frozen;
    struct handle_count handles;
    ingest_closed_fn on_closed;
    void *on_closed_userdata;
    char socket_path[108];
};

/* admission.c */
void admission_listen(struct ingest *ingest);
void admission_say(struct ingest *ingest, uint32_t cause, uint64_t count, const char *what);
/* Times out connections that say nothing, and messages that do not go on. */
void admission_expire(struct ingest *ingest, uint64_t now_ns);
/* Tells a client whether to record, and to announce its names anew. */
void admission_tell(struct ingest *ingest, struct client *client, bool announce);
void admission_close_all(struct ingest *ingest);
/* Called back by connections. */
extern const struct connection_ops admission_connection_ops;
/* Reads all that @client left, calls on_ended, and lets go of it. */
void admission_end_client(struct ingest *ingest, struct client *client, enum client_end end);
/* Causes that are no refusal, behind those that are. */
enum { CAUSE_TIMEOUT = REFUSAL_END, CAUSE_RESOURCE };

/* pass.c */
void pass_start(struct ingest *ingest);
/* Ingest's own clocks, compared at most once a second. */
void pass_set_wall(struct ingest *ingest, uint64_t now_ns);
uint64_t pass_drain_all(struct ingest *ingest);

void tombstones_add(struct tombstones *tombstones, const uint8_t client_id[16]);
