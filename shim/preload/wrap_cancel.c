/* Cancelling. PQcancel() may be called by a signal handler: it finds the way to the original
 * without the loader, which takes locks. */
#include "shim/preload/call.h"
#include "shim/preload/cancels.h"

PGcancel *PQgetCancel(PGconn *conn)
{
    struct call call;
    PGcancel *cancel;

    CALL_LOOK(call, conn);
    if (!call.libpq)
        return NULL;
    cancel = call.libpq->PQgetCancel(conn);
    cancels_add(cancel, call.session ? call.session->connection : NULL, call.libpq);
    return cancel;
}

void PQfreeCancel(PGcancel *cancel)
{
    struct call call;

    CALL_LOOK(call, NULL);
    cancels_remove(cancel);
    if (call.libpq)
        call.libpq->PQfreeCancel(cancel);
}

int PQcancel(PGcancel *cancel, char *error, int error_size)
{
    const struct libpq *libpq = cancels_record(cancel);

    if (!libpq)
        libpq = libpq_any();
    return libpq && libpq->PQcancel ? libpq->PQcancel(cancel, error, error_size) : 0;
}

int PQrequestCancel(PGconn *conn)
{
    struct call call;
    int is_sent;

    CALL_ENTER(call, conn);
    if (!call.libpq || !call.libpq->PQrequestCancel)
        return 0;
    if (call.session)
        weir_probe_cancel(call.session->connection);
    is_sent = call.libpq->PQrequestCancel(conn);
    call_leave(&call);
    return is_sent;
}

/* ---- since version 17: a connection of its own ----------------------------------------------- */

PGcancelConn *PQcancelCreate(PGconn *conn)
{
    PGcancelConn *cancel;
    struct call call;

    CALL_LOOK(call, conn);
    if (!call.libpq || !call.libpq->PQcancelCreate)
        return NULL;
    cancel = call.libpq->PQcancelCreate(conn);
    cancels_add(cancel, call.session ? call.session->connection : NULL, call.libpq);
    return cancel;
}

int PQcancelStart(PGcancelConn *cancel)
{
    struct call call;
    int is_started;

    CALL_ENTER(call, NULL);
    if (!call.libpq || !call.libpq->PQcancelStart)
        return 0;
    if (!call.is_inner)
        (void)cancels_record(cancel); /* the caller's libpq is the right one */
    is_started = call.libpq->PQcancelStart(cancel);
    call_leave(&call);
    return is_started;
}

int PQcancelBlocking(PGcancelConn *cancel)
{
    struct call call;
    int is_sent;

    CALL_ENTER(call, NULL);
    if (!call.libpq || !call.libpq->PQcancelBlocking)
        return 0;
    (void)cancels_record(cancel); /* the caller's libpq is the right one */
    is_sent = call.libpq->PQcancelBlocking(cancel);
    call_leave(&call);
    return is_sent;
}

PostgresPollingStatusType PQcancelPoll(PGcancelConn *cancel)
{
    PostgresPollingStatusType status;
    struct call call;

    CALL_ENTER(call, NULL);
    if (!call.libpq || !call.libpq->PQcancelPoll)
        return PGRES_POLLING_FAILED;
    status = call.libpq->PQcancelPoll(cancel);
    call_leave(&call);
    return status;
}

void PQcancelFinish(PGcancelConn *cancel)
{
    struct call call;

    CALL_ENTER(call, NULL);
    cancels_remove(cancel);
    if (call.libpq && call.libpq->PQcancelFinish)
        call.libpq->PQcancelFinish(cancel);
    call_leave(&call);
}
