/* Sending to the server and awaiting its answer, by a deadline, on a connection in libpq's
 * non-blocking mode. What every kind of statement is built on; the only file that polls a server's
 * socket while a statement runs.
 *
 * At the deadline the statement is cancelled on the server (cancel.h), and its end is awaited for a
 * short while (CANCEL_GRACE_MS); a connection that says nothing by then is lost. Either way the
 * error is WEIR_ERROR_TIMEOUT. */
#pragma once

#include "base/view.h"
#include "shim/pool/slot.h"

enum { CANCEL_GRACE_MS = 40 };

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
 * first tokens and the functions that they name (set_config, pg_advisory_lock, nextval not); SET
 * LOCAL and what a transaction undoes count all the same, being cheap. Remembered per text. */
uint32_t changes_of(struct view sql);

/* Undoes @changes as cheaply as they allow (RESET ALL, UNLISTEN *, DEALLOCATE ALL, …, or DISCARD
 * ALL), in one round trip; clears them. Empties the cache of prepared statements where it must. */
int changes_undo(struct slot *slot, enum weir_reset policy, uint64_t deadline_ns,
                 struct weir_error **ret_error);

/* Ends the connection's cache of prepared statements, if it has one. Nothing is sent. */
void exchange_forget(struct slot *slot);
