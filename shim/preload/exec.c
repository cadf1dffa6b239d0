#include "shim/preload/exec.h"

#include "base/clock.h"
#include "shim/preload/fetch.h"
#include "shim/preload/result.h"

static bool copy_is_ended(const struct libpq *libpq, PGconn *conn, ExecStatusType status)
{
    char *row = NULL;

    if (status == PGRES_COPY_IN)
        return libpq->PQputCopyEnd(conn, "COPY terminated by new PQexec") >= 0;
    while (status == PGRES_COPY_OUT && libpq->PQgetCopyData(conn, &row, 0) > 0)
        libpq->PQfreemem(row);
    return status != PGRES_COPY_BOTH;
}

/* As libpq begins its synchronous functions: what the program left unread is thrown away. False if
 * that cannot be, and libpq is to say why. */
static bool exec_clear_way(const struct call *call, PGconn *conn)
{
    const struct libpq *libpq = call->libpq;
    PGresult *result;
    ExecStatusType status;

    while (libpq->PQtransactionStatus(conn) == PQTRANS_ACTIVE) {
        result = fetch_result(call, conn);
        if (!result)
            break;
        status = libpq->PQresultStatus(result);
        libpq->PQclear(result);
        if (!copy_is_ended(libpq, conn, status))
            return false;
        if (libpq->PQstatus(conn) == CONNECTION_BAD)
            break;
    }
    return true;
}

bool exec_is_ours(const struct call *call, PGconn *conn)
{
    const struct libpq *libpq = call->libpq;

    return libpq->is_bound && call->session && !call->is_inner && libpq->PQpipelineStatus &&
           libpq->PQpipelineStatus(conn) == PQ_PIPELINE_OFF && exec_clear_way(call, conn);
}

PGresult *exec_collect(const struct call *call, PGconn *conn, int is_sent)
{
    const struct libpq *libpq = call->libpq;
    PGresult *last = NULL, *result;

    if (!is_sent) {
        if (call->is_begun)
            session_refused(call->session, result_refusal(libpq, conn));
        return NULL;
    }
    while ((result = fetch_result(call, conn))) {
        if (last)
            libpq->PQclear(last);
        last = result;
        if (session_copies(call->session) || libpq->PQstatus(conn) == CONNECTION_BAD)
            break;
    }
    return last;
}

void exec_end(const struct call *call)
{
    call_leave(call);
    if (call->session && !call->is_inner)
        session_keep_texts(call->session);
}

void exec_fastpath_begin(struct call *call, PGconn *conn)
{
    if (call->libpq->PQpipelineStatus && call->libpq->PQpipelineStatus(conn) != PQ_PIPELINE_OFF)
        return; /* libpq will refuse */
    SEND_TEXT(*call, conn, REQUEST_TEXT, "fastpath");
}

void exec_fastpath_end(const struct call *call, PGconn *conn, PGresult *result)
{
    struct outcome outcome;

    if (!call->is_begun)
        return;
    if (!result) {
        session_refused(call->session, result_refusal(call->libpq, conn));
        return;
    }
    result_read(call->libpq, conn, result, &outcome);
    session_observe(call->session, &outcome);
}

void exec_closed(const struct call *call, const char *name, PGresult *result, uint64_t begin_ns)
{
    struct outcome outcome;

    if (!call->session || !result)
        return;
    result_read(call->libpq, NULL, result, &outcome);
    session_closed(call->session, view_from(name), &outcome, clock_monotonic_ns() - begin_ns);
}
