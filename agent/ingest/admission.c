/* Who comes in: accept, hello, segment or frames; and how clients go again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/ingest/listener.h"
#include "agent/ingest/state.h"
#include "base/cleanup.h"
#include "base/clock.h"

/* A quarter of the places for those who have not said hello: one that sent its hello at once is
 * read before a crowd behind it pushes it out. */
enum { ACCEPTS_PER_EVENT = 64 };

void admission_say(struct ingest *ingest, uint32_t cause, uint64_t count, const char *what)
{
    char line[300];

    if (cause == CAUSE_TIMEOUT)
        (void)snprintf(line, sizeof(line), "closed %llu connections: %s", (unsigned long long)count,
                       what);
    else if (cause == CAUSE_RESOURCE)
        (void)snprintf(line, sizeof(line), "%s (%llu times)", what, (unsigned long long)count);
    else
        (void)snprintf(line, sizeof(line), "refused %llu clients (%s): %s",
                       (unsigned long long)count, refusal_token(cause), what);
    ingest->opts.ops->on_log(ingest->opts.userdata, true, line);
}

static void admission_note(struct ingest *ingest, uint32_t cause, const char *what)
{
    uint64_t unsaid;

    if (log_limit_say(&ingest->limits[cause], uv_now(ingest->loop) * NS_PER_MS + 1, &unsaid))
        admission_say(ingest, cause, unsaid + 1, what);
}

/* ---- connections without a client ------------------------------------------------------------ */

static void greeting_remove(struct ingest *ingest, const struct connection *connection)
{
    for (uint32_t i = 0; i < ingest->greeting_count; i++) {
        if (ingest->greeting[i] != connection)
            continue;
        ingest->greeting_count--;
        memmove(&ingest->greeting[i], &ingest->greeting[i + 1],
                (ingest->greeting_count - i) * sizeof(struct connection *));
        return;
    }
}

static void connection_forget(struct ingest *ingest, struct connection *connection)
{
    struct client *client = connection->client;

    if (client && client->connection == connection) {
        client->connection = NULL;
        client->still_since_ns = clock_monotonic_ns();
        client->progress = client_progress(client);
    }
    greeting_remove(ingest, connection);
    connection_close(connection);
}

/* Tells the client why, counts, logs, and closes. */
static void connection_refuse(struct ingest *ingest, struct connection *connection,
                              enum refusal reason, const char *what)
{
    char answer[ANSWER_SIZE_MAX];
    size_t length = refused_encode(answer, sizeof(answer), reason, view_from(what));

    ingest->stats.refused[reason]++;
    admission_note(ingest, (uint32_t)reason, what);
    connection_send(connection, answer, length);
    connection_forget(ingest, connection);
}

static void admission_accept_one(struct ingest *ingest, int fd)
{
    struct connection *connection;

    ingest->stats.accepted++;
    if (connection_new(&ingest->connections, fd, &connection) < 0) {
        ingest->stats.out_of_memory++;
        (void)close(fd);
        return;
    }
    connection->incomplete_ns = clock_monotonic_ns();
    if (ingest->greeting_count == ingest->opts.greeting_max)
        connection_refuse(ingest, ingest->greeting[0], REFUSAL_CLIENTS_MAX,
                          "too many connections that have not said hello; this was the oldest");
    ingest->greeting[ingest->greeting_count++] = connection;
}

static void admission_on_listener(uv_poll_t *poll, int status, int events)
{
    struct ingest *ingest = poll->data;
    (void)status;
    (void)events;

    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        int fd = -1;
        int r = listener_accept(ingest->listener_fd, &ingest->spare_fd, &fd);
        if (r == 0) {
            admission_accept_one(ingest, fd);
        } else if (r == -EMFILE || r == -ENFILE) {
            ingest->stats.accepted++;
            ingest->stats.refused[REFUSAL_CLIENTS_MAX]++;
            admission_note(ingest, REFUSAL_CLIENTS_MAX, "no file descriptors are left");
        } else if (r != -EINTR && r != -ECONNABORTED) {
            return;
        }
    }
}

void admission_listen(struct ingest *ingest)
{
    /* Fails for a closed handle only. */
    (void)uv_poll_start(&ingest->listener, UV_READABLE, admission_on_listener);
}

/* ---- clients --------------------------------------------------------------------------------- */

static struct client *client_find(const struct ingest *ingest, const uint8_t client_id[16])
{
    for (uint32_t i = 0; i < ingest->client_count; i++) {
        if (memcmp(ingest->clients[i]->process.client_id, client_id, 16) == 0)
            return ingest->clients[i];
    }
    return NULL;
}

static void client_remove(struct ingest *ingest, const struct client *client)
{
    for (uint32_t i = 0; i < ingest->client_count; i++) {
        if (ingest->clients[i] == client) {
            ingest->clients[i] = ingest->clients[--ingest->client_count];
            return;
        }
    }
}

/* Keeps where it was, for when it comes back; a dead one's row goes with the next checkpoint. */
static void client_keep_position(struct ingest *ingest, const struct client *client,
                                 enum client_end end)
{
    struct position position;
    uint8_t evicted[16];
    int r;

    if (end == CLIENT_DIED) {
        if (client->has_row || client->changes_frozen > 0)
            tombstones_add(&ingest->tombstones, client->process.client_id);
        return;
    }
    client_position(client, &position);
    r = positions_put(&ingest->positions, &position, evicted);
    if (r < 0)
        ingest->stats.out_of_memory++;
    if (r != POSITIONS_E_EVICTED)
        return;
    ingest->stats.evicted_positions++;
    tombstones_add(&ingest->tombstones, evicted);
}

/* After death nothing is being published any more: what was begun never was. */
static void client_settle_counts(struct ingest_counts *counts)
{
    counts->recorded -= counts->in_lanes;
    counts->in_lanes = 0;
}

void admission_end_client(struct ingest *ingest, struct client *client, enum client_end end)
{
    struct live_board board = {.process = &client->process};
    struct ingest_counts counts;

    if (client->map.header)
        (void)drain_segment(&ingest->drain, client, UINT64_MAX);
    if (look_at(&ingest->look, client, clock_monotonic_ns(), &board) < 0)
        ingest->stats.out_of_memory++;
    client_counts(client, &counts);
    if (end == CLIENT_DIED)
        client_settle_counts(&counts);
    ingest->opts.ops->on_ended(ingest->opts.userdata, &client->process, end, &board, &counts);
    client_keep_position(ingest, client, end);
    client_remove(ingest, client);
    ingest->stats.mapped_bytes -= client->map.header ? client->map.layout.size : 0;
    if (client->connection) {
        client->connection->client = NULL;
        connection_forget(ingest, client->connection);
    }
    (void)client_free(client);
}

static void admission_on_died(void *userdata, struct client *client)
{
    struct ingest *ingest = userdata;

    pass_set_wall(ingest, clock_monotonic_ns());
    admission_end_client(ingest, client, CLIENT_DIED);
}

/* ---- hello ----------------------------------------------------------------------------------- */

static void admission_welcome(struct ingest *ingest, struct client *client, bool announce)
{
    char answer[ANSWER_SIZE_MAX];
    uint32_t flags =
        (ingest->is_stopped ? WELCOME_STOP_RECORDING : 0) | (announce ? WELCOME_ANNOUNCE : 0);
    size_t length =
        welcome_encode(answer, sizeof(answer), client->version, flags, client->frame_committed);

    connection_send(client->connection, answer, length);
}

static void client_attach(struct ingest *ingest, struct client *client,
                          struct connection *connection)
{
    greeting_remove(ingest, connection);
    connection->was_greeted = true;
    connection->client = client;
    connection->length_max =
        client->process.is_frames ? MESSAGE_LENGTH_MAX : sizeof(struct message_header);
    connection->version = client->version;
    client->connection = connection;
}

/* A word of the agent's in a segment: stored release, loaded relaxed by the recording path. */
static void client_store_words(struct ingest *ingest, struct client *client, bool announce)
{
    struct segment_header *header = client->map.header;
    uint32_t epoch;

    if (!header)
        return;
    atomic_store_explicit(&header->control, ingest->is_stopped ? SEGMENT_STOP_RECORDING : 0u,
                          memory_order_release);
    if (!announce)
        return;
    epoch = atomic_load_explicit(&header->epoch, memory_order_relaxed);
    atomic_store_explicit(&header->epoch, epoch + 1, memory_order_release);
}

void admission_tell(struct ingest *ingest, struct client *client, bool announce)
{
    client_store_words(ingest, client, announce);
    if (client->process.is_frames && client->connection)
        admission_welcome(ingest, client, announce);
}

/* The descriptors that its kind of hello carries. */
static int hello_check_descriptors(const struct hello *hello, const struct connection *connection,
                                   const char **ret_what)
{
    const uint32_t expected = hello->kind == HELLO_SEGMENT                 ? 2
                              : hello->kind == HELLO_SEGMENT_WITHOUT_PIDFD ? 1
                                                                           : 0;

    *ret_what = "too few descriptors for this kind of hello";
    if (connection->descriptor_count < expected)
        return REFUSAL_DESCRIPTORS;
    *ret_what = "surplus descriptors for this kind of hello";
    if (connection->descriptor_count > expected)
        return REFUSAL_DESCRIPTORS;
    *ret_what = "the second descriptor is no pidfd";
    if (expected == 2 && pidfd_check(connection->descriptors[1]) < 0)
        return REFUSAL_DESCRIPTORS;
    return 0;
}

/* A client that is known and connects again: it keeps all it has. */
static void admission_reattach(struct ingest *ingest, struct client *client,
                               struct connection *connection, const struct hello *hello)
{
    bool is_same = client->process.is_frames
                       ? hello->kind == HELLO_FRAMES
                       : hello->kind != HELLO_FRAMES &&
                             segment_map_is(&client->map, connection->descriptors[0]);

    if (!is_same) {
        connection_refuse(ingest, connection, REFUSAL_SEGMENT_LAYOUT, "another client has this id");
        return;
    }
    if (client->connection) {
        client->connection->client = NULL;
        connection_forget(ingest, client->connection);
    }
    if (client->pidfd < 0 && hello->kind == HELLO_SEGMENT &&
        client_watch_death(client, ingest->loop, connection->descriptors[1]) == 0)
        (void)connection_take_descriptor(connection, 1);
    client_attach(ingest, client, connection);
    admission_welcome(ingest, client, false);
}

struct admission {
    struct client *client;
    struct segment_map map;
    struct position *stored;
    struct segment_refusal refusal;
};

static void admission_deinit(struct admission *admission)
{
    segment_map_close(&admission->map);
    free(admission->stored);
    (void)client_free(admission->client);
}

/* Maps, checks and takes over what the hello brought. 0, negative errno, or
 * SEGMENT_MAP_E_REFUSED. */
static int admission_adopt(struct ingest *ingest, struct admission *admission,
                           struct connection *connection, const struct hello *hello)
{
    const uint64_t room = ingest->opts.mapped_bytes_max - ingest->stats.mapped_bytes;
    int r;

    if (hello->kind == HELLO_FRAMES) {
        client_adopt_frames(admission->client, admission->stored);
        return 0;
    }
    r = segment_map_open(&admission->map, connection->descriptors[0], hello->client_id, room,
                         &admission->refusal);
    if (r == 0)
        r = client_adopt_segment(admission->client, &admission->map, admission->stored,
                                 &admission->refusal);
    if (r == 0 && hello->kind == HELLO_SEGMENT) {
        r = client_watch_death(admission->client, ingest->loop, connection->descriptors[1]);
        if (r == 0)
            (void)connection_take_descriptor(connection, 1);
    }
    return r;
}

static int admission_make(struct ingest *ingest, struct admission *admission,
                          struct connection *connection, const struct hello *hello)
{
    struct client_opts opts = {
        .loop = ingest->loop,
        .hello = hello,
        .defaults = &ingest->opts.defaults,
        .now_monotonic_ns = clock_monotonic_ns(),
        .now_realtime_ns = clock_realtime_ns(),
        .on_died = admission_on_died,
        .userdata = ingest,
        .handles = &ingest->handles,
    };
    bool bad_resource = false;
    int r = client_new(&opts, &bad_resource, &admission->client);

    if (r < 0)
        return r;
    if (bad_resource)
        admission_note(ingest, CAUSE_RESOURCE,
                       "OTEL_RESOURCE_ATTRIBUTES of a client cannot be decoded and is ignored");
    admission->stored = positions_take(&ingest->positions, hello->client_id);
    return admission_adopt(ingest, admission, connection, hello);
}

/* Somebody read names before whose texts we do not have. */
static bool client_needs_announcing(const struct client *client, const struct position *stored)
{
    if (stored)
        return false;
    return client->process.is_frames || client->names.position > 0;
}

static void admission_admit(struct ingest *ingest, struct connection *connection,
                            const struct hello *hello)
{
    struct admission CLEANUP(admission_deinit) admission = {0};
    struct client *client;
    bool announce;
    int r = admission_make(ingest, &admission, connection, hello);

    if (r != 0 && admission.stored) {
        uint8_t evicted[16]; /* none: it was there before */
        if (positions_put(&ingest->positions, admission.stored, evicted) < 0)
            ingest->stats.out_of_memory++;
    }
    if (r < 0) {
        ingest->stats.out_of_memory++;
        connection_refuse(ingest, connection, REFUSAL_CLIENTS_MAX, "the agent has no memory left");
        return;
    }
    if (r != 0) {
        connection_refuse(ingest, connection, admission.refusal.reason, admission.refusal.what);
        return;
    }
    client = STEAL(admission.client);
    ingest->clients[ingest->client_count++] = client;
    if (client->map.header) {
        ingest->stats.mapped_bytes += client->map.layout.size;
        drain_report_faults(&ingest->drain, client);
    }
    announce = client_needs_announcing(client, admission.stored);
    client_attach(ingest, client, connection);
    client_store_words(ingest, client, announce);
    ingest->opts.ops->on_client(ingest->opts.userdata, &client->process);
    admission_welcome(ingest, client, announce);
}

static void admission_on_hello(struct ingest *ingest, struct connection *connection,
                               struct view message)
{
    struct client *known;
    struct hello hello;
    const char *what = "the hello is malformed";
    int r = hello_decode(message, &hello);

    if (r == REFUSAL_VERSION)
        what = "this agent speaks major version 1 of the wire; upgrade the older side";
    if (r == REFUSAL_UNEXPECTED)
        what = "the first message must be a hello";
    if (r == 0)
        r = hello_check_descriptors(&hello, connection, &what);
    if (r != 0) {
        connection_refuse(ingest, connection, (enum refusal)r, what);
        return;
    }
    known = client_find(ingest, hello.client_id);
    if (known)
        admission_reattach(ingest, known, connection, &hello);
    else if (ingest->client_count == ingest->opts.clients_max)
        connection_refuse(ingest, connection, REFUSAL_CLIENTS_MAX,
                          "the agent serves no more clients; raise its limit");
    else
        admission_admit(ingest, connection, &hello);
    if (connection->fd >= 0) {
        /* The memfd is mapped, and a pidfd not taken is one we have. */
        for (uint32_t i = 0; i < DESCRIPTORS_MAX; i++) {
            int CLEANUP(closep) fd = connection_take_descriptor(connection, i);
            (void)fd;
        }
    }
}

/* ---- messages -------------------------------------------------------------------------------- */

static void admission_on_frame(struct ingest *ingest, struct connection *connection,
                               struct view message)
{
    struct client *client = connection->client;
    const char *what = NULL;
    uint64_t before = client->frame;
    int r;

    pass_set_wall(ingest, clock_monotonic_ns());
    r = drain_frame(&ingest->drain, client, message, &what);
    if (r != 0) {
        connection_refuse(ingest, connection, (enum refusal)r, what);
        return;
    }
    ingest->frames_taken += client->frame != before;
    /* Sent again after a reconnect, and in the checkpoint already: it waits for an answer. */
    if (client->frame == before && client->frame_committed > 0)
        connection_ack(connection, client->frame_committed);
}

static void admission_on_message(void *userdata, struct connection *connection, struct view message)
{
    struct ingest *ingest = userdata;
    struct client *client = connection->client;

    if (!client)
        admission_on_hello(ingest, connection, message);
    else if (client->process.is_frames)
        admission_on_frame(ingest, connection, message);
    else
        connection_refuse(ingest, connection, REFUSAL_UNEXPECTED,
                          "a client with a segment says nothing after its hello");
}

static void admission_on_end(void *userdata, struct connection *connection, int reason,
                             const char *what)
{
    struct ingest *ingest = userdata;

    if (reason > 0)
        connection_refuse(ingest, connection, (enum refusal)reason, what);
    else
        connection_forget(ingest, connection);
}

const struct connection_ops admission_connection_ops = {
    .on_message = admission_on_message,
    .on_end = admission_on_end,
};

/* ---- time ------------------------------------------------------------------------------------ */

static bool connection_is_late(const struct ingest *ingest, const struct connection *connection,
                               uint64_t now_ns)
{
    return connection->incomplete_ns != 0 && now_ns > connection->incomplete_ns &&
           now_ns - connection->incomplete_ns > ingest->opts.hello_timeout_ms * NS_PER_MS;
}

/* Hung up, and nothing moves: what is left of it is a memory nobody writes. */
static bool client_is_gone(const struct ingest *ingest, struct client *client, uint64_t now_ns)
{
    uint64_t progress = client_progress(client);

    if (client->connection)
        return false;
    if (progress != client->progress) {
        client->progress = progress;
        client->still_since_ns = now_ns;
    }
    return now_ns > client->still_since_ns &&
           now_ns - client->still_since_ns > ingest->opts.gone_timeout_ms * NS_PER_MS;
}

void admission_expire(struct ingest *ingest, uint64_t now_ns)
{
    /* The oldest stands first. */
    while (ingest->greeting_count > 0 && connection_is_late(ingest, ingest->greeting[0], now_ns)) {
        ingest->stats.hello_timeouts++;
        admission_note(ingest, CAUSE_TIMEOUT, "no hello in time");
        connection_forget(ingest, ingest->greeting[0]);
    }
    for (uint32_t i = ingest->client_count; i > 0; i--) {
        struct client *client = ingest->clients[i - 1];
        if (client->connection && connection_is_late(ingest, client->connection, now_ns)) {
            ingest->stats.frame_timeouts++;
            admission_note(ingest, CAUSE_TIMEOUT, "a message stopped in its middle");
            connection_forget(ingest, client->connection);
        } else if (client_is_gone(ingest, client, now_ns)) {
            admission_end_client(ingest, client, CLIENT_GONE);
        }
    }
}

void admission_close_all(struct ingest *ingest)
{
    while (ingest->greeting_count > 0)
        connection_forget(ingest, ingest->greeting[0]);
    while (ingest->client_count > 0) {
        struct client *client = ingest->clients[--ingest->client_count];
        if (client->connection)
            connection_close(client->connection);
        (void)client_free(client);
    }
}
