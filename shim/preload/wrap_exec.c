/* The synchronous functions. libpq builds them from those that send and receive, and calls these
 * where we see it; for a libpq that was linked to call itself unseen we do the same in its place.
 */
#include "base/clock.h"
#include "shim/preload/exec.h"

PGresult *PQexec(PGconn *conn, const char *query)
{
    PGresult *result;
    struct call call;

    CALL_ENTER(call, conn);
    if (!call.libpq)
        return NULL;
    if (exec_is_ours(&call, conn)) {
        SEND_TEXT(call, conn, REQUEST_SCRIPT, query);
        result = exec_collect(&call, conn, call.libpq->PQsendQuery(conn, query));
    } else {
        result = call.libpq->PQexec(conn, query);
    }
    exec_end(&call);
    return result;
}

PGresult *PQexecParams(PGconn *conn, const char *command, int count, const Oid *types,
                       const char *const *values, const int *lengths, const int *formats,
                       int result_format)
{
    PGresult *result;
    struct call call;

    CALL_ENTER(call, conn);
    if (!call.libpq)
        return NULL;
    if (exec_is_ours(&call, conn)) {
        SEND_TEXT(call, conn, REQUEST_TEXT, command);
        result = exec_collect(&call, conn,
                              call.libpq->PQsendQueryParams(conn, command, count, types, values,
                                                            lengths, formats, result_format));
    } else {
        result = call.libpq->PQexecParams(conn, command, count, types, values, lengths, formats,
                                          result_format);
    }
    exec_end(&call);
    return result;
}

PGresult *PQprepare(PGconn *conn, const char *name, const char *query, int count, const Oid *types)
{
    PGresult *result;
    struct call call;

    CALL_ENTER(call, conn);
    if (!call.libpq)
        return NULL;
    if (exec_is_ours(&call, conn)) {
        SEND_PARSE(call, conn, name, query);
        result =
            exec_collect(&call, conn, call.libpq->PQsendPrepare(conn, name, query, count, types));
    } else {
        result = call.libpq->PQprepare(conn, name, query, count, types);
    }
    exec_end(&call);
    return result;
}

PGresult *PQexecPrepared(PGconn *conn, const char *name, int count, const char *const *values,
                         const int *lengths, const int *formats, int result_format)
{
    PGresult *result;
    struct call call;

    CALL_ENTER(call, conn);
    if (!call.libpq)
        return NULL;
    if (exec_is_ours(&call, conn)) {
        SEND_NAME(call, conn, REQUEST_PREPARED, name);
        result = exec_collect(&call, conn,
                              call.libpq->PQsendQueryPrepared(conn, name, count, values, lengths,
                                                              formats, result_format));
    } else {
        result =
            call.libpq->PQexecPrepared(conn, name, count, values, lengths, formats, result_format);
    }
    exec_end(&call);
    return result;
}

/* No statements. What they send and receive has no request, and is passed over. */
#define WRAP_SILENT(function)                                                                      \
    PGresult *function(PGconn *conn, const char *name)                                             \
    {                                                                                              \
        PGresult *result;                                                                          \
        struct call call;                                                                          \
                                                                                                   \
        CALL_ENTER(call, conn);                                                                    \
        if (!call.libpq || !call.libpq->function)                                                  \
            return NULL;                                                                           \
        result = call.libpq->function(conn, name);                                                 \
        exec_end(&call);                                                                           \
        return result;                                                                             \
    }

WRAP_SILENT(PQdescribePrepared)
WRAP_SILENT(PQdescribePortal)
WRAP_SILENT(PQclosePortal)

PGresult *PQclosePrepared(PGconn *conn, const char *name)
{
    uint64_t begin_ns = clock_monotonic_ns();
    PGresult *result;
    struct call call;

    CALL_ENTER(call, conn);
    if (!call.libpq || !call.libpq->PQclosePrepared)
        return NULL;
    result = call.libpq->PQclosePrepared(conn, name);
    exec_closed(&call, name, result, begin_ns);
    exec_end(&call);
    return result;
}

PGresult *PQfn(PGconn *conn, int function, int *result, int *result_length, int is_integer,
               const PQArgBlock *arguments, int count)
{
    PGresult *answer;
    struct call call;

    CALL_ENTER(call, conn);
    if (!call.libpq)
        return NULL;
    exec_fastpath_begin(&call, conn);
    answer = call.libpq->PQfn(conn, function, result, result_length, is_integer, arguments, count);
    exec_fastpath_end(&call, conn, answer);
    exec_end(&call);
    return answer;
}
