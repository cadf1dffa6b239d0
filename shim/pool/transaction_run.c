/* Work that is tried again: each time on a connection of its own, since the one before may be the
 * trouble, and since others are to have a turn meanwhile. */
#include "shim/session/transaction.h"

#include <errno.h>
#include <time.h>

#include "base/clock.h"
#include "shim/pool/dice.h"
#include "shim/pool/request.h"
#include "shim/session/failure.h"

enum {
    ATTEMPTS_DEFAULT = 5,
    BACKOFF_MIN_DEFAULT_MS = 5,
    BACKOFF_MAX_DEFAULT_MS = 500,
};

/* Half of it at random, so that those who collided do not meet again. */
static void back_off(const struct weir_transaction_opts *opts, int32_t attempt)
{
    uint64_t least =
        (uint64_t)(opts && opts->backoff_min_ms ? opts->backoff_min_ms : BACKOFF_MIN_DEFAULT_MS);
    uint64_t most =
        (uint64_t)(opts && opts->backoff_max_ms ? opts->backoff_max_ms : BACKOFF_MAX_DEFAULT_MS);
    uint64_t delay_ns = least * NS_PER_MS;
    struct timespec left;

    while (--attempt > 0 && delay_ns < most * NS_PER_MS)
        delay_ns *= 2;
    if (delay_ns > most * NS_PER_MS)
        delay_ns = most * NS_PER_MS;
    delay_ns = delay_ns / 2 + dice_below(delay_ns / 2 + 1);
    left = (struct timespec){(time_t)(delay_ns / NS_PER_S), (long)(delay_ns % NS_PER_S)};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
        ;
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
            r = transaction_attempt(connection, &work, &error);
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
