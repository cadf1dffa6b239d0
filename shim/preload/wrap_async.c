/* Sending and receiving: where everything is observed, also for the synchronous functions, which
 * call these. */
#include "shim/preload/fetch.h"
#include "shim/preload/send.h"

int PQsendQuery(PGconn *conn, const char *query)
{
    struct call call;

    CALL_LOOK(call, conn);
    if (!call.libpq)
        return 0;
    SEND_TEXT(call, conn, REQUEST_SCRIPT, query);
    return send_end(&call, conn, call.libpq->PQsendQuery(conn, query));
}

int PQsendQueryParams(PGconn *conn, const char *command, int count, const Oid *types,
                      const char *const *values, const int *lengths, const int *formats,
                      int result_format)
{
    struct call call;

    CALL_LOOK(call, conn);
    if (!call.libpq)
        return 0;
    SEND_TEXT(call, conn, REQUEST_TEXT, command);
    return send_end(&call, conn,
                    call.libpq->PQsendQueryParams(conn, command, count, types, values, lengths,
                                                  formats, result_format));
}

int PQsendPrepare(PGconn *conn, const char *name, const char *query, int count, const Oid *types)
{
    struct call call;

    CALL_LOOK(call, conn);
    if (!call.libpq)
        return 0;
    SEND_PARSE(call, conn, name, query);
    return send_end(&call, conn, call.libpq->PQsendPrepare(conn, name, query, count, types));
}

int PQsendQueryPrepared(PGconn *conn, const char *name, int count, const char *const *values,
                        const int *lengths, const int *formats, int result_format)
{
    struct call call;

    CALL_LOOK(call, conn);
    if (!call.libpq)
        return 0;
    SEND_NAME(call, conn, REQUEST_PREPARED, name);
    return send_end(&call, conn,
                    call.libpq->PQsendQueryPrepared(conn, name, count, values, lengths, formats,
                                                    result_format));
}

/* Requests that are answered but are no statements. */
#define WRAP_SILENT(function)                                                                      \
    int function(PGconn *conn, const char *name)                                                   \
    {                                                                                              \
        struct call call;                                                                          \
                                                                                                   \
        CALL_LOOK(call, conn);                                                                     \
        if (!call.libpq || !call.libpq->function)                                                  \
            return 0;                                                                              \
        send_begin(&call, conn, &(struct sent){.kind = REQUEST_SILENT});                           \
        return send_end(&call, conn, call.libpq->function(conn, name));                            \
    }

WRAP_SILENT(PQsendDescribePrepared)
WRAP_SILENT(PQsendDescribePortal)
WRAP_SILENT(PQsendClosePortal)

int PQsendClosePrepared(PGconn *conn, const char *name)
{
    struct call call;

    CALL_LOOK(call, conn);
    if (!call.libpq || !call.libpq->PQsendClosePrepared)
        return 0;
    SEND_NAME(call, conn, REQUEST_CLOSE, name);
    return send_end(&call, conn, call.libpq->PQsendClosePrepared(conn, name));
}

#define WRAP_SYNC(function)                                                                        \
    int function(PGconn *conn)                                                                     \
    {                                                                                              \
        struct call call;                                                                          \
                                                                                                   \
        CALL_LOOK(call, conn);                                                                     \
        if (!call.libpq || !call.libpq->function)                                                  \
            return 0;                                                                              \
        send_begin(&call, conn, &(struct sent){.kind = REQUEST_SYNC});                             \
        return send_end(&call, conn, call.libpq->function(conn));                                  \
    }

WRAP_SYNC(PQpipelineSync)
WRAP_SYNC(PQsendPipelineSync)

PGresult *PQgetResult(PGconn *conn)
{
    struct call call;

    CALL_LOOK(call, conn);
    if (!call.libpq)
        return NULL;
    return fetch_result(&call, conn);
}

int PQconsumeInput(PGconn *conn)
{
    struct call call;

    CALL_LOOK(call, conn);
    if (!call.libpq)
        return 0;
    fetch_touch(call.session);
    return call.libpq->PQconsumeInput(conn);
}

int PQsetSingleRowMode(PGconn *conn)
{
    struct call call;
    int is_set;

    CALL_LOOK(call, conn);
    if (!call.libpq || !call.libpq->PQsetSingleRowMode)
        return 0;
    is_set = call.libpq->PQsetSingleRowMode(conn);
    if (is_set && call.session)
        session_row_mode(call.session);
    return is_set;
}

int PQsetChunkedRowsMode(PGconn *conn, int chunk_size)
{
    struct call call;
    int is_set;

    CALL_LOOK(call, conn);
    if (!call.libpq || !call.libpq->PQsetChunkedRowsMode)
        return 0;
    is_set = call.libpq->PQsetChunkedRowsMode(conn, chunk_size);
    if (is_set && call.session)
        session_row_mode(call.session);
    return is_set;
}

int PQexitPipelineMode(PGconn *conn)
{
    struct call call;
    int is_off;

    CALL_ENTER(call, conn);
    if (!call.libpq || !call.libpq->PQexitPipelineMode)
        return 0;
    is_off = call.libpq->PQexitPipelineMode(conn);
    call_leave(&call);
    if (is_off && call.session)
        fetch_rest(&call, conn);
    return is_off;
}
