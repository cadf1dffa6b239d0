/**
 * weir/probe.h: tells the Weir agent about connection pools, acquires, releases and statements of
 * any pool, written in any style.
 *
 * Conduct: every call returns at once. None of them locks, allocates, logs, writes to a descriptor
 * or waits on the way of a statement (first sight of a text and first use of a thread excepted),
 * none fails, and none changes what the service does: without an agent the calls record into memory
 * that an agent may read later. NULL handles are accepted everywhere and do nothing, so that
 * nothing needs to be checked.
 *
 * Threads: every call may come from any thread. Calls on one connection, one acquire or one
 * statement come from one thread at a time, as libpq itself asks. After fork() the child's handles
 * go on working and record into a segment of the child's own.
 *
 * Text arguments are borrowed for the call. A `_length` of SIZE_MAX means "up to the NUL".
 *
 * Order. What a call tells is written at once, so the order of the calls is the order of the facts:
 *
 *   connect_begin, connect_end, { acquire_end | acquire_immediate, { statement_begin, [first_byte],
 *     [transaction_begin | transaction_end], statement_end }, release }, connection_close
 *
 * - A transaction's begin or end is reported while the statement that caused it is still open, that
 *   is before its weir_probe_statement_end: BEGIN belongs to the transaction that it opens, COMMIT
 * to the one that it closes, and only so is it known at a statement's end whether the connection
 * goes back to rest. A change that no statement caused (a lost connection) is reported when it is
 * seen.
 * - Several statements may be open at once (pipeline mode); each has its own weir_probe_statement.
 * - Statements that are open when the connection is closed or reset are ended first, with
 *   WEIR_FAILURE_ABANDONED or what else is true.
 * - A hold is the time from an acquire to its release. Where acquires are not reported, a hold
 * begins with the first statement or transaction on a connection at rest, and ends when no
 * statement is open and no transaction; nothing needs to be called for it.
 */
#ifndef WEIR_PROBE_H
#define WEIR_PROBE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_API __attribute__((visibility("default")))

/** Durations and counts that are not known. */
#define WEIR_UNKNOWN UINT64_MAX

struct weir_probe_pool;       /* a pool, or a stand-in for connections without one */
struct weir_probe_connection; /* one database connection, from the attempt to its end */

/** Why a thing failed when no SQLSTATE says so. */
enum weir_failure {
    WEIR_FAILURE_NONE = 0,
    WEIR_FAILURE_SQLSTATE = 1, /**< the server said so; give the SQLSTATE */
    WEIR_FAILURE_CONNECTION_LOST = 2,
    WEIR_FAILURE_TIMEOUT = 3,
    WEIR_FAILURE_CANCELLED = 4,
    WEIR_FAILURE_CLIENT = 5,    /**< refused by the client library before anything was sent */
    WEIR_FAILURE_ABANDONED = 7, /**< the connection was closed or reset while it ran */
    WEIR_FAILURE_DRAINING = 8,
    WEIR_FAILURE_CONNECT_FAILED = 9,
    WEIR_FAILURE_REFUSED = 10
};

/** What a pool is. Set size = sizeof; later versions append fields. NULL texts are unknown. */
struct weir_probe_pool_opts {
    size_t size;
    const char *name; /**< short and stable; NULL: "address:port/namespace" */
    uint32_t connections_max, connections_min, idle_max, idle_min; /**< 0: no such limit */
    uint32_t flags;                                                /**< enum weir_probe_pool_flag */
};

enum weir_probe_pool_flag {
    WEIR_PROBE_POOL_OBSERVES_ACQUIRE = 1u << 0 /**< acquires are reported: waiting can be known */
};

/** Where a connection goes. */
struct weir_probe_target {
    size_t size;
    const char *address; /**< host name, IP address or socket path, as configured */
    uint16_t port;       /**< 0: 5432 */
    const char *database;
    const char *schema; /**< only if the connection's own options name it */
};

/** Registers a pool. The handle lives until weir_probe_pool_close; NULL only if memory ran out. */
WEIR_API struct weir_probe_pool *weir_probe_pool_open(const struct weir_probe_pool_opts *opts);
/** Changes limits while running. */
WEIR_API void weir_probe_pool_limits(struct weir_probe_pool *pool,
                                     const struct weir_probe_pool_opts *opts);
/** Ends the pool; its connections must have been closed before. */
WEIR_API void weir_probe_pool_close(struct weir_probe_pool *pool);

/** A connection attempt begins. NULL only if memory ran out. */
WEIR_API struct weir_probe_connection *
weir_probe_connect_begin(struct weir_probe_pool *pool, const struct weir_probe_target *target);

struct weir_probe_connect_result {
    size_t size;
    enum weir_failure failure;
    const char *sqlstate;     /**< five characters, or NULL */
    uint32_t backend_pid;     /**< PQbackendPID(), 0 unknown */
    uint32_t library_version; /**< PQlibVersion(), 0 unknown */
};

/** The attempt ended. After a failure the handle is still to be closed. */
WEIR_API void weir_probe_connect_end(struct weir_probe_connection *connection,
                                     const struct weir_probe_connect_result *result);
/** The same connection is opened anew (PQreset); followed by weir_probe_connect_end. */
WEIR_API void weir_probe_connection_reset(struct weir_probe_connection *connection);
/** The connection is closed; @failure says why if not on purpose. The handle is gone. */
WEIR_API void weir_probe_connection_close(struct weir_probe_connection *connection,
                                          enum weir_failure failure, const char *sqlstate);

/** Room for an acquire or a statement that is under way: the caller's memory, opaque. */
struct weir_probe_acquire {
    uint64_t opaque[12];
};
struct weir_probe_statement {
    uint64_t opaque[16];
};

/** Somebody wants a connection: the wait clock starts. @call_site may be NULL: the caller's own
 *  build-id and offset, equal across restarts. */
WEIR_API void weir_probe_acquire_begin(struct weir_probe_pool *pool,
                                       struct weir_probe_acquire *acquire, const char *call_site);
/** He has it (@connection, WEIR_FAILURE_NONE), or not (NULL and the reason). */
WEIR_API void weir_probe_acquire_end(struct weir_probe_acquire *acquire,
                                     struct weir_probe_connection *connection,
                                     enum weir_failure failure, const char *sqlstate);
/** The connection went back to the pool. */
WEIR_API void weir_probe_release(struct weir_probe_connection *connection);

/** Both halves of an acquire at once, where @connection was at hand and nobody waited: cheaper, and
 *  recorded as a wait of 0. @pool is the connection's. */
WEIR_API void weir_probe_acquire_immediate(struct weir_probe_pool *pool,
                                           struct weir_probe_connection *connection,
                                           const char *call_site);

enum weir_probe_release_flag {
    /** The pool rolled an open transaction back; unless its end was reported, this reports it. */
    WEIR_PROBE_RELEASE_ROLLED_BACK = 1u << 0
};
/** weir_probe_release(), and what is to be said of it: enum weir_probe_release_flag. */
WEIR_API void weir_probe_release_noting(struct weir_probe_connection *connection, uint32_t flags);

enum weir_statement_flag {
    WEIR_STATEMENT_PIPELINED = 1u << 0,
    WEIR_STATEMENT_SINGLE_ROW = 1u << 1,
    WEIR_STATEMENT_COPY_IN = 1u << 2,
    WEIR_STATEMENT_COPY_OUT = 1u << 3,
    WEIR_STATEMENT_PREPARED = 1u << 4,
    WEIR_STATEMENT_LATE_FETCH = 1u << 5,       /**< at end: results were fetched late */
    WEIR_STATEMENT_BACKSLASH_STRINGS = 1u << 6 /**< standard_conforming_strings is off */
};

/** One statement was sent. Its text is normalized here; no literal goes further. */
WEIR_API void weir_probe_statement_begin(struct weir_probe_connection *connection,
                                         struct weir_probe_statement *statement, const char *text,
                                         size_t text_length, uint32_t flags);
/** The first byte of its answer was seen. */
WEIR_API void weir_probe_statement_first_byte(struct weir_probe_statement *statement);

struct weir_probe_statement_result {
    size_t size;
    enum weir_failure failure;
    const char *sqlstate;
    uint64_t rows;  /**< returned or affected, or WEIR_UNKNOWN */
    uint32_t flags; /**< enum weir_statement_flag, added to those of the beginning */
    const char *constraint_name, *table_name, *column_name; /**< as an error named them, or NULL */
};

/** It ended. NULL @result: success, rows unknown. */
WEIR_API void weir_probe_statement_end(struct weir_probe_statement *statement,
                                       const struct weir_probe_statement_result *result);

/** A text that is prepared once and executed often. Bounded by the caller. */
struct weir_probe_text;
WEIR_API struct weir_probe_text *weir_probe_text_new(const char *text, size_t text_length,
                                                     uint32_t flags);
WEIR_API void weir_probe_text_free(struct weir_probe_text *text);
/** As weir_probe_statement_begin, with a text known before; NULL text: unknown. */
WEIR_API void weir_probe_statement_begin_prepared(struct weir_probe_connection *connection,
                                                  struct weir_probe_statement *statement,
                                                  const struct weir_probe_text *text,
                                                  uint32_t flags);

/** A transaction began or ended on the connection, as PQtransactionStatus tells. */
WEIR_API void weir_probe_transaction_begin(struct weir_probe_connection *connection);
enum weir_transaction_outcome {
    WEIR_TRANSACTION_COMMITTED = 1,
    WEIR_TRANSACTION_ROLLED_BACK = 2,
    WEIR_TRANSACTION_UNKNOWN = 3
};
WEIR_API void weir_probe_transaction_end(struct weir_probe_connection *connection,
                                         enum weir_transaction_outcome outcome);

/** A statement was prepared or deallocated: an event, not a call. */
enum weir_prepare_action {
    WEIR_PREPARE_PARSE = 1,
    WEIR_PREPARE_SQL = 2,
    WEIR_PREPARE_DEALLOCATE = 3
};
WEIR_API void weir_probe_prepare(struct weir_probe_connection *connection,
                                 const struct weir_probe_text *text,
                                 enum weir_prepare_action action, uint64_t duration_ns,
                                 const char *sqlstate);
/** A cancel request was sent. Async-signal-safe. */
WEIR_API void weir_probe_cancel(struct weir_probe_connection *connection);
/** The connection waits for notifications: idle, not busy. */
WEIR_API void weir_probe_listening(struct weir_probe_connection *connection, int is_listening);

/** The calling thread's tenant and trace context from now on; NULL clears. @traceparent as W3C
 * says; an invalid one is ignored. */
WEIR_API void weir_probe_tenant_set(const char *tenant);
WEIR_API void weir_probe_trace_set(const char *traceparent, const char *tracestate);
/** The calling thread's call site from now on; NULL: derived from the caller. */
WEIR_API void weir_probe_call_site_set(const char *call_site);
/** The calling thread speaks for the code at @return_address from now on: its call sites are
 * derived from there and not from the caller of these functions. For wrappers of a database
 * library, which set it to their own __builtin_return_address(0) before each statement. NULL: the
 * caller again. */
WEIR_API void weir_probe_caller_set(const void *return_address);

/** While set, the connections that the calling thread opens through a database library are reported
 * by the program itself, so that libweir_preload.so does not follow them: neither then nor later.
 * Everything is counted once. */
WEIR_API void weir_probe_connects_covered(int is_covered);

/** What this process says of itself; all optional, before the first pool or connection. */
struct weir_probe_identity {
    size_t size;
    const char *shim_name;    /**< "preload", "libweir", … */
    const char *service_name; /**< beaten by OTEL_SERVICE_NAME */
    const char *library;      /**< "libpq 15.20" */
};
WEIR_API void weir_probe_identify(const struct weir_probe_identity *identity);

/** Whether this process's calls of the database library can be seen, and why not. */
enum weir_observed {
    WEIR_OBSERVED_NOT_YET = 0,
    WEIR_OBSERVED_YES = 1,
    WEIR_OBSERVED_STATIC_LIBPQ = 2,
    WEIR_OBSERVED_BYPASSED_LIBPQ = 3,
    WEIR_OBSERVED_DISABLED = 4
};
WEIR_API void weir_probe_observed(enum weir_observed observed, uint32_t library_version);

#ifdef __cplusplus
}
#endif

#endif
