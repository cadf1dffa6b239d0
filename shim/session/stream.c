#include <stdlib.h>

#include "base/cleanup.h"
#include "shim/session/failure.h"
#include "shim/session/run.h"

struct weir_stream {
    struct busy busy;
    struct weir_connection *connection;
    struct arguments arguments;
    struct run run;
    bool is_over;
};

static void stream_free(struct weir_stream *stream)
{
    if (!stream)
        return;
    arguments_deinit(&stream->arguments);
    free(stream);
}

static void stream_detach(struct busy *busy)
{
    run_detach(&((struct weir_stream *)busy)->run);
}

CLEANUP_DEFINE(struct weir_stream *, stream_freep, stream_free)

int weir_stream_open(struct weir_connection *connection, const char *sql,
                     const struct weir_statement_opts *opts, struct weir_stream **ret_stream,
                     struct weir_error **ret_error)
{
    static const char doing[] = "weir_stream_open";
    struct run_opts run_opts = {
        .kind = RUN_STREAM,
        .doing = doing,
        .caller = __builtin_return_address(0),
        .is_logged = true,
    };
    struct slot *slot = slot_held(connection, doing, ret_error);
    CLEANUP(stream_freep) struct weir_stream *stream = NULL;
    int r;

    if (!slot)
        return WEIR_ERROR_USAGE;
    if (!ret_stream)
        return failure(ret_error, WEIR_ERROR_USAGE, "%s: ret_stream is NULL", doing);
    stream = calloc(1, sizeof(*stream));
    if (!stream)
        return failure_memory(ret_error);
    r = arguments_check(&stream->arguments, sql, opts, doing, ret_error);
    if (!r)
        r = arguments_keep(&stream->arguments, ret_error);
    if (!r)
        r = run_start(&stream->run, slot, &stream->arguments, &run_opts, ret_error);
    if (r)
        return r;
    stream->connection = connection;
    stream->busy = (struct busy){slot, &stream->run.account, stream_detach};
    slot->busy_with = &stream->busy;
    *ret_stream = STEAL(stream);
    return 0;
}

/* The answer is over, well or not: the connection is free for other things. */
static int stream_over(struct weir_stream *stream, struct weir_error **ret_error)
{
    stream->is_over = true;
    stream->busy.slot->busy_with = NULL;
    return run_end(&stream->run, NULL, ret_error);
}

int weir_stream_next(struct weir_stream *stream, PGresult **ret_row, struct weir_error **ret_error)
{
    if (ret_row)
        *ret_row = NULL;
    if (!stream || !ret_row)
        return failure(ret_error, WEIR_ERROR_USAGE,
                       "weir_stream_next: the stream or ret_row is NULL");
    if (!stream->busy.slot || !slot_held(stream->connection, "weir_stream_next", ret_error))
        return failure(ret_error, WEIR_ERROR_USAGE,
                       "weir_stream_next: its connection was released before");
    if (stream->is_over)
        return 0;
    if (run_await(&stream->run) != RUN_ROW)
        return stream_over(stream, ret_error);
    *ret_row = STEAL(stream->run.row);
    return 0;
}

void weir_stream_close(struct weir_stream *stream)
{
    if (!stream)
        return;
    if (!stream->is_over && stream->busy.slot) {
        stream->busy.slot->busy_with = NULL;
        run_abandon(&stream->run);
    }
    stream_free(stream);
}
