/* One database connection: its place on the board, its hold, its open statements. Written by one
 * thread at a time, as the public header asks. */
#pragma once

#include <stdbool.h>
#include <string.h>

#include "shim/probe/call_site.h"
#include "shim/probe/pool.h"
#include "shim/probe/thread.h"

enum {
    OPEN_STATEMENTS = 16, /* of a pipeline whose texts the board can name; a power of two */
};

/* Whose request it is: copied onto events and the board. Without has_context the words behind it
 * mean nothing: most programs have none, and a statement is short. */
struct origin {
    uint64_t call_site; /* name ids, 0 = none */
    bool has_context;
    uint8_t trace_flags;
    uint8_t trace_id[16];
    uint8_t parent_span_id[8];
    uint64_t tenant;
    uint64_t tracestate;
};

enum hold_kind {
    HOLD_NONE = 0,
    HOLD_ACQUIRED, /* from acquire to release */
    HOLD_IMPLICIT, /* while a statement or a transaction is open */
};

struct hold {
    uint64_t id; /* unique in the process */
    uint64_t begin_ns;
    uint64_t phase_since_ns;
    uint64_t executing_ns, idle_in_transaction_ns, idle_ns;
    uint64_t wait_ns;    /* of its acquire; UNKNOWN_NS if that was not seen */
    uint32_t statements; /* begun, = newest sequence */
    uint32_t flags;      /* enum event_flag: what its release is to say */
    enum hold_kind kind;
    struct origin origin;
    uint32_t epoch; /* in which its origin's names were announced for its statements */
};

struct transaction {
    uint64_t begin_ns; /* 0: none */
    uint64_t executing_ns;
    uint32_t statements;
};

struct open_statement {
    uint32_t sequence; /* 0: ended */
    uint64_t fingerprint;
    uint64_t begin_ns;
};

/* The raw texts that this connection sent lately: comparing one costs a third of hashing it. */
enum {
    RECENT_TEXTS = 8, /* a power of two */
    RECENT_TEXT_MAX = 232,
};

struct recent_text {
    uint64_t fingerprint;
    uint32_t epoch; /* in which the text was announced; 0: the entry is free */
    uint32_t flags; /* enum event_flag */
    uint32_t options;
    uint32_t length;
    char text[RECENT_TEXT_MAX];
};

struct weir_probe_connection {
    struct pool_target *target;
    uint64_t id; /* unique in the process */
    uint64_t hold_id_next, hold_id_end;
    uint32_t generation; /* of the segment that the words below belong to */
    uint32_t backend_pid;
    uint64_t attempt_ns; /* when the attempt under way began */
    uint64_t opened_ns;  /* 0: it never was */
    uint16_t slot;       /* on the board, or BOARD_NO_PLACE */
    enum gauge gauge;    /* in which it is counted */
    bool is_reset, is_listening;
    bool slot_has_context; /* the board shows a trace or tenant */

    uint32_t statements_open;
    uint32_t oldest_open; /* sequence in the present hold; 0: none */
    struct open_statement open[OPEN_STATEMENTS];
    uint64_t last_fingerprint;
    struct hold hold;
    struct transaction transaction;
    struct recent_text recent[RECENT_TEXTS];
};

struct weir_probe_connection *connection_connect_begin(struct weir_probe_pool *pool,
                                                       const struct weir_probe_target *target);
void connection_connect_end(struct weir_probe_connection *connection,
                            const struct weir_probe_connect_result *result);
void connection_reset(struct weir_probe_connection *connection);
void connection_close(struct weir_probe_connection *connection, enum weir_failure failure,
                      const char *sqlstate);
void connection_cancel(struct weir_probe_connection *connection);
void connection_listening(struct weir_probe_connection *connection, int is_listening);

/* Puts a connection that fork brought along, or that was made without a segment, at rest on the
 * present board. */
void connection_adopt(const struct segment *segment, struct weir_probe_connection *connection);

/* The segment to record the connection's events into, NULL if there is none. */
static inline const struct segment *connection_enter(struct weir_probe_connection *connection)
{
    const struct segment *segment = segment_enter();

    if (__builtin_expect(segment && connection->generation != segment->generation, 0))
        connection_adopt(segment, connection);
    return segment;
}

/* Shows the state that follows from hold, transaction and open statements, since @now_ns, and moves
 * the connection between the gauges. */
void connection_show(const struct segment *segment, struct weir_probe_connection *connection,
                     uint64_t now_ns);

/* The first words of an event of this connection. @length: of the whole record. */
static inline void connection_event_head(const struct segment *segment,
                                         struct weir_probe_connection *connection,
                                         enum record_kind kind, uint32_t length, uint64_t now_ns,
                                         struct event_head *ret)
{
    ret->header.kind = (uint16_t)kind;
    ret->header.length = (uint16_t)length;
    ret->header.time_ns = now_ns;
    ret->target = pool_target_name(segment, connection->target);
    ret->hold_id = connection->hold.id;
}

static inline uint16_t connection_slot(const struct weir_probe_connection *connection)
{
    return connection->slot; /* BOARD_NO_PLACE is RECORD_NO_SLOT */
}

static_assert(BOARD_NO_PLACE == RECORD_NO_SLOT, "one value for none");
static_assert((OPEN_STATEMENTS & (OPEN_STATEMENTS - 1)) == 0, "a mask");

/* Copies five characters, or zeros. */
static inline void sqlstate_copy(const char *sqlstate, char ret[5])
{
    memset(ret, 0, 5);
    if (sqlstate && strnlen(sqlstate, 5) == 5)
        memcpy(ret, sqlstate, 5);
}

/* What the thread says of its request, names announced. */
static inline void origin_of_thread(const struct segment *segment, struct origin *ret)
{
    struct thread *self = thread_enter();

    ret->call_site = self->call_site;
    ret->has_context = self->has_context;
    if (__builtin_expect(!self->call_site && !self->has_context, 1))
        return;
    thread_names_renew(segment, self);
    memcpy(ret->trace_id, self->trace_id, sizeof(ret->trace_id));
    memcpy(ret->parent_span_id, self->parent_span_id, sizeof(ret->parent_span_id));
    ret->tenant = self->tenant;
    ret->tracestate = self->tracestate;
    ret->trace_flags = self->trace_flags;
}

/* The words without which nothing else of it is read, and those only if they are. */
static inline void origin_copy(const struct origin *origin, struct origin *ret)
{
    if (__builtin_expect(origin->has_context, 0)) {
        *ret = *origin;
        return;
    }
    ret->call_site = origin->call_site;
    ret->has_context = false;
}

/* Without a call site of its own: that of @caller, or of what weir_probe_caller_set named. */
static inline void origin_add_caller(const struct segment *segment, const void *caller,
                                     struct origin *origin)
{
    const void *named = thread_self.caller;

    if (!origin->call_site)
        origin->call_site = call_site_of(segment, named ? named : caller);
}

/* Writes the context behind an event's core, also of an origin without any. */
void origin_write(const struct origin *origin, uint64_t object, uint32_t backend_pid,
                  struct event_context *ret);
