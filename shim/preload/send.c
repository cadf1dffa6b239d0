#include "shim/preload/send.h"

#include <string.h>

#include "shim/preload/fetch.h"
#include "shim/preload/result.h"

/* With standard_conforming_strings off, texts with a backslash read differently. */
static bool has_backslash_strings(const struct libpq *libpq, const PGconn *conn, struct view sql)
{
    const char *value;

    if (!sql.length || !memchr(sql.bytes, '\\', sql.length) || !libpq->PQparameterStatus)
        return false;
    value = libpq->PQparameterStatus(conn, "standard_conforming_strings");
    return value && !strcmp(value, "off");
}

static bool is_pipelined(const struct libpq *libpq, const PGconn *conn)
{
    return libpq->PQpipelineStatus && libpq->PQpipelineStatus(conn) != PQ_PIPELINE_OFF;
}

/* libpq refuses to send before everything is answered, except in a pipeline. */
static bool will_be_refused(const struct call *call, const PGconn *conn)
{
    return session_is_busy(call->session) && call->libpq->PQtransactionStatus &&
           call->libpq->PQtransactionStatus(conn) == PQTRANS_ACTIVE;
}

void send_begin(struct call *call, PGconn *conn, const struct sent *given)
{
    struct sent sent = *given;

    if (!call->session)
        return;
    if (is_pipelined(call->libpq, conn))
        sent.flags |= WEIR_STATEMENT_PIPELINED;
    else if (will_be_refused(call, conn))
        return;
    if (has_backslash_strings(call->libpq, conn, sent.sql))
        sent.flags |= WEIR_STATEMENT_BACKSLASH_STRINGS;
    sent.caller = call->caller;
    session_send(call->session, &sent);
    fetch_touch(call->session);
    call->is_begun = true;
}

int send_end(const struct call *call, PGconn *conn, int is_sent)
{
    if (!call->is_begun)
        return is_sent;
    if (!is_sent)
        session_refused(call->session, result_refusal(call->libpq, conn));
    else if (!call->is_inner)
        session_keep_texts(call->session);
    return is_sent;
}
