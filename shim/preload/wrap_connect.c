/* Opening, opening anew and closing. The outermost call begins the attempt before libpq does
 * anything; a synchronous one ends it on return, an asynchronous one when polling says so. */
#include "shim/preload/attempt.h"
#include "shim/preload/cancels.h"
#include "shim/preload/observe.h"
#include "shim/probe/table.h"

struct opening {
    struct call call;
    struct attempt *attempt; /* NULL: not the outermost call, or not to be followed */
};

/* Before the outermost call: where to? The rest of the target is the caller's to add. */
#define OPENING_LOOK(opening, is_part)                                                             \
    opening_look(&(opening), __builtin_return_address(0), __builtin_frame_address(0), (is_part))

/* @is_part: the function is one that the others call. An interposer before us may stand between
 * libpq and itself, so then the frame alone says that this call is part of another. */
static void opening_look(struct opening *opening, const void *caller, const void *frame,
                         bool is_part)
{
    call_look(&opening->call, NULL, caller, frame);
    opening->call.before = outer_call;
    opening->attempt = NULL;
    if (is_part && outer_call.attempt && (uintptr_t)frame < (uintptr_t)outer_call.frame)
        opening->call.is_inner = true;
    if (opening->call.is_inner || !opening->call.libpq || probe_table()->connects_are_covered() ||
        observe_caller(&opening->call))
        return;
    opening->attempt = attempt_new(opening->call.libpq);
}

#define OPENING_BEGIN(opening) opening_begin(&(opening), __builtin_frame_address(0))

static void opening_begin(const struct opening *opening, const void *frame)
{
    if (opening->attempt)
        attempt_begin(opening->attempt);
    if (!opening->call.is_inner)
        outer_call =
            (struct outer_call){frame, opening->call.caller, opening->call.libpq, opening->attempt};
}

static void opening_end(struct opening *opening, PGconn *conn, bool is_synchronous)
{
    const struct libpq *libpq = opening->call.libpq;
    struct session *session;

    call_leave(&opening->call);
    if (!opening->attempt)
        return;
    session = attempt_adopt(opening->attempt, conn);
    opening->attempt = attempt_free(opening->attempt);
    if (session && (is_synchronous || (libpq->PQstatus && libpq->PQstatus(conn) == CONNECTION_BAD)))
        attempt_end(session, conn);
}

PGconn *PQconnectdb(const char *conninfo)
{
    struct opening opening;
    PGconn *conn;

    OPENING_LOOK(opening, false);
    if (!opening.call.libpq)
        return NULL;
    if (opening.attempt)
        target_add_conninfo(opening.call.libpq, conninfo, &opening.attempt->target);
    OPENING_BEGIN(opening);
    conn = opening.call.libpq->PQconnectdb(conninfo);
    opening_end(&opening, conn, true);
    return conn;
}

PGconn *PQconnectStart(const char *conninfo)
{
    struct opening opening;
    PGconn *conn;

    OPENING_LOOK(opening, true);
    if (!opening.call.libpq)
        return NULL;
    if (opening.attempt)
        target_add_conninfo(opening.call.libpq, conninfo, &opening.attempt->target);
    OPENING_BEGIN(opening);
    conn = opening.call.libpq->PQconnectStart(conninfo);
    opening_end(&opening, conn, false);
    return conn;
}

PGconn *PQconnectdbParams(const char *const *keywords, const char *const *values, int expand_dbname)
{
    struct opening opening;
    PGconn *conn;

    OPENING_LOOK(opening, false);
    if (!opening.call.libpq)
        return NULL;
    if (opening.attempt)
        target_add_params(opening.call.libpq, keywords, values, expand_dbname,
                          &opening.attempt->target);
    OPENING_BEGIN(opening);
    conn = opening.call.libpq->PQconnectdbParams(keywords, values, expand_dbname);
    opening_end(&opening, conn, true);
    return conn;
}

PGconn *PQconnectStartParams(const char *const *keywords, const char *const *values,
                             int expand_dbname)
{
    struct opening opening;
    PGconn *conn;

    OPENING_LOOK(opening, true);
    if (!opening.call.libpq)
        return NULL;
    if (opening.attempt)
        target_add_params(opening.call.libpq, keywords, values, expand_dbname,
                          &opening.attempt->target);
    OPENING_BEGIN(opening);
    conn = opening.call.libpq->PQconnectStartParams(keywords, values, expand_dbname);
    opening_end(&opening, conn, false);
    return conn;
}

PGconn *PQsetdbLogin(const char *host, const char *port, const char *options, const char *tty,
                     const char *database, const char *login, const char *password)
{
    struct opening opening;
    PGconn *conn;

    OPENING_LOOK(opening, false);
    if (!opening.call.libpq)
        return NULL;
    if (opening.attempt)
        target_add_login(opening.call.libpq, host, port, database, login, &opening.attempt->target);
    OPENING_BEGIN(opening);
    conn = opening.call.libpq->PQsetdbLogin(host, port, options, tty, database, login, password);
    opening_end(&opening, conn, true);
    return conn;
}

/* What polling a connection said. */
static PostgresPollingStatusType polled(const struct call *call, PGconn *conn,
                                        PostgresPollingStatusType status)
{
    struct attempt *attempt = outer_call.attempt;

    if (call->is_inner && !call->session && attempt && attempt->connection)
        attempt_correct(attempt, conn);
    else if (!call->is_inner && call->session &&
             (status == PGRES_POLLING_OK || status == PGRES_POLLING_FAILED))
        attempt_end(call->session, conn);
    return status;
}

PostgresPollingStatusType PQconnectPoll(PGconn *conn)
{
    struct call call;

    CALL_LOOK(call, conn);
    if (!call.libpq)
        return PGRES_POLLING_FAILED;
    if (!call.session)
        (void)observe_caller(&call); /* not followed anyway */
    return polled(&call, conn, call.libpq->PQconnectPoll(conn));
}

PostgresPollingStatusType PQresetPoll(PGconn *conn)
{
    PostgresPollingStatusType status;
    struct call call;

    CALL_ENTER(call, conn);
    if (!call.libpq)
        return PGRES_POLLING_FAILED;
    status = call.libpq->PQresetPoll(conn);
    call_leave(&call);
    return polled(&call, conn, status);
}

void PQreset(PGconn *conn)
{
    struct call call;

    CALL_ENTER(call, conn);
    if (!call.libpq)
        return;
    if (call.session) {
        attempt_give_up(call.session);
        session_reset(call.session);
    }
    call.libpq->PQreset(conn);
    call_leave(&call);
    if (call.session)
        attempt_end(call.session, conn);
}

int PQresetStart(PGconn *conn)
{
    struct call call;
    int is_started;

    CALL_ENTER(call, conn);
    if (!call.libpq)
        return 0;
    if (call.session) {
        attempt_give_up(call.session);
        session_reset(call.session);
    }
    is_started = call.libpq->PQresetStart(conn);
    call_leave(&call);
    if (call.session && !is_started)
        attempt_end(call.session, conn);
    return is_started;
}

void PQfinish(PGconn *conn)
{
    struct session *session;
    struct call call;
    bool is_lost;

    CALL_ENTER(call, conn);
    if (!call.libpq)
        return;
    /* Before libpq gives the memory back: another thread's next connection may have it. */
    session = connections_remove(conn);
    if (session) {
        is_lost = call.libpq->PQstatus && call.libpq->PQstatus(conn) == CONNECTION_BAD;
        attempt_give_up(session);
        cancels_forget(session->connection);
        session_free(session, is_lost ? WEIR_FAILURE_CONNECTION_LOST : WEIR_FAILURE_NONE);
    }
    call.libpq->PQfinish(conn);
    call_leave(&call);
}

/* Asks only whether a server is there: no connection that anybody uses. */
PGPing PQping(const char *conninfo)
{
    struct call call;
    PGPing answer;

    CALL_ENTER(call, NULL);
    if (!call.libpq)
        return PQPING_NO_ATTEMPT;
    answer = call.libpq->PQping(conninfo);
    call_leave(&call);
    return answer;
}

PGPing PQpingParams(const char *const *keywords, const char *const *values, int expand_dbname)
{
    struct call call;
    PGPing answer;

    CALL_ENTER(call, NULL);
    if (!call.libpq)
        return PQPING_NO_ATTEMPT;
    answer = call.libpq->PQpingParams(keywords, values, expand_dbname);
    call_leave(&call);
    return answer;
}
