/* Ending what was left under way on a connection. */
#include <poll.h>
#include <stdlib.h>

#include "shim/session/cancel.h"
#include "shim/session/exchange.h"
#include "shim/session/failure.h"

/* Discards what COPY … TO STDOUT still delivers. False: the connection is lost or given up. */
static bool copy_out_drain(struct exchange *exchange)
{
    PGconn *conn = exchange->slot->conn;
    char *row;
    int length;

    exchange_cancel(exchange);
    exchange->is_copying = true;
    while (!exchange->is_given_up) {
        length = PQgetCopyData(conn, &row, 1);
        if (length > 0) {
            PQfreemem(row);
            continue;
        }
        if (length < 0) {
            exchange->is_copying = false;
            return true; /* the end, or an error that PQgetResult() tells */
        }
        exchange_wait(exchange);
    }
    return false;
}

bool exchange_pass(struct exchange *exchange, const PGresult *result)
{
    PGconn *conn = exchange->slot->conn;

    switch ((int)PQresultStatus(result)) {
    case PGRES_COPY_IN:
        if (PQputCopyEnd(conn, "given up") < 0)
            return PQstatus(conn) != CONNECTION_OK; /* then PQgetResult() ends it */
        exchange_sent(exchange);
        return true;
    case PGRES_COPY_OUT:
        return copy_out_drain(exchange);
    case PGRES_COPY_BOTH:
        return false;
    default:
        return true;
    }
}

/* The request to cancel is awaited, too: it would strike what comes next. */
static bool calm_await(struct exchange *exchange)
{
    while (!exchange_is_calm(exchange)) {
        (void)poll(NULL, 0, exchange_timeout_ms(exchange)); /* waking early is fine */
        exchange_turn(exchange, 0);
    }
    return !exchange->is_given_up;
}

bool exchange_drain(struct exchange *exchange)
{
    PGconn *conn = exchange->slot->conn;
    PGresult *result;
    bool is_passed;

    for (;;) {
        while (!exchange_is_ready(exchange))
            exchange_wait(exchange);
        if (exchange->is_given_up)
            return false;
        result = PQgetResult(conn);
        if (!result)
            return calm_await(exchange) && PQstatus(conn) == CONNECTION_OK;
        is_passed = exchange_pass(exchange, result);
        PQclear(result);
        if (!is_passed)
            return false;
    }
}

/* One more end of a part makes the server answer to everything before it; libpq leaves the mode
 * when nothing is outstanding. */
static bool pipeline_settle(struct exchange *exchange)
{
    PGconn *conn = exchange->slot->conn;
    unsigned nothings = 0;
    PGresult *result;

    if (PQexitPipelineMode(conn))
        return true;
    if (!PQpipelineSync(conn))
        return false;
    exchange_sent(exchange);
    while (!PQexitPipelineMode(conn)) {
        while (!exchange_is_ready(exchange))
            exchange_wait(exchange);
        if (exchange->is_given_up || PQstatus(conn) != CONNECTION_OK)
            return false;
        result = PQgetResult(conn);
        nothings = result ? 0 : nothings + 1;
        if (nothings > 2)
            return false; /* nothing more comes, and libpq stays in the mode all the same */
        if (result && !exchange_pass(exchange, result)) {
            PQclear(result);
            return false;
        }
        PQclear(result);
    }
    return calm_await(exchange);
}

static int settle_failed(struct exchange *exchange, struct weir_error **ret_error)
{
    struct slot *slot = exchange->slot;
    int r;

    if (exchange->is_given_up) {
        r = failure(ret_error, WEIR_ERROR_TIMEOUT,
                    "pool %s: what was left running did not end in time",
                    pool_options(slot->pool)->name);
        if (ret_error)
            failure_set_survived(*ret_error, false);
        return r;
    }
    slot_lose(slot, PQstatus(slot->conn) != CONNECTION_OK);
    return failure_of_connection(ret_error, slot->conn, "ending what was left running");
}

/* What was received already, so that nothing is cancelled that is over. */
static void settle_received(PGconn *conn)
{
    PGresult *result;

    while (PQtransactionStatus(conn) == PQTRANS_ACTIVE && !PQisBusy(conn)) {
        ExecStatusType status;
        result = PQgetResult(conn);
        status = PQresultStatus(result);
        PQclear(result);
        if (!result || status == PGRES_COPY_IN || status == PGRES_COPY_OUT ||
            status == PGRES_COPY_BOTH)
            return; /* said once more by the next call */
    }
}

int exchange_settle(struct slot *slot, uint64_t deadline_ns, struct weir_error **ret_error)
{
    struct exchange exchange = {.slot = slot, .deadline_ns = deadline_ns};
    PGconn *conn = slot->conn;
    bool is_settled;

    exchange_abandon(slot);
    if (PQisnonblocking(conn) == 0)
        (void)PQsetnonblocking(conn, 1);
    exchange_sent(&exchange);
    if (PQpipelineStatus(conn) == PQ_PIPELINE_OFF)
        settle_received(conn);
    if (!server_cancel_is_done(slot->cancel)) /* the one before: it is this answer's */
        exchange.grace_ns = exchange_patience_ns(&exchange);
    else if (PQtransactionStatus(conn) == PQTRANS_ACTIVE && PQisBusy(conn))
        exchange_cancel(&exchange);
    if (PQpipelineStatus(conn) != PQ_PIPELINE_OFF)
        is_settled = pipeline_settle(&exchange);
    else
        is_settled = exchange_drain(&exchange);
    if (!is_settled || PQstatus(conn) != CONNECTION_OK)
        return settle_failed(&exchange, ret_error);
    slot->is_blocking = false;
    account_rest(slot);
    return 0;
}
