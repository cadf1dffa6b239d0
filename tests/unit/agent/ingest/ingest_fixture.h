/* An ingest on a loop of its own with a socket in a temporary directory, and clients as a shim
 * would be one: real sockets, real memfds, real pidfds. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/ingest/ingest.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "proto/wire/hello.h"
#include "proto/wire/lane_reader.h"
#include "proto/wire/message_codec.h"
#include "tests/unit/proto/wire/segment_fixture.h"

enum { FIXTURE_WAIT_MS = 20000, FIXTURE_LOG_MAX = 64 };

struct ingest_fixture {
    uv_loop_t loop;
    uv_timer_t watchdog;
    struct ingest *ingest;
    struct ingest_opts opts;
    char directory[64], path[96];
    int lock;

    uint64_t clients, names, events, ended, died, gone, passes;
    uint64_t unsaved;      /* what passes said there is to save */
    uint64_t fingerprints; /* sum over all statements */
    uint64_t last_time_unix_ns;
    double fill; /* of the last pass */
    char last_name[128];
    char last_service[128];
    int64_t last_wall_offset_ns;
    struct ingest_counts counts; /* of the last client that ended, or was asked for */
    struct live_board board;     /* of the last one looked at; pools and connections copied */
    struct live_pool pools[4];
    struct live_connection connections[4];
    struct live_waiter waiters[4];
    uint32_t log_lines;
    char log[FIXTURE_LOG_MAX][320];
    bool late, is_closed;
};

static inline void fixture_on_client(void *userdata, const struct process *process)
{
    struct ingest_fixture *fixture = userdata;
    const struct attribute *service = attributes_find(process->resource, view_from("service.name"));

    fixture->clients++;
    fixture->last_wall_offset_ns = process->wall_offset_ns;
    if (service)
        (void)snprintf(fixture->last_service, sizeof(fixture->last_service), "%.*s",
                       (int)service->value.string.length, service->value.string.bytes);
}

static inline void fixture_on_name(void *userdata, const struct process *process,
                                   const struct record_name *name, struct view text)
{
    struct ingest_fixture *fixture = userdata;
    (void)process;

    assert_true(name->id != 0);
    fixture->names++;
    (void)snprintf(fixture->last_name, sizeof(fixture->last_name), "%.*s", (int)text.length,
                   text.bytes);
}

static inline void fixture_on_observation(void *userdata, const struct observation *observation)
{
    struct ingest_fixture *fixture = userdata;

    fixture->events++;
    fixture->last_time_unix_ns = observation->time_unix_ns;
    if (observation->head->header.kind == RECORD_STATEMENT)
        fixture->fingerprints += observation->statement->fingerprint;
}

static inline void fixture_keep_board(void *userdata, const struct live_board *board)
{
    struct ingest_fixture *fixture = userdata;

    fixture->board = *board;
    for (size_t i = 0; i < board->pool_count && i < 4; i++)
        fixture->pools[i] = board->pools[i];
    for (size_t i = 0; i < board->connection_count && i < 4; i++)
        fixture->connections[i] = board->connections[i];
    for (size_t i = 0; i < board->waiter_count && i < 4; i++)
        fixture->waiters[i] = board->waiters[i];
}

static inline void fixture_on_ended(void *userdata, const struct process *process,
                                    enum client_end end, const struct live_board *board,
                                    const struct ingest_counts *counts)
{
    struct ingest_fixture *fixture = userdata;

    assert_ptr_equal(board->process, process);
    fixture->ended++;
    fixture->died += end == CLIENT_DIED;
    fixture->gone += end == CLIENT_GONE;
    fixture->counts = *counts;
    fixture_keep_board(fixture, board);
}

static inline void fixture_on_pass(void *userdata, const struct ingest_pass *pass)
{
    struct ingest_fixture *fixture = userdata;

    fixture->passes++;
    fixture->unsaved += pass->events;
    fixture->fill = pass->lane_fill;
}

static inline void fixture_on_log(void *userdata, bool is_warning, const char *line)
{
    struct ingest_fixture *fixture = userdata;
    (void)is_warning;

    assert_true(fixture->log_lines < FIXTURE_LOG_MAX);
    (void)snprintf(fixture->log[fixture->log_lines++], sizeof(fixture->log[0]), "%s", line);
}

static const struct ingest_ops fixture_ops = {
    .on_client = fixture_on_client,
    .on_name = fixture_on_name,
    .on_observation = fixture_on_observation,
    .on_ended = fixture_on_ended,
    .on_pass = fixture_on_pass,
    .on_log = fixture_on_log,
};

static inline void fixture_on_watchdog(uv_timer_t *timer)
{
    struct ingest_fixture *fixture = timer->data;

    fixture->late = true;
}

/* Runs the loop until @condition; fails when that takes too long. */
#define RUN_UNTIL(fixture, condition)                                                              \
    do {                                                                                           \
        (fixture)->late = false;                                                                   \
        (void)uv_timer_start(&(fixture)->watchdog, fixture_on_watchdog, FIXTURE_WAIT_MS, 0);       \
        while (!(condition) && !(fixture)->late)                                                   \
            (void)uv_run(&(fixture)->loop, UV_RUN_ONCE);                                           \
        if (!(condition))                                                                          \
            fail_msg("never: %s", #condition);                                                     \
    } while (0)

/* Starts an ingest with fixture->opts, in the same directory as any before. */
static inline void fixture_start(struct ingest_fixture *fixture)
{
    fixture->opts.socket_path = fixture->path;
    fixture->opts.ops = &fixture_ops;
    fixture->opts.userdata = fixture;
    fixture->is_closed = false;
    assert_int_equal(ingest_lock(fixture->path, 0, &fixture->lock), 0);
    assert_int_equal(ingest_new(&fixture->loop, &fixture->opts, &fixture->ingest), 0);
}

static inline void fixture_open(struct ingest_fixture *fixture)
{
    *fixture = (struct ingest_fixture){.lock = -1};
    (void)snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/weir-ingest-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    (void)snprintf(fixture->path, sizeof(fixture->path), "%s/agent.sock", fixture->directory);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    assert_int_equal(uv_timer_init(&fixture->loop, &fixture->watchdog), 0);
    fixture->watchdog.data = fixture;
}

static inline void fixture_on_closed(void *userdata)
{
    struct ingest_fixture *fixture = userdata;

    fixture->is_closed = true;
}

/* As if the agent were killed: nothing is committed any more. */
static inline void fixture_stop(struct ingest_fixture *fixture)
{
    ingest_close(fixture->ingest, fixture_on_closed, fixture);
    RUN_UNTIL(fixture, fixture->is_closed);
    fixture->ingest = ingest_free(fixture->ingest);
    assert_int_equal(close(fixture->lock), 0);
}

static inline void fixture_close(struct ingest_fixture *fixture)
{
    char lock[128];

    if (fixture->ingest)
        fixture_stop(fixture);
    uv_close((uv_handle_t *)&fixture->watchdog, NULL);
    (void)uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fixture->loop), 0); /* nothing is left open in it */
    (void)snprintf(lock, sizeof(lock), "%s.lock", fixture->path);
    (void)unlink(lock);
    (void)unlink(fixture->path);
    assert_int_equal(rmdir(fixture->directory), 0); /* nor in the directory */
}

static inline void fixture_listen(struct ingest_fixture *fixture)
{
    fixture_start(fixture);
    assert_int_equal(ingest_listen(fixture->ingest), 0);
}

/* One checkpoint that succeeds; its rows are restored into the next agent with @next. */
static inline void fixture_checkpoint(struct ingest_fixture *fixture, struct rows *rows)
{
    rows_init(rows, 1 << 20);
    ingest_freeze(fixture->ingest, rows);
    assert_false(rows->bytes.failed);
    ingest_commit(fixture->ingest);
}

static inline void fixture_restore(struct ingest_fixture *fixture, const struct rows *rows)
{
    size_t offset = 0;
    struct row row;

    while (rows_next(rows, &offset, &row))
        assert_int_equal(ingest_restore(fixture->ingest, &row), 0);
}

/* ---- a client -------------------------------------------------------------------------------- */

struct peer {
    int socket, memfd, pidfd;
    struct segment_header *segment;
    struct hello_fields fields;
    char bytes[4096]; /* the hello */
    size_t length;
    char received[4096];
    size_t received_length;
};

static inline int pidfd_of(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* False if the agent's backlog is full. */
static inline bool peer_try_connect(struct peer *peer, const struct ingest_fixture *fixture)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", fixture->path);
    peer->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(peer->socket >= 0);
    peer->received_length = 0;
    if (connect(peer->socket, (struct sockaddr *)&address, sizeof(address)) == 0)
        return true;
    assert_int_equal(errno, EAGAIN);
    (void)close(peer->socket);
    return false;
}

static inline void peer_connect(struct peer *peer, const struct ingest_fixture *fixture)
{
    assert_true(peer_try_connect(peer, fixture));
}

/* Makes a memfd of @size with a planned segment in it, sealed with @seals. */
static inline void peer_make_segment(struct peer *peer, uint64_t size, int seals)
{
    peer->memfd = (int)syscall(SYS_memfd_create, "weir", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(peer->memfd >= 0);
    assert_int_equal(ftruncate(peer->memfd, (off_t)size), 0);
    peer->segment = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, peer->memfd, 0);
    assert_ptr_not_equal(peer->segment, MAP_FAILED);
    assert_int_equal(segment_plan(size, peer->segment), 0);
    memcpy(peer->segment->segment_id, peer->fields.client_id, 16);
    segment_init_rings(peer->segment);
    if (seals)
        assert_int_equal(fcntl(peer->memfd, F_ADD_SEALS, seals), 0);
}

static inline void peer_set_fields(struct peer *peer, enum hello_kind kind, uint8_t id)
{
    *peer = (struct peer){.socket = -1, .memfd = -1, .pidfd = -1};
    peer->fields = (struct hello_fields){
        .kind = kind,
        .pid = (uint32_t)getpid(),
        .monotonic_ns = clock_monotonic_ns(),
        .realtime_ns = clock_realtime_ns(),
    };
    memset(peer->fields.client_id, id, sizeof(peer->fields.client_id));
}

static inline void peer_make_hello(struct peer *peer)
{
    struct hello_writer writer;

    hello_begin(&writer, peer->bytes, sizeof(peer->bytes), &peer->fields);
    assert_true(hello_attribute(&writer, view_from(HELLO_KEY_SERVICE), view_from("shop")));
    assert_true(hello_attribute(&writer, view_from(HELLO_KEY_SHIM_NAME), view_from("test")));
    peer->length = hello_end(&writer);
    assert_true(peer->length > 0);
}

/* A good segment client whose pid is this very process. */
static inline void peer_make(struct peer *peer, uint8_t id)
{
    peer_set_fields(peer, HELLO_SEGMENT, id);
    peer_make_segment(peer, SEGMENT_SIZE_MIN, F_SEAL_SHRINK | F_SEAL_GROW);
    peer->pidfd = pidfd_of(getpid());
    assert_true(peer->pidfd >= 0);
    peer_make_hello(peer);
}

static inline void peer_send(const struct peer *peer, const void *bytes, size_t length,
                             const int *descriptors, size_t count)
{
    struct iovec vector = {(void *)(uintptr_t)bytes, length};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(64 * sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};

    if (count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(rights), descriptors, count * sizeof(int));
    }
    assert_int_equal(sendmsg(peer->socket, &message, MSG_NOSIGNAL), (ssize_t)length);
}

/* Sends the hello with what its kind carries. */
static inline void peer_greet(const struct peer *peer)
{
    const int descriptors[2] = {peer->memfd, peer->pidfd};

    peer_send(peer, peer->bytes, peer->length, descriptors,
              (peer->memfd >= 0) + (size_t)(peer->pidfd >= 0));
}

/* True once a whole answer is there. */
static inline bool peer_receive(struct peer *peer)
{
    uint32_t length;
    ssize_t n = recv(peer->socket, peer->received + peer->received_length,
                     sizeof(peer->received) - peer->received_length, MSG_DONTWAIT);

    if (n > 0)
        peer->received_length += (size_t)n;
    if (peer->received_length < 4)
        return false;
    memcpy(&length, peer->received, 4);
    return peer->received_length >= 4 + (size_t)length;
}

/* Waits for the next answer and takes it out. */
static inline struct answer peer_answer(struct ingest_fixture *fixture, struct peer *peer)
{
    static char message[4096];
    struct answer answer;
    uint32_t length;

    RUN_UNTIL(fixture, peer_receive(peer));
    memcpy(&length, peer->received, 4);
    memcpy(message, peer->received + 4, length);
    peer->received_length -= 4 + length;
    memmove(peer->received, peer->received + 4 + length, peer->received_length);
    assert_int_equal(answer_decode((struct view){message, length}, &answer), 0);
    return answer;
}

/* True once the agent has closed the connection. */
static inline bool peer_is_closed(const struct peer *peer)
{
    struct pollfd ready = {.fd = peer->socket, .events = POLLIN};

    return poll(&ready, 1, 0) == 1 && (ready.revents & POLLHUP);
}

/* Connects, greets, and is welcome. */
static inline struct answer peer_enter(struct ingest_fixture *fixture, struct peer *peer)
{
    struct answer answer;

    peer_connect(peer, fixture);
    peer_greet(peer);
    answer = peer_answer(fixture, peer);
    if (answer.kind != MESSAGE_WELCOME)
        fail_msg("refused: %s: %.*s", refusal_token(answer.reason), (int)answer.text.length,
                 answer.text.bytes);
    return answer;
}

static inline void peer_leave(struct peer *peer)
{
    if (peer->socket >= 0)
        (void)close(peer->socket);
    if (peer->memfd >= 0)
        (void)close(peer->memfd);
    if (peer->pidfd >= 0)
        (void)close(peer->pidfd);
    if (peer->segment)
        (void)munmap(peer->segment, peer->segment->segment_size);
    *peer = (struct peer){.socket = -1, .memfd = -1, .pidfd = -1};
}

/* Publishes a name in the segment's ring. 0 or lane_outcome. */
static inline int peer_announce(struct peer *peer, uint64_t id, const char *text)
{
    uint32_t length = (uint32_t)(sizeof(struct record_name) + strlen(text) + 31) / 32 * 32;
    struct lane_record record;
    int r = lane_take(segment_names(peer->segment), length, &record);

    if (r != 0)
        return r;
    memset(record.header, 0, length);
    struct record_name *name = (struct record_name *)(void *)record.header;
    name->header.kind = RECORD_NAME;
    name->header.length = (uint16_t)length;
    name->id = id;
    name->name_kind = NAME_STATEMENT;
    name->text_length = (uint32_t)strlen(text);
    memcpy(name + 1, text, strlen(text));
    lane_publish(&record);
    return 0;
}

/* How many descriptors this process has open. */
static inline int descriptors_open(void)
{
    int count = 0;

    for (int fd = 0; fd < 4096; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}
