#include <limits.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "shim/session/failure.h"
#include "shim/session/run.h"

/* Bytes that are written before it is looked whether the socket takes them, and the largest
 * message: libpq keeps whatever it is given. */
enum { COPY_STRETCH = 64 << 10 };

struct weir_copy {
    struct busy busy;
    struct weir_connection *connection;
    struct arguments arguments;
    struct run run;
    bool is_in;
    bool is_over;
    size_t stretch;           /* bytes since it was looked */
    uint64_t rows;            /* once it is over */
    char *piece;              /* OUT: the last one read */
    struct weir_error *error; /* what ended it */
};

static void copy_free(struct weir_copy *copy)
{
    if (!copy)
        return;
    arguments_deinit(&copy->arguments);
    PQfreemem(copy->piece);
    weir_error_free(copy->error);
    free(copy);
}

static void copy_detach(struct busy *busy)
{
    run_detach(&((struct weir_copy *)busy)->run);
}

CLEANUP_DEFINE(struct weir_copy *, copy_freep, copy_free)

/* The answer is over. Remembers why, if it failed. */
static int copy_over(struct weir_copy *copy, struct weir_error **ret_error)
{
    int r;

    copy->is_over = true;
    copy->busy.slot->busy_with = NULL;
    r = run_end(&copy->run, NULL, &copy->error);
    copy->rows = copy->run.account.rows == WEIR_UNKNOWN ? 0 : copy->run.account.rows;
    if (r && ret_error && !*ret_error)
        *ret_error = failure_copy(copy->error);
    return r;
}

int weir_copy_open(struct weir_connection *connection, const char *sql,
                   const struct weir_statement_opts *opts, struct weir_copy **ret_copy,
                   struct weir_error **ret_error)
{
    static const char doing[] = "weir_copy_open";
    struct run_opts run_opts = {
        .kind = RUN_COPY,
        .doing = doing,
        .caller = __builtin_return_address(0),
        .is_logged = true,
    };
    struct slot *slot = slot_held(connection, doing, ret_error);
    CLEANUP(copy_freep) struct weir_copy *copy = NULL;
    int r;

    if (!slot)
        return WEIR_ERROR_USAGE;
    if (!ret_copy)
        return failure(ret_error, WEIR_ERROR_USAGE, "%s: ret_copy is NULL", doing);
    copy = calloc(1, sizeof(*copy));
    if (!copy)
        return failure_memory(ret_error);
    r = arguments_check(&copy->arguments, sql, opts, doing, ret_error);
    if (!r)
        r = arguments_keep(&copy->arguments, ret_error);
    if (!r)
        r = run_start(&copy->run, slot, &copy->arguments, &run_opts, ret_error);
    if (r)
        return r;
    copy->connection = connection;
    copy->busy = (struct busy){slot, &copy->run.account, copy_detach};
    slot->busy_with = &copy->busy;
    if (run_await(&copy->run) != RUN_COPIES) {
        r = copy_over(copy, ret_error);
        return r ? r
                 : failure(ret_error, WEIR_ERROR_USAGE,
                           "weir_copy_open: the statement was executed, and is no COPY FROM STDIN "
                           "or TO STDOUT");
    }
    copy->is_in = PQresultStatus(copy->run.result) == PGRES_COPY_IN;
    copy->run.exchange.is_copying = true;
    *ret_copy = STEAL(copy);
    return 0;
}

static int copy_check(const struct weir_copy *copy, const char *doing,
                      struct weir_error **ret_error)
{
    if (!copy)
        return failure(ret_error, WEIR_ERROR_USAGE, "%s: the COPY is NULL", doing);
    if (!copy->busy.slot || !slot_held(copy->connection, doing, ret_error))
        return failure(ret_error, WEIR_ERROR_USAGE, "%s: its connection was released before",
                       doing);
    return 0;
}

/* ---- to the server --------------------------------------------------------------------------- */

/* What was written goes out; meanwhile the time is looked at. */
static int copy_flush(struct weir_copy *copy, struct weir_error **ret_error)
{
    struct exchange *exchange = &copy->run.exchange;

    copy->stretch = 0;
    exchange_sent(exchange);
    exchange_turn(exchange, 0);
    while (exchange->wants_write && !exchange->grace_ns && !exchange->is_given_up)
        exchange_wait(exchange);
    if (exchange->is_timed_out || exchange->is_given_up)
        return failure(ret_error, WEIR_ERROR_TIMEOUT,
                       "weir_copy_write: cancelled at its deadline: end it");
    return 0;
}

int weir_copy_write(struct weir_copy *copy, const void *bytes, size_t length,
                    struct weir_error **ret_error)
{
    const char *at = bytes;
    int r = copy_check(copy, "weir_copy_write", ret_error);
    size_t size;

    if (!r && (!copy->is_in || copy->is_over))
        r = failure(ret_error, WEIR_ERROR_USAGE, "weir_copy_write: this COPY takes no data");
    while (!r && length) {
        size = length < COPY_STRETCH ? length : COPY_STRETCH;
        if (PQputCopyData(copy->busy.slot->conn, at, (int)size) <= 0)
            return failure_of_libpq(ret_error, copy->busy.slot->conn, "weir_copy_write");
        at += size;
        length -= size;
        copy->stretch += size;
        if (copy->stretch >= COPY_STRETCH)
            r = copy_flush(copy, ret_error);
    }
    return r;
}

/* Ends the data: well, or with the reason why not. */
static void copy_end_data(struct weir_copy *copy, const char *reason)
{
    struct exchange *exchange = &copy->run.exchange;

    exchange->is_copying = false;
    /* It fails on a lost connection alone: then the answer says so. */
    (void)PQputCopyEnd(copy->busy.slot->conn, reason);
    exchange_sent(exchange);
}

/* ---- from the server ------------------------------------------------------------------------- */

int weir_copy_read(struct weir_copy *copy, const char **ret_bytes, size_t *ret_length,
                   struct weir_error **ret_error)
{
    int r = copy_check(copy, "weir_copy_read", ret_error), length = 0;

    if (r)
        return r;
    if (!ret_bytes || !ret_length || copy->is_in)
        return failure(ret_error, WEIR_ERROR_USAGE,
                       "weir_copy_read: this COPY gives no data, or there is no place for it");
    *ret_bytes = NULL;
    *ret_length = 0;
    PQfreemem(copy->piece);
    copy->piece = NULL;
    if (copy->is_over)
        return 0;
    while (!copy->run.exchange.is_given_up) {
        length = PQgetCopyData(copy->busy.slot->conn, &copy->piece, 1);
        if (length)
            break;
        exchange_wait(&copy->run.exchange);
    }
    if (length > 0) {
        *ret_bytes = copy->piece;
        *ret_length = (size_t)length;
        return 0;
    }
    copy->run.exchange.is_copying = false;
    (void)run_await(&copy->run); /* nothing but the end comes after the data */
    return copy_over(copy, ret_error);
}

/* ---- the end --------------------------------------------------------------------------------- */

static int copy_finish_out(struct weir_copy *copy, struct weir_error **ret_error)
{
    if (!copy->is_over) {
        copy->busy.slot->busy_with = NULL;
        run_abandon(&copy->run);
        return failure(ret_error, WEIR_ERROR_CANCELLED,
                       "weir_copy_finish: it was not read to its end: the rest was cancelled");
    }
    if (!copy->error)
        return 0;
    if (ret_error && !*ret_error)
        *ret_error = failure_copy(copy->error);
    return (int)weir_error_category(copy->error);
}

int weir_copy_finish(struct weir_copy *given, uint64_t *ret_rows, struct weir_error **ret_error)
{
    CLEANUP(copy_freep) struct weir_copy *copy = given;
    int r = copy_check(copy, "weir_copy_finish", ret_error);

    if (r)
        return r;
    if (copy->is_in) {
        copy_end_data(copy, NULL);
        (void)run_await(&copy->run); /* nothing but the end comes after the data */
        r = copy_over(copy, ret_error);
    } else {
        r = copy_finish_out(copy, ret_error);
    }
    if (!r && ret_rows)
        *ret_rows = copy->rows;
    return r;
}

void weir_copy_abort(struct weir_copy *given, const char *reason)
{
    CLEANUP(copy_freep) struct weir_copy *copy = given;

    if (!copy || !copy->busy.slot || copy->is_over)
        return;
    if (copy->is_in) {
        copy_end_data(copy, reason ? reason : "given up");
        (void)run_await(&copy->run); /* nothing but the end comes after the data */
        (void)copy_over(copy, NULL); /* it fails, as it is meant to */
        return;
    }
    copy->busy.slot->busy_with = NULL;
    run_abandon(&copy->run);
}
