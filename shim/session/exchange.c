/* A statement costs the system calls of PQexec(): one to send, one poll, one to receive. Sending is
 * libpq's own (it flushes what it was given); reading begins with poll, since that tells when the
 * first byte came. */
#include "shim/session/exchange.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>

#include "base/clock.h"
#include "shim/probe/clock.h"
#include "shim/session/cancel.h"
#include "shim/session/failure.h"
#include "shim/session/prepared.h"

enum {
    CALM_SLICE_MS = 1,
    CANCEL_AGAIN_MS = 10, /* in the grace: one that came before its statement strikes nothing */
    QUIET_LOOKS = 16,
};

/* ---- time ------------------------------------------------------------------------------------ */

uint64_t exchange_deadline_ns(const struct slot *slot, int32_t timeout_ms, uint64_t now_ns)
{
    uint64_t timeout_ns;

    if (timeout_ms == WEIR_NEVER)
        return UINT64_MAX;
    timeout_ns = timeout_ms ? (uint64_t)timeout_ms * NS_PER_MS
                            : OPTION_NS(pool_options(slot->pool), statement_timeout_ms);
    return timeout_ns >= UINT64_MAX - now_ns ? UINT64_MAX : now_ns + timeout_ns;
}

/* Rounded up: before its time nothing can be done. */
static int ms_until(uint64_t ns)
{
    uint64_t now_ns, ms;

    if (ns == UINT64_MAX)
        return -1;
    now_ns = clock_monotonic_ns();
    if (ns <= now_ns)
        return 0;
    ms = (ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

/* ---- begin and end --------------------------------------------------------------------------- */

int exchange_open(struct exchange *exchange, struct slot *slot, uint64_t deadline_ns,
                  const char *doing, struct weir_error **ret_error)
{
    const char *pool = pool_options(slot->pool)->name;
    int r;

    *exchange = (struct exchange){.slot = slot, .deadline_ns = deadline_ns};
    if (__builtin_expect(slot->busy_with != NULL, 0))
        return failure(ret_error, WEIR_ERROR_USAGE,
                       "pool %s: %s: a stream, pipeline, COPY or execution is open on the "
                       "connection: end it first",
                       pool, doing);
    if (__builtin_expect(slot->is_lost || !slot->conn, 0)) {
        r = failure(ret_error, WEIR_ERROR_CONNECTION,
                    "pool %s: %s: the connection was lost or discarded before: release it", pool,
                    doing);
        if (ret_error)
            failure_set_survived(*ret_error, false);
        return r;
    }
    if (__builtin_expect(!exchange_is_settled(slot), 0)) {
        bool is_blocking = slot->is_blocking;
        r = exchange_settle(slot, deadline_ns, ret_error);
        if (r)
            return r;
        slot->is_blocking = is_blocking;
    }
    if (__builtin_expect(slot->is_blocking, 0))
        (void)PQsetnonblocking(slot->conn, 1); /* nothing is to be flushed at rest */
    return 0;
}

void exchange_close(struct exchange *exchange)
{
    struct slot *slot = exchange->slot;

    /* Who has the PGconn in his hands has it in blocking mode. */
    if (__builtin_expect(slot->is_blocking, 0) && !slot->is_lost)
        (void)PQsetnonblocking(slot->conn, 0);
}

/* ---- sending and reading --------------------------------------------------------------------- */

void exchange_sent(struct exchange *exchange)
{
    /* No system call if nothing is left, which is nearly always. */
    exchange->wants_write = PQflush(exchange->slot->conn) == 1;
    exchange->has_read = false;
}

bool exchange_is_ready(const struct exchange *exchange)
{
    const PGconn *conn = exchange->slot->conn;

    return exchange->is_given_up || !PQisBusy(exchange->slot->conn) ||
           PQstatus(conn) == CONNECTION_BAD;
}

short exchange_events(const struct exchange *exchange)
{
    return exchange->wants_write ? POLLIN | POLLOUT : POLLIN;
}

int exchange_timeout_ms(const struct exchange *exchange)
{
    uint64_t until_ns = exchange->grace_ns ? exchange->grace_ns : exchange->deadline_ns;
    int ms;

    /* Nobody wakes us when the request to cancel is over. */
    if (exchange->grace_ns && !PQisBusy(exchange->slot->conn))
        return CALM_SLICE_MS;
    ms = ms_until(until_ns);
    return exchange->grace_ns && ms > CANCEL_AGAIN_MS ? CANCEL_AGAIN_MS : ms;
}

static void exchange_read(struct exchange *exchange)
{
    if (exchange->account)
        account_first_byte(exchange->account);
    exchange->has_read = true;
    /* If it fails the connection is bad, and PQgetResult() says so without waiting. */
    (void)PQconsumeInput(exchange->slot->conn);
}

static void exchange_give_up(struct exchange *exchange)
{
    exchange->is_given_up = true;
    /* Neither the statement nor its cancelling was answered: the network may be silent for all. */
    slot_lose(exchange->slot, true);
}

static void exchange_cancel_until(struct exchange *exchange, uint64_t grace_ns)
{
    struct slot *slot = exchange->slot;

    if (exchange->grace_ns)
        return;
    exchange->cancelled_ns = clock_monotonic_ns();
    exchange->grace_ns = grace_ns;
    pool_probe(slot->pool)->cancel(slot->probe);
    if (!server_cancel_send(slot->cancel, pool_crew(slot->pool)))
        exchange_give_up(exchange);
}

/* The server drops a request to cancel that finds no statement: this one may have been on its way
 * still, and would run on after its connection was given up. */
static void exchange_cancel_again(struct exchange *exchange, uint64_t now_ns)
{
    struct slot *slot = exchange->slot;

    if (now_ns - exchange->cancelled_ns < CANCEL_AGAIN_MS * NS_PER_MS ||
        !server_cancel_is_done(slot->cancel) ||
        (exchange_is_ready(exchange) && !exchange->is_copying))
        return;
    exchange->cancelled_ns = now_ns;
    (void)server_cancel_send(slot->cancel, pool_crew(slot->pool)); /* the grace ends all the same */
}

uint64_t exchange_patience_ns(const struct exchange *exchange)
{
    uint64_t until_ns =
        clock_monotonic_ns() + OPTION_NS(pool_options(exchange->slot->pool), reset_timeout_ms);

    return exchange->deadline_ns < until_ns ? exchange->deadline_ns : until_ns;
}

void exchange_cancel(struct exchange *exchange)
{
    exchange_cancel_until(exchange, exchange_patience_ns(exchange));
}

static void exchange_look_at_time(struct exchange *exchange)
{
    uint64_t now_ns;

    if (exchange->deadline_ns == UINT64_MAX && !exchange->grace_ns)
        return;
    now_ns = clock_monotonic_ns();
    if (exchange->grace_ns) {
        if (now_ns >= exchange->grace_ns)
            exchange_give_up(exchange);
        else
            exchange_cancel_again(exchange, now_ns);
    } else if (now_ns >= exchange->deadline_ns) {
        exchange->is_timed_out = true;
        exchange_cancel_until(exchange, now_ns + CANCEL_GRACE_MS * NS_PER_MS);
    }
}

void exchange_turn(struct exchange *exchange, short revents)
{
    if (revents & (POLLIN | POLLERR | POLLHUP))
        exchange_read(exchange);
    if (revents & POLLOUT || (exchange->wants_write && revents))
        exchange->wants_write = PQflush(exchange->slot->conn) == 1;
    if (exchange->is_copying || !exchange_is_ready(exchange) ||
        (exchange->grace_ns && !exchange_is_calm(exchange)))
        exchange_look_at_time(exchange);
}

static void exchange_poll(struct exchange *exchange, bool may_wait)
{
    struct slot *slot = exchange->slot;
    struct pollfd at = {.fd = PQsocket(slot->conn), .events = exchange_events(exchange)};
    int n;

    /* TLS may have read more than it gave: poll would not tell. */
    if (exchange->has_read && PQsslInUse(slot->conn)) {
        (void)PQconsumeInput(slot->conn);
        if (exchange_is_ready(exchange) && !exchange->grace_ns)
            return;
    }
    if (at.fd < 0) { /* closed by libpq: PQgetResult() says why */
        exchange_turn(exchange, POLLERR);
        return;
    }
    n = poll(&at, 1, may_wait ? exchange_timeout_ms(exchange) : 0);
    exchange_turn(exchange, n > 0 ? at.revents : 0); /* a signal interrupted it: once more */
}

void exchange_wait(struct exchange *exchange)
{
    exchange_poll(exchange, true);
}

void exchange_look(struct exchange *exchange)
{
    exchange_poll(exchange, false);
}

bool exchange_is_calm(const struct exchange *exchange)
{
    return exchange->is_given_up || !exchange->grace_ns ||
           server_cancel_is_done(exchange->slot->cancel);
}

/* ---- at rest --------------------------------------------------------------------------------- */

/* Takes in what the server said of itself. False: the connection is gone. */
static bool quiet_read(PGconn *conn)
{
    PGnotify *notify;

    if (!PQconsumeInput(conn) || PQisBusy(conn))
        return false;
    while ((notify = PQnotifies(conn)))
        PQfreemem(notify);
    return PQstatus(conn) == CONNECTION_OK;
}

bool exchange_is_quiet(struct slot *slot)
{
    struct pollfd at = {.fd = PQsocket(slot->conn), .events = POLLIN};
    int n;

    /* A message and the end of the connection may come one after the other. */
    for (unsigned i = 0; i < QUIET_LOOKS; i++) {
        if (at.fd < 0 || PQstatus(slot->conn) != CONNECTION_OK)
            return false;
        n = poll(&at, 1, 0);
        if (n == 0)
            return true;
        if (n > 0 && !quiet_read(slot->conn))
            return false;
    }
    return false;
}

bool exchange_is_settled(const struct slot *slot)
{
    return !slot->busy_with && PQtransactionStatus(slot->conn) != PQTRANS_ACTIVE &&
           PQpipelineStatus(slot->conn) == PQ_PIPELINE_OFF && server_cancel_is_done(slot->cancel);
}

void exchange_forget(struct slot *slot)
{
    exchange_abandon(slot);
    slot->prepared = prepared_free(slot->prepared);
    slot->is_in_transaction = false;
    slot->listens = 0;
    slot->depth = 0;
}

void exchange_abandon(struct slot *slot)
{
    struct busy *busy = slot->busy_with;

    if (!busy)
        return;
    slot->busy_with = NULL;
    /* Only what the answer says is missing, so the transaction is as it was. */
    account_end_within(busy->account, WEIR_ERROR_CANCELLED);
    busy->detach(busy);
    busy->slot = NULL;
}
