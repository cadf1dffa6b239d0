#include "include/weir/transaction.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/clock.h"
#include "shim/session/exchange.h"
#include "shim/session/failure.h"

enum {
    TEXT_MAX = 128,
    ATTEMPTS_DEFAULT = 5,
    BACKOFF_MIN_DEFAULT_MS = 5,
    BACKOFF_MAX_DEFAULT_MS = 500,
};

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

/* ---- again and again ------------------------------------------------------------------------- */

/* Half of it at random, so that those who collided do not meet again. */
static void back_off(const struct weir_transaction_opts *opts, int32_t attempt)
{
    uint64_t least =
        (uint64_t)(opts && opts->backoff_min_ms ? opts->backoff_min_ms : BACKOFF_MIN_DEFAULT_MS);
    uint64_t most =
        (uint64_t)(opts && opts->backoff_max_ms ? opts->backoff_max_ms : BACKOFF_MAX_DEFAULT_MS);
    uint64_t delay_ns = least * NS_PER_MS, random = 0;
    struct timespec left;

    while (--attempt > 0 && delay_ns < most * NS_PER_MS)
        delay_ns *= 2;
    if (delay_ns > most * NS_PER_MS)
        delay_ns = most * NS_PER_MS;
    (void)!getrandom(&random, sizeof(random), GRND_NONBLOCK); /* without it: half, not at random */
    delay_ns = delay_ns / 2 + random % (delay_ns / 2 + 1);
    left = (struct timespec){(time_t)(delay_ns / NS_PER_S), (long)(delay_ns % NS_PER_S)};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
        ;
}

struct work {
    weir_transaction_fn run;
    void *userdata;
    const struct weir_transaction_opts *opts;
    const void *caller;
};

/* The work's own error stays, whatever becomes of the rollback. */
static void undo(struct slot *slot, const void *caller)
{
    while (!slot->is_lost && depth_now(slot) > 0)
        if (rollback(slot, caller, NULL))
            break;
}

/* One attempt on a connection that is held. */
static int attempt(struct weir_connection *connection, const struct work *work,
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

static bool is_worth_another(int r, const struct weir_error *error)
{
    enum weir_error_category category = weir_error_category(error);

    return r && (category == WEIR_ERROR_SERIALIZATION || category == WEIR_ERROR_DEADLOCK) &&
           (int)category == r;
}

int weir_transaction_run(struct weir_pool *pool, const struct weir_acquire_opts *acquire,
                         const struct weir_transaction_opts *opts, weir_transaction_fn run,
                         void *userdata, struct weir_error **ret_error)
{
    const void *caller = __builtin_return_address(0);
    const struct work work = {run, userdata, opts, caller};
    int32_t attempts_max = opts && opts->attempts_max ? opts->attempts_max : ATTEMPTS_DEFAULT;
    struct weir_connection *connection;
    struct weir_error *error;
    int r;

    if (!pool || !run)
        return failure(ret_error, WEIR_ERROR_USAGE,
                       "weir_transaction_run: the pool or the work is NULL");
    for (int32_t i = 1;; i++) {
        error = NULL;
        connection = NULL;
        r = pool_acquire(pool, acquire, caller, &connection, &error);
        if (!r) {
            r = attempt(connection, &work, &error);
            (void)weir_connection_release(connection); /* told to the log if the work did it */
        }
        if (i >= attempts_max || !is_worth_another(r, error))
            break;
        weir_error_free(error);
        back_off(opts, i);
    }
    if (ret_error && !*ret_error)
        *ret_error = error;
    else
        weir_error_free(error);
    return r;
}
