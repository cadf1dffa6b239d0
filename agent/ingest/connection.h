/* One accepted connection: messages in, descriptors in, short answers out. It knows nothing of what
 * the messages mean. */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "base/view.h"
#include "proto/wire/message_codec.h"

struct connection;

enum {
    DESCRIPTORS_MAX = 2, /* that a hello carries */
    CONNECTION_SCRATCH_SIZE = 64 << 10,
};

/* Called on the loop. After connection_close() neither is called again. */
struct connection_ops {
    /* A whole message, borrowed, without its length. */
    void (*on_message)(void *userdata, struct connection *connection, struct view message);
    /* The other side hung up, or reading failed (negative errno), or what came cannot be a message
     * (enum refusal, with the reason). */
    void (*on_end)(void *userdata, struct connection *connection, int reason, const char *what);
};

/* Handles open in the loop; whoever closes waits until there are none. */
struct handle_count {
    uint32_t open;
    void (*on_none)(void *userdata);
    void *userdata;
};
static inline void handle_count_down(struct handle_count *handles)
{
    if (--handles->open == 0)
        handles->on_none(handles->userdata);
}

/* What all connections share. */
struct connection_pool {
    uv_loop_t *loop;
    const struct connection_ops *ops;
    void *userdata;
    uint64_t buffered_bytes, buffered_bytes_max; /* in messages that are not complete */
    struct handle_count *handles;
    char scratch[CONNECTION_SCRATCH_SIZE]; /* what was just received, on its way */
};

struct connection {
    uv_poll_t poll;
    struct connection_pool *pool;
    void *client;           /* the owner's */
    int fd;                 /* -1: closed */
    uint32_t length_max;    /* of the next message */
    uint64_t incomplete_ns; /* since when a message is incomplete; 0: none is */
    bool was_greeted;       /* the owner's: a hello was accepted */

    int descriptors[DESCRIPTORS_MAX]; /* received and not yet taken, -1: none */
    uint32_t descriptor_count;

    char prefix[MESSAGE_PREFIX_SIZE];
    uint32_t prefix_filled;
    char *bytes; /* of an incomplete message */
    uint32_t length, filled;

    char out[ANSWER_SIZE_MAX];
    size_t out_length;
    bool ack_due; /* newer than what stands in out */
    uint64_t ack;
    struct message_version version;
};

/* Takes @fd over on success. 0 or negative errno. */
int connection_new(struct connection_pool *pool, int fd, struct connection **ret)
    __attribute__((warn_unused_result));

/* Sends what can be sent now and keeps the rest; an answer that finds no room is lost. */
void connection_send(struct connection *connection, const void *bytes, size_t length);
/* The newest number counts; those before may never be sent. */
void connection_ack(struct connection *connection, uint64_t number);

/* Closes descriptor and socket at once; the memory goes when the loop has let go. */
void connection_close(struct connection *connection);

/* A descriptor out of connection->descriptors; the caller closes it. */
int connection_take_descriptor(struct connection *connection, uint32_t index);
