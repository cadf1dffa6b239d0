/* One database connection: its place on the board, its hold, its open statements. Written by one
 * thread at a time, as the public header asks. */
#pragma once

#include <stdbool.h>

#include "shim/probe/pool.h"

enum {
    OPEN_STATEMENTS = 16, /* of a pipeline whose texts the board can name; a power of two */
};

/* Whose request it is: copied onto events and the board. */
struct origin {
    uint8_t trace_id[16];
    uint8_t parent_span_id[8];
    uint64_t tenant; /* name ids, 0 = none */
    uint64_t tracestate;
    uint64_t call_site;
    uint8_t trace_flags;
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
    enum hold_kind kind;
    struct origin origin;
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

    uint32_t statements_open;
    uint32_t oldest_open; /* sequence in the present hold; 0: none */
    struct open_statement open[OPEN_STATEMENTS];
    uint64_t last_fingerprint;
    struct hold hold;
    struct transaction transaction;
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

/* The segment to record the connection's events into, NULL if there is none; a connection that fork
 * brought along is first put at rest on the child's own board. */
const struct segment *connection_enter(struct weir_probe_connection *connection);

/* Shows the state that follows from hold, transaction and open statements, since @now_ns. */
void connection_show(const struct segment *segment, struct weir_probe_connection *connection,
                     uint64_t now_ns);

/* The first words of an event of this connection. @length: of the whole record. */
void connection_event_head(const struct segment *segment, struct weir_probe_connection *connection,
                           enum record_kind kind, uint32_t length, uint64_t now_ns,
                           struct event_head *ret);

static inline uint16_t connection_slot(const struct weir_probe_connection *connection)
{
    return connection->slot; /* BOARD_NO_PLACE is RECORD_NO_SLOT */
}

static_assert(BOARD_NO_PLACE == RECORD_NO_SLOT, "one value for none");
static_assert((OPEN_STATEMENTS & (OPEN_STATEMENTS - 1)) == 0, "a mask");

/* Copies five characters, or zeros. */
void sqlstate_copy(const char *sqlstate, char ret[5]);

/* What the thread says of its request, names announced. */
void origin_of_thread(const struct segment *segment, struct origin *ret);

/* Without a call site of its own: that of @caller, or of what weir_probe_caller_set named. */
void origin_add_caller(const struct segment *segment, const void *caller, struct origin *origin);

static inline bool origin_has_context(const struct origin *origin)
{
    const uint64_t *trace = (const uint64_t *)(const void *)origin->trace_id;
    return trace[0] || trace[1] || origin->tenant || origin->tracestate;
}

/* Writes the context behind an event's core. */
void origin_write(const struct origin *origin, uint64_t object, uint32_t backend_pid,
                  struct event_context *ret);
