#include "shim/session/transaction.h"

#include <stdio.h>

#include "base/clock.h"
#include "shim/session/exchange.h"
#include "shim/session/failure.h"

enum { TEXT_MAX = 128 };

/* ---- one at a time --------------------------------------------------------------------------- */

/* The depth as it is, whatever the holder did by statements of his own. */
static uint16_t depth_now(struct slot *slot)
{
    PGTransactionStatusType status = PQtransactionStatus(slot->conn);

    if (status == PQTRANS_IDLE)
        slot->depth = 0;
    else if ((status == PQTRANS_INTRANS || status == PQTRANS_INERROR) && !slot->depth)
        slot->depth = 1;
    return slot->depth;
}

static int transaction_command(struct slot *slot, const char *sql, const void *caller,
                               PGresult **ret_result, struct weir_error **ret_error)
{
    uint64_t timeout_ns = OPTION_NS(pool_options(slot->pool), statement_timeout_ms);
    uint64_t deadline_ns =
        timeout_ns == UINT64_MAX ? UINT64_MAX : clock_monotonic_ns() + timeout_ns;

    return exchange_command(slot, sql, deadline_ns, caller, ret_result, ret_error);
}

static const char *opts_wrong(const struct weir_transaction_opts *opts)
{
    if (opts->size < sizeof(*opts))
        return "the options' size is not sizeof(struct weir_transaction_opts)";
    if (opts->isolation < WEIR_ISOLATION_DEFAULT || opts->isolation > WEIR_ISOLATION_SERIALIZABLE)
        return "isolation is none of enum weir_isolation";
    if (opts->is_deferrable &&
        (opts->isolation != WEIR_ISOLATION_SERIALIZABLE || !opts->is_read_only))
        return "is_deferrable wants SERIALIZABLE and is_read_only";
    if (opts->attempts_max < 0 || opts->backoff_min_ms < 0 || opts->backoff_max_ms < 0)
        return "attempts_max, backoff_min_ms or backoff_max_ms is negative";
    return NULL;
}

static const char *begin_text(const struct weir_transaction_opts *opts, char text[TEXT_MAX])
{
    static const char *const isolations[] = {
        [WEIR_ISOLATION_DEFAULT] = "",
        [WEIR_ISOLATION_READ_COMMITTED] = " ISOLATION LEVEL READ COMMITTED",
        [WEIR_ISOLATION_REPEATABLE_READ] = " ISOLATION LEVEL REPEATABLE READ",
        [WEIR_ISOLATION_SERIALIZABLE] = " ISOLATION LEVEL SERIALIZABLE",
    };

    if (!opts)
        return "BEGIN";
    (void)snprintf(text, TEXT_MAX, "BEGIN%s%s%s", isolations[opts->isolation],
                   opts->is_read_only ? " READ ONLY" : "",
                   opts->is_deferrable ? " DEFERRABLE" : "");
    return text;
}

static int begin(struct slot *slot, const struct weir_transaction_opts *opts, const void *caller,
                 struct weir_error **ret_error)
{
    const char *wrong = opts ? opts_wrong(opts) : NULL;
    uint16_t depth = depth_now(slot);
    char text[TEXT_MAX];
    int r;

    if (!wrong && opts && depth)
        wrong = "a transaction is open: a savepoint in it takes no options";
    if (!wrong && depth == UINT16_MAX)
        wrong = "too many savepoints are open";
    if (wrong)
        return failure(ret_error, WEIR_ERROR_USAGE, "weir_transaction_begin: %s", wrong);
    if (!depth)
        return transaction_command(slot, begin_text(opts, text), caller, NULL, ret_error);
    (void)snprintf(text, sizeof(text), "SAVEPOINT weir_%u", depth);
    r = transaction_command(slot, text, caller, NULL, ret_error);
    if (!r)
        slot->depth = (uint16_t)(depth + 1);
    return r;
}

static int commit(struct slot *slot, const void *caller, struct weir_error **ret_error)
{
    uint16_t depth = depth_now(slot);
    PGresult *result = NULL;
    char text[TEXT_MAX];
    bool is_committed;
    int r;

    if (!depth)
        return failure(ret_error, WEIR_ERROR_USAGE,
                       "weir_transaction_commit: no transaction is open");
    if (depth > 1) {
        (void)snprintf(text, sizeof(text), "RELEASE SAVEPOINT weir_%u", depth - 1u);
        r = transaction_command(slot, text, caller, NULL, ret_error);
        if (!r)
            slot->depth = (uint16_t)(depth - 1);
        return r;
    }
    r = transaction_command(slot, "COMMIT", caller, &result, ret_error);
    is_committed = !r && !strcmp(PQcmdStatus(result), "COMMIT");
    PQclear(result);
    if (r || is_committed)
        return r;
    return failure(ret_error, WEIR_ERROR_TRANSACTION,
                   "weir_transaction_commit: rolled back by the server, since a statement in the "
                   "transaction had failed");
}

static int rollback(struct slot *slot, const void *caller, struct weir_error **ret_error)
{
    uint16_t depth = depth_now(slot);
    char text[TEXT_MAX];
    int r;

    if (!depth)
        return failure(ret_error, WEIR_ERROR_USAGE,
                       "weir_transaction_rollback: no transaction is open");
    if (depth == 1)
        return transaction_command(slot, "ROLLBACK", caller, NULL, ret_error);
    (void)snprintf(text, sizeof(text), "ROLLBACK TO SAVEPOINT weir_%u; RELEASE SAVEPOINT weir_%u",
                   depth - 1u, depth - 1u);
    r = transaction_command(slot, text, caller, NULL, ret_error);
    if (!r)
        slot->depth = (uint16_t)(depth - 1);
    return r;
}

int weir_transaction_begin(struct weir_connection *connection,
                           const struct weir_transaction_opts *opts, struct weir_error **ret_error)
{
    struct slot *slot = slot_held(connection, "weir_transaction_begin", ret_error);

    return slot ? begin(slot, opts, __builtin_return_address(0), ret_error) : WEIR_ERROR_USAGE;
}

int weir_transaction_commit(struct weir_connection *connection, struct weir_error **ret_error)
{
    struct slot *slot = slot_held(connection, "weir_transaction_commit", ret_error);

    return slot ? commit(slot, __builtin_return_address(0), ret_error) : WEIR_ERROR_USAGE;
}

int weir_transaction_rollback(struct weir_connection *connection, struct weir_error **ret_error)
{
    struct slot *slot = slot_held(connection, "weir_transaction_rollback", ret_error);

    return slot ? rollback(slot, __builtin_return_address(0), ret_error) : WEIR_ERROR_USAGE;
}

int weir_transaction_depth(struct weir_connection *connection)
{
    struct slot *slot = slot_held(connection, "weir_transaction_depth", NULL);

    return slot && slot->conn ? depth_now(slot) : 0;
}

/* ---- work in one ----------------------------------------------------------------------------- */

/* The work's own error stays, whatever becomes of the rollback. */
static void undo(struct slot *slot, const void *caller)
{
    while (!slot->is_lost && depth_now(slot) > 0)
        if (rollback(slot, caller, NULL))
            break;
}

int transaction_attempt(struct weir_connection *connection, const struct work *work,
                        struct weir_error **ret_error)
{
    struct slot *slot = slot_held(connection, "weir_transaction_run", ret_error);
    int r;

    if (!slot)
        return WEIR_ERROR_USAGE;
    r = begin(slot, work->opts, work->caller, ret_error);
    if (r)
        return r;
    r = work->run(work->userdata, connection, ret_error);
    if (!slot_held(connection, "weir_transaction_run, after the work", r ? NULL : ret_error))
        return r ? r : WEIR_ERROR_USAGE;
    if (r) {
        undo(slot, work->caller);
        return r;
    }
    weir_error_free(*ret_error); /* of a call in the work that may fail */
    *ret_error = NULL;
    if (depth_now(slot) > 1)
        r = failure(ret_error, WEIR_ERROR_USAGE,
                    "weir_transaction_run: the work left a savepoint open");
    else
        r = commit(slot, work->caller, ret_error);
    if (r)
        undo(slot, work->caller);
    return r;
}
