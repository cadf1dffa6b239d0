#include "shim/preload/fetch.h"

#include <time.h>

#include "shim/preload/result.h"

enum {
    LATE_MS = 10, /* so long did the program not look at its connection … */
    AT_ONCE_MS =
        4, /* … and then the result was there without waiting: a tick of the coarse clock */
};

/* Milliseconds, as exact as a tick of the kernel: costs a few nanoseconds. */
static int64_t coarse_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now); /* cannot fail */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void fetch_touch(struct session *session)
{
    if (session)
        session->touched_ms = coarse_ms();
}

PGresult *fetch_result(const struct call *call, PGconn *conn)
{
    struct session *session = call->session;
    struct outcome outcome;
    PGresult *result;
    int64_t asked_ms, answered_ms;

    if (!session)
        return call->libpq->PQgetResult(conn);
    asked_ms = coarse_ms();
    result = call->libpq->PQgetResult(conn);
    answered_ms = coarse_ms();
    if (result && !session_copies(session) && asked_ms - session->touched_ms >= LATE_MS &&
        answered_ms - asked_ms <= AT_ONCE_MS)
        session_late(session);
    session->touched_ms = answered_ms;
    result_read(call->libpq, conn, result, &outcome);
    session_observe(session, &outcome);
    return result;
}

void fetch_rest(const struct call *call, PGconn *conn)
{
    struct outcome outcome;

    result_read(call->libpq, conn, NULL, &outcome);
    session_observe(call->session, &outcome);
}
