/* COPY ends with the statement's result, which PQgetResult() returns; PQendcopy() swallows it. */
#include "shim/preload/call.h"
#include "shim/preload/fetch.h"

int PQendcopy(PGconn *conn)
{
    struct outcome done = {.kind = OUTCOME_DONE, .result = {.rows = WEIR_UNKNOWN}};
    struct call call;
    int is_failed;

    CALL_ENTER(call, conn);
    if (!call.libpq)
        return 1;
    is_failed = call.libpq->PQendcopy(conn);
    call_leave(&call);
    if (call.session && call.libpq->is_bound) {
        if (is_failed)
            done.kind = OUTCOME_ERROR;
        if (is_failed)
            done.result.failure = WEIR_FAILURE_SQLSTATE;
        session_observe(call.session, &done);
        fetch_rest(&call, conn);
    }
    return is_failed;
}
