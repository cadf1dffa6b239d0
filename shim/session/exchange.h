/* Sending to the server and awaiting its answer, by a deadline, on a connection in libpq's
 * non-blocking mode. What every kind of statement is built on; the only file that polls a server's
 * socket while a statement runs.
 *
 * At the deadline the statement is cancelled on the server (cancel.h), and its end is awaited for a
 * short while (CANCEL_GRACE_MS); a connection that says nothing by then is lost. Either way the
 * error is WEIR_ERROR_TIMEOUT. */
#pragma once

#include "base/view.h"
#include "shim/session/account.h"
#include "shim/session/slot.h"

enum { CANCEL_GRACE_MS = 30 }; /* of the 50 that are promised: the rest is the scheduler's */

/* ---- what the pool asks for ------------------------------------------------------------------ */

/* Runs @sql (one statement or several), by @deadline_ns of CLOCK_MONOTONIC (UINT64_MAX: none). It
 * is recorded like any statement, with @caller as its call site. *@ret_result (may be NULL) is the
 * last result. For the pool's own statements and those of transactions: no check of a handle, no
 * cache, no log. */
int exchange_command(struct slot *slot, const char *sql, uint64_t deadline_ns, const void *caller,
                     PGresult **ret_result, struct weir_error **ret_error);

/* A round trip that is no statement: the empty query, not recorded. */
int exchange_ping(struct slot *slot, uint64_t deadline_ns, struct weir_error **ret_error);

/* Without a round trip: the server has said nothing on this idle connection but notices,
 * notifications and parameter changes, and has not closed it. */
bool exchange_is_quiet(struct slot *slot);

/* Ends what a holder left behind: pending results (cancelled and passed over), pipeline mode, COPY.
 * Leaves libpq non-blocking and its transaction status idle, in a transaction, or in a failed one.
 * An error: the connection is to be replaced. */
int exchange_settle(struct slot *slot, uint64_t deadline_ns, struct weir_error **ret_error);
/* Whether exchange_settle() has something to do. Cheap: no system call. */
bool exchange_is_settled(const struct slot *slot);

/* What the string of statements @sql may change in the session: enum change. By the statements'
 * first words and the functions that they name (set_config, pg_advisory_lock, nextval not); SET
 * LOCAL and what a transaction undoes count all the same, being cheap. What a function or a DO
 * block does inside is not seen. Remembered per text. */
uint32_t changes_of(struct view sql);

/* Undoes @changes as cheaply as they allow (RESET ALL, UNLISTEN *, DEALLOCATE ALL, …, or DISCARD
 * ALL), in one round trip; clears them. Empties the cache of prepared statements where it must. */
int changes_undo(struct slot *slot, enum weir_reset policy, uint64_t deadline_ns,
                 struct weir_error **ret_error);

/* Ends the connection's cache of prepared statements, if it has one, and all else that is
 * remembered of its session: the connection is closed. Nothing is sent. */
void exchange_forget(struct slot *slot);

/* The holder gives the connection back while a stream, pipeline, COPY or execution is open: its
 * statement is told as abandoned, and its later use is refused. By the holder's thread, before
 * anybody else can have the connection. Cheap if there is none. */
void exchange_abandon(struct slot *slot);

/* ---- what statements are built on ------------------------------------------------------------ */

/* The beginning of each thing that may be open on a connection: slot->busy_with. */
struct busy {
    struct slot *slot; /* NULL: the connection was given back */
    struct account *account;
    void (*detach)(struct busy *busy); /* gives up what belongs to the connection */
};

/* A request under way. */
struct exchange {
    struct slot *slot;
    struct account *account; /* NULL: not recorded */
    uint64_t deadline_ns;    /* UINT64_MAX: none */
    uint64_t grace_ns;       /* 0: not cancelled; until when its end is awaited */
    uint64_t cancelled_ns;   /* when cancelling it was asked for last */
    bool wants_write;        /* libpq holds bytes that the socket did not take */
    bool has_read;           /* … since it was sent */
    bool is_copying;         /* a COPY waits for its data: PQisBusy() does not tell */
    bool is_timed_out;       /* the deadline passed before the end of the answer */
    bool is_given_up;        /* it said nothing in time: the slot is lost */
};

/* Looks to it that the connection can be used: it is not lost, nothing is open on it, nothing is
 * left over. Leaves libpq non-blocking until exchange_close(). @doing: "weir_execute", … */
int exchange_open(struct exchange *exchange, struct slot *slot, uint64_t deadline_ns,
                  const char *doing, struct weir_error **ret_error);
void exchange_close(struct exchange *exchange);

/* After a call that sent something: what did not go out goes out while waiting. */
void exchange_sent(struct exchange *exchange);
/* PQgetResult() would not wait. */
bool exchange_is_ready(const struct exchange *exchange);
/* For poll(): what for, and how long at most (-1: no limit). */
short exchange_events(const struct exchange *exchange);
int exchange_timeout_ms(const struct exchange *exchange);
/* Does what @revents of poll() ask for, and what the time asks for: at the deadline the cancelling,
 * after the grace it is given up. */
void exchange_turn(struct exchange *exchange, short revents);
/* poll() and exchange_turn(), once. */
void exchange_wait(struct exchange *exchange);
/* poll() without waiting, and exchange_turn(). */
void exchange_look(struct exchange *exchange);
/* Cancels it on the server now, whatever the deadline: nobody waits for an answer, so its end has
 * as much time as a reset has. */
void exchange_cancel(struct exchange *exchange);
/* Until when that is. */
uint64_t exchange_patience_ns(const struct exchange *exchange);
/* Of a cancelled one whose answer is complete: the request to cancel is over too, or (false) has to
 * be awaited by poll() for exchange_timeout_ms() and exchange_turn(). */
bool exchange_is_calm(const struct exchange *exchange);
/* Passes over what is left of the answer; false: given up, or the connection is lost. */
bool exchange_drain(struct exchange *exchange);
/* What @result, if it begins a COPY, asks for before the next one can come; waits. */
bool exchange_pass(struct exchange *exchange, const PGresult *result);
/* When a statement's time is up: the pool's or its own, from @now_ns. */
uint64_t exchange_deadline_ns(const struct slot *slot, int32_t timeout_ms, uint64_t now_ns);
