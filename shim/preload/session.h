/* One connection of the program, followed: what was sent on it and is not answered yet, what is
 * executing, which names it prepared. Used by one thread at a time, as libpq asks of a PGconn.
 *
 * Results belong to requests in the order in which these were sent. A statement begins for the
 * probe when it is sent and everything before it is answered, whichever is later; so one at a time
 * is open, its duration is its own, and what a failure before it keeps from being executed never
 * begins. Memory is allocated where a text outlives the call that sent it: in pipelines, and for
 * strings of several statements that are sent asynchronously. */
#pragma once

#include "shim/preload/outcome.h"
#include "shim/preload/prepared.h"
#include "shim/preload/requests.h"

struct libpq;

enum execution_state {
    EXECUTION_NONE,
    EXECUTION_STATEMENT, /* a call */
    EXECUTION_PREPARE,   /* SQL PREPARE or DEALLOCATE: an event */
    EXECUTION_PARSE,     /* … in the extended protocol */
    EXECUTION_CLOSE,
    EXECUTION_SILENT,
};

/* What the server is at, of the oldest request. */
struct execution {
    enum execution_state state;
    enum statement_verb verb;
    struct statement_part part; /* of a script */
    struct weir_probe_statement statement;
    uint64_t begin_ns; /* of an event */
    uint64_t rows;     /* delivered in parts so far */
    uint32_t flags;    /* enum weir_statement_flag, for its end */
};

struct session {
    const struct libpq *libpq;
    struct weir_probe_connection *connection;
    struct requests requests;
    struct prepared prepared;
    struct execution execution;
    uint32_t parses_pending; /* among the requests */
    uint32_t listens;        /* LISTENs less UNLISTENs */
    int64_t touched_ms;      /* when the program last looked at the connection, coarsely */
    bool is_connecting;
    bool is_in_transaction;
    bool is_aborted; /* in a pipeline: nothing is executed until its part's end */
    bool is_lost;    /* too much was sent at once: wait until all is answered */
};

struct sent {
    enum request_kind kind;
    struct view sql;  /* SCRIPT, TEXT, PARSE; borrowed */
    struct view name; /* PREPARED, PARSE, CLOSE; borrowed */
    uint32_t flags;   /* enum weir_statement_flag */
    const void *caller;
};

/* A connection attempt begins. NULL: memory ran out. Takes @connection over. */
struct session *session_new(const struct libpq *libpq, struct weir_probe_connection *connection);
/* The program closed it; @failure if not on purpose. */
void session_free(struct session *session, enum weir_failure failure);
/* The same connection is opened anew. */
void session_reset(struct session *session);

/* Something is about to be sent. */
void session_send(struct session *session, const struct sent *sent);
/* It was not: libpq refused it. */
void session_refused(struct session *session, enum weir_failure failure);
/* The texts that were lent go back to the program now. */
void session_keep_texts(struct session *session);
/* A result is returned to the program. */
void session_observe(struct session *session, const struct outcome *outcome);
/* Rows are asked for in parts, of what was sent last. */
void session_row_mode(struct session *session);
/* What executes was finished long before the program asked for it. */
void session_late(struct session *session);
/* The prepared statement @name was closed, or not; nothing of it was sent through session_send().
 */
void session_closed(struct session *session, struct view name, const struct outcome *outcome,
                    uint64_t duration_ns);

static inline bool session_is_busy(const struct session *session)
{
    return session->requests.count != 0;
}

/* The last result began a COPY: libpq has more to say only when that is over. */
static inline bool session_copies(const struct session *session)
{
    return session->execution.flags & (WEIR_STATEMENT_COPY_IN | WEIR_STATEMENT_COPY_OUT);
}
