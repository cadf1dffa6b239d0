/* The agent's end of the socket, as far as the probe's tests need it: takes hellos, maps the
 * segment and reads it through the same readers as the real one. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include "proto/wire/board_reader.h"
#include "proto/wire/hello.h"
#include "proto/wire/lane_reader.h"
#include "proto/wire/segment.h"

enum {
    FAKE_RECORDS_MAX = 4096,
    FAKE_TEXT_MAX = 64 << 10,
};

/* A record as it was read, with its context if it had one. */
struct seen_record {
    union {
        struct record_header header;
        struct event_head event;
        struct record_statement statement;
        struct record_connect connect;
        struct record_close close;
        struct record_acquire acquire;
        struct record_release release;
        struct record_transaction transaction;
        struct record_prepare prepare;
        struct record_cancel cancel;
    };
    struct event_context context;
};

struct seen_name {
    uint64_t id;
    enum name_kind kind;
    uint16_t flags;
    uint32_t length;
    const char *text;
};

struct fake_agent {
    char folder[64];
    char path[96];
    int listener; /* -1: not listening */
    int connection;
    int pidfd; /* of the last hello; -1: none */
    char hello_bytes[HELLO_LENGTH_MAX];
    struct hello hello;
    struct segment_layout layout;
    unsigned char *base; /* the mapped segment, NULL: none */
    size_t size;
    struct board_view board;
    struct lane_reader lanes[SEGMENT_LANES];
    struct lane_reader names_ring;
    struct seen_record records[FAKE_RECORDS_MAX];
    size_t record_count;
    struct seen_name names[FAKE_RECORDS_MAX];
    size_t name_count;
    char *name_texts[FAKE_RECORDS_MAX];
};

/* Makes a socket in a folder of its own and points WEIR_SOCKET to it. */
void fake_agent_start(struct fake_agent *agent);
/* Listens (again) at the same path. */
void fake_agent_listen(struct fake_agent *agent);
/* Stops listening and hangs up, as an agent that was killed. */
void fake_agent_vanish(struct fake_agent *agent);
void fake_agent_stop(struct fake_agent *agent);

/* Waits for a connection and its hello; decodes it; maps the segment unless it is mapped already.
 */
void fake_agent_accept(struct fake_agent *agent);
/* True if somebody connects within @wait_ms. */
bool fake_agent_is_called(struct fake_agent *agent, int wait_ms);
void fake_agent_welcome(struct fake_agent *agent);
void fake_agent_refuse(struct fake_agent *agent);
/* Forgets the segment: the next accept maps a new one. */
void fake_agent_unmap(struct fake_agent *agent);

/* Reads everything that the lanes and the names ring hold into records and names, which start
 * empty, and frees it. Within one lane records come in order. */
void fake_agent_drain(struct fake_agent *agent);

/* The @nth record of @kind in the last drain; fails the test if there is none. */
const struct seen_record *fake_agent_record(const struct fake_agent *agent, enum record_kind kind,
                                            unsigned nth);
unsigned fake_agent_count(const struct fake_agent *agent, enum record_kind kind);
/* Any drain's name; NULL: never seen. */
const struct seen_name *fake_agent_name(const struct fake_agent *agent, enum name_kind kind,
                                        uint64_t id);
unsigned fake_agent_name_count(const struct fake_agent *agent, enum name_kind kind, uint64_t id);

static inline struct segment_header *fake_agent_header(const struct fake_agent *agent)
{
    return (struct segment_header *)(void *)agent->base;
}
