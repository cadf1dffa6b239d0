/**
 * weir/statement.h: statements on a connection that is held. Every call is timed, with what it
 * waited, the server's and network's part up to the first byte, and the streaming of rows.
 *
 * Threads: a connection is used by one thread at a time. Blocking: calls wait up to the statement's
 * deadline; at the deadline the statement is cancelled on the server, and the call returns at most
 * 50 ms after it if the network is gone too (the connection is then closed on release). Results are
 * libpq's own: the caller ends each with PQclear().
 *
 * One thing at a time on a connection: while a stream, a pipeline or a COPY is open, other calls
 * are refused as WEIR_ERROR_USAGE.
 */
#ifndef WEIR_STATEMENT_H
#define WEIR_STATEMENT_H

#include "weir/pool.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Where the time of a statement went. */
struct weir_timing {
    size_t size;
    uint64_t wait_ns;       /**< its connection's acquire, on the hold's first statement; else 0 */
    uint64_t first_byte_ns; /**< from sending to the first byte of the answer */
    uint64_t total_ns;      /**< from sending to the end of the answer */
    uint64_t rows;          /**< returned or affected */
};

/** Parameters as PQexecParams() takes them; NULL arrays as there. */
struct weir_statement_opts {
    size_t size;
    int32_t timeout_ms;  /**< 0: the pool's; WEIR_NEVER: none */
    int32_t is_prepared; /**< 1: prepared once a connection, kept in its cache */
    int32_t parameters;  /**< enum weir_parameters + 1; 0: the pool's */
    int32_t count;
    const Oid *types;
    const char *const *values;
    const int *lengths, *formats;
    int32_t result_format;
    struct weir_timing *ret_timing; /**< filled on return if not NULL */
};

/** One statement, or several of a string without parameters (the last one's result is returned, as
 * PQexec() does; the first error ends it). @opts may be NULL, @ret_result too. */
WEIR_API int weir_execute(struct weir_connection *connection, const char *sql,
                          const struct weir_statement_opts *opts, PGresult **ret_result,
                          struct weir_error **ret_error);

/* ---- rows one by one ------------------------------------------------------------------------- */

struct weir_stream;
WEIR_API int weir_stream_open(struct weir_connection *connection, const char *sql,
                              const struct weir_statement_opts *opts,
                              struct weir_stream **ret_stream, struct weir_error **ret_error);
/** The next row (PGRES_SINGLE_TUPLE), or NULL at the end. The deadline covers the whole stream. */
WEIR_API int weir_stream_next(struct weir_stream *stream, PGresult **ret_row,
                              struct weir_error **ret_error);
/** Ends it; rows not read are cancelled on the server and passed over. NULL is fine. */
WEIR_API void weir_stream_close(struct weir_stream *stream);

/* ---- several in one round trip --------------------------------------------------------------- */

struct weir_pipeline;
WEIR_API int weir_pipeline_open(struct weir_connection *connection, int32_t timeout_ms,
                                struct weir_pipeline **ret_pipeline, struct weir_error **ret_error);
/** Adds a statement; sent as the buffer fills, at the latest by weir_pipeline_sync(). */
WEIR_API int weir_pipeline_add(struct weir_pipeline *pipeline, const char *sql,
                               const struct weir_statement_opts *opts,
                               struct weir_error **ret_error);
/** Ends a part: outside a transaction its statements commit together; after a failure the rest of
 * its part is not executed. */
WEIR_API int weir_pipeline_sync(struct weir_pipeline *pipeline, struct weir_error **ret_error);
/** The result of the next statement added, in order; NULL after the last one. One that failed
 * returns its error; those that it kept from being executed return WEIR_ERROR_TRANSACTION. Wants a
 * weir_pipeline_sync() before. */
WEIR_API int weir_pipeline_next(struct weir_pipeline *pipeline, PGresult **ret_result,
                                struct weir_error **ret_error);
WEIR_API void weir_pipeline_close(struct weir_pipeline *pipeline);

/* ---- COPY ------------------------------------------------------------------------------------ */

struct weir_copy;
/** COPY … FROM STDIN or COPY … TO STDOUT. */
WEIR_API int weir_copy_open(struct weir_connection *connection, const char *sql,
                            const struct weir_statement_opts *opts, struct weir_copy **ret_copy,
                            struct weir_error **ret_error);
WEIR_API int weir_copy_write(struct weir_copy *copy, const void *bytes, size_t length,
                             struct weir_error **ret_error);
/** The next piece, valid until the next call; *ret_length 0 at the end. */
WEIR_API int weir_copy_read(struct weir_copy *copy, const char **ret_bytes, size_t *ret_length,
                            struct weir_error **ret_error);
/** Ends it: what was written is kept by the server only if this says 0. @copy is gone. */
WEIR_API int weir_copy_finish(struct weir_copy *copy, uint64_t *ret_rows,
                              struct weir_error **ret_error);
/** Gives it up: the server is told @reason and keeps nothing. NULL is fine. */
WEIR_API void weir_copy_abort(struct weir_copy *copy, const char *reason);

/* ---- without blocking ------------------------------------------------------------------------ */

/** A statement under way, for event loops. No call waits but one: the first call on a connection on
 * which something was given up waits for the end of that, up to reset_timeout. */
struct weir_execution;
WEIR_API int weir_execution_start(struct weir_connection *connection, const char *sql,
                                  const struct weir_statement_opts *opts,
                                  struct weir_execution **ret_execution,
                                  struct weir_error **ret_error);
/** Poll this for weir_execution_events() (POLLIN, POLLOUT of <poll.h>), for at most
 * weir_execution_timeout_ms() (-1: no limit), then step. */
WEIR_API int weir_execution_fd(const struct weir_execution *execution);
WEIR_API int weir_execution_events(const struct weir_execution *execution);
WEIR_API int weir_execution_timeout_ms(const struct weir_execution *execution);
/** WEIR_PENDING, or as weir_execute(), and @execution is gone. */
WEIR_API int weir_execution_step(struct weir_execution *execution, PGresult **ret_result,
                                 struct weir_error **ret_error);
/** Gives it up: cancelled on the server; the connection can be released. */
WEIR_API void weir_execution_cancel(struct weir_execution *execution);

#ifdef __cplusplus
}
#endif

#endif
