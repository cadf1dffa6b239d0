#include "agent/ingest/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

enum {
    /* Received at once at most: more than any hello may carry, so that a surplus is seen. */
    RECEIVE_DESCRIPTORS_MAX = 16,
    RECEIVES_PER_EVENT = 8, /* then the others have their turn */
};

static void connection_poll(struct connection *connection);

static void connection_on_closed(uv_handle_t *handle)
{
    struct connection *connection = handle->data;

    struct handle_count *handles = connection->pool->handles;

    free(connection);
    handle_count_down(handles);
}

static void connection_drop_bytes(struct connection *connection)
{
    if (!connection->bytes)
        return;
    connection->pool->buffered_bytes -= connection->length;
    free(connection->bytes);
    connection->bytes = NULL;
}

static void connection_drop_descriptors(struct connection *connection)
{
    for (uint32_t i = 0; i < DESCRIPTORS_MAX; i++) {
        if (connection->descriptors[i] >= 0)
            (void)close(connection->descriptors[i]); /* nothing is written through it */
        connection->descriptors[i] = -1;
    }
    connection->descriptor_count = 0;
}

void connection_close(struct connection *connection)
{
    if (connection->fd < 0)
        return;
    uv_close((uv_handle_t *)&connection->poll, connection_on_closed);
    (void)close(connection->fd); /* what was not sent is lost, as with any crash */
    connection->fd = -1;
    connection_drop_bytes(connection);
    connection_drop_descriptors(connection);
}

int connection_take_descriptor(struct connection *connection, uint32_t index)
{
    int fd = connection->descriptors[index];

    connection->descriptors[index] = -1;
    return fd;
}

static void connection_end(struct connection *connection, int reason, const char *what)
{
    connection->pool->ops->on_end(connection->pool->userdata, connection, reason, what);
}

/* Keeps the descriptors of one recvmsg(). 0 or REFUSAL_DESCRIPTORS; none is left open either way.
 */
static int connection_keep_descriptors(struct connection *connection, struct msghdr *message)
{
    bool surplus = message->msg_flags & MSG_CTRUNC;

    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control;
         control = CMSG_NXTHDR(message, control)) {
        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(control) + i * sizeof(fd), sizeof(fd));
            if (connection->descriptor_count < DESCRIPTORS_MAX && !connection->was_greeted) {
                connection->descriptors[connection->descriptor_count++] = fd;
                continue;
            }
            (void)close(fd); /* never used */
            surplus = true;
        }
    }
    return surplus ? REFUSAL_DESCRIPTORS : 0;
}

/* Starts a message whose length has come whole. 0, or enum refusal with the reason in @ret_what. */
static int connection_start_message(struct connection *connection, const char **ret_what)
{
    struct connection_pool *pool = connection->pool;
    uint32_t length;
    int r;

    memcpy(&length, connection->prefix, sizeof(length));
    r = message_length_check(length);
    *ret_what = "a message is shorter than its header";
    if (r == REFUSAL_TOO_LONG || (r == 0 && length > connection->length_max)) {
        *ret_what = "a message is longer than may be";
        return REFUSAL_TOO_LONG;
    }
    if (r != 0)
        return r;
    if (pool->buffered_bytes + length > pool->buffered_bytes_max) {
        *ret_what = "the agent holds too many incomplete messages; send again later";
        return REFUSAL_TOO_LONG;
    }
    connection->length = length;
    connection->filled = 0;
    return 0;
}

static void connection_finish_message(struct connection *connection)
{
    connection->prefix_filled = 0;
    connection->incomplete_ns = 0;
}

/* Takes some of @bytes. Returns how many, 0 when on_end was called. */
static size_t connection_feed(struct connection *connection, const char *bytes, size_t length)
{
    struct connection_pool *pool = connection->pool;
    const char *what;
    size_t take;
    int r;

    if (connection->prefix_filled < MESSAGE_PREFIX_SIZE) {
        take = MESSAGE_PREFIX_SIZE - connection->prefix_filled;
        if (take > length)
            take = length;
        memcpy(connection->prefix + connection->prefix_filled, bytes, take);
        connection->prefix_filled += (uint32_t)take;
        if (connection->prefix_filled < MESSAGE_PREFIX_SIZE)
            return take;
        r = connection_start_message(connection, &what);
        if (r != 0) {
            connection_end(connection, r, what);
            return 0;
        }
        return take;
    }
    if (!connection->bytes && length >= connection->length) {
        /* Whole in what was just received: no copy. */
        take = connection->length;
        connection_finish_message(connection);
        pool->ops->on_message(pool->userdata, connection, (struct view){bytes, take});
        return take;
    }
    if (!connection->bytes) {
        connection->bytes = malloc(connection->length);
        if (!connection->bytes) {
            connection_end(connection, -ENOMEM, "out of memory");
            return 0;
        }
        pool->buffered_bytes += connection->length;
    }
    take = connection->length - connection->filled;
    if (take > length)
        take = length;
    memcpy(connection->bytes + connection->filled, bytes, take);
    connection->filled += (uint32_t)take;
    if (connection->filled == connection->length) {
        connection_finish_message(connection);
        pool->ops->on_message(pool->userdata, connection,
                              (struct view){connection->bytes, connection->length});
        connection_drop_bytes(connection);
    }
    return take;
}

/* One recvmsg(). True: there may be more. */
static bool connection_receive(struct connection *connection)
{
    char *scratch = connection->pool->scratch;
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(RECEIVE_DESCRIPTORS_MAX * sizeof(int))];
    } control;
    struct iovec vector = {scratch, CONNECTION_SCRATCH_SIZE};
    struct msghdr message = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    ssize_t received = recvmsg(connection->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    size_t offset = 0;

    if (received < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            connection_end(connection, -errno, "receiving failed");
        return false;
    }
    if (connection_keep_descriptors(connection, &message) != 0) {
        connection_end(connection, REFUSAL_DESCRIPTORS,
                       "more descriptors than a hello carries, or not with the hello");
        return false;
    }
    if (received == 0) {
        connection_end(connection, 0, "hung up");
        return false;
    }
    while (offset < (size_t)received) {
        size_t taken = connection_feed(connection, scratch + offset, (size_t)received - offset);
        if (taken == 0 || connection->fd < 0)
            return false;
        offset += taken;
    }
    if (connection->prefix_filled > 0 && connection->incomplete_ns == 0)
        connection->incomplete_ns = clock_monotonic_ns();
    return true;
}

/* Sends what stands in out; false if some is left. */
static bool connection_flush(struct connection *connection)
{
    ssize_t sent;

    if (connection->out_length == 0)
        return true;
    sent =
        send(connection->fd, connection->out, connection->out_length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return false;
        connection->out_length = 0; /* nobody is there; reading finds out, too */
        return true;
    }
    connection->out_length -= (size_t)sent;
    memmove(connection->out, connection->out + sent, connection->out_length);
    return connection->out_length == 0;
}

static void connection_flush_all(struct connection *connection)
{
    while (connection_flush(connection) && connection->ack_due) {
        connection->ack_due = false;
        connection->out_length = ack_encode(connection->out, sizeof(connection->out),
                                            connection->version, connection->ack);
    }
    connection_poll(connection);
}

static void connection_on_poll(uv_poll_t *poll, int status, int events)
{
    struct connection *connection = poll->data;

    if (status < 0) {
        connection_end(connection, status, "polling failed");
        return;
    }
    if (events & UV_WRITABLE)
        connection_flush_all(connection);
    if (!(events & (UV_READABLE | UV_DISCONNECT)))
        return;
    for (int i = 0; i < RECEIVES_PER_EVENT; i++) {
        if (!connection_receive(connection))
            return;
    }
}

static void connection_poll(struct connection *connection)
{
    int events =
        UV_READABLE | (connection->out_length > 0 || connection->ack_due ? UV_WRITABLE : 0);

    /* Fails for a closed handle only, which is not polled any more. */
    (void)uv_poll_start(&connection->poll, events, connection_on_poll);
}

int connection_new(struct connection_pool *pool, int fd, struct connection **ret)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    int r;

    if (!connection)
        return -ENOMEM;
    connection->pool = pool;
    connection->fd = fd;
    connection->length_max = HELLO_LENGTH_MAX;
    for (uint32_t i = 0; i < DESCRIPTORS_MAX; i++)
        connection->descriptors[i] = -1;
    r = uv_poll_init(pool->loop, &connection->poll, fd);
    if (r < 0) {
        free(connection);
        return r; /* libuv's are negative errno */
    }
    connection->poll.data = connection;
    pool->handles->open++;
    connection_poll(connection);
    *ret = connection;
    return 0;
}

void connection_send(struct connection *connection, const void *bytes, size_t length)
{
    if (connection->fd < 0 || length > sizeof(connection->out) - connection->out_length)
        return;
    memcpy(connection->out + connection->out_length, bytes, length);
    connection->out_length += length;
    connection_flush_all(connection);
}

void connection_ack(struct connection *connection, uint64_t number)
{
    if (connection->fd < 0)
        return;
    connection->ack = number;
    connection->ack_due = true;
    connection_flush_all(connection);
}
