/**
 * weir/transaction.h: transactions on a connection that is held, and work that is tried again.
 *
 * Threads and blocking: as in weir/statement.h.
 */
#ifndef WEIR_TRANSACTION_H
#define WEIR_TRANSACTION_H

#include "weir/statement.h"

#ifdef __cplusplus
extern "C" {
#endif

enum weir_isolation {
    WEIR_ISOLATION_DEFAULT = 0, /**< as the session has it */
    WEIR_ISOLATION_READ_COMMITTED = 1,
    WEIR_ISOLATION_REPEATABLE_READ = 2,
    WEIR_ISOLATION_SERIALIZABLE = 3
};

struct weir_transaction_opts {
    size_t size;
    enum weir_isolation isolation;
    int32_t is_read_only;
    int32_t is_deferrable; /**< only with SERIALIZABLE and read only; else WEIR_ERROR_USAGE */
    /* of weir_transaction_run() */
    int32_t attempts_max;                   /**< 0: 5 */
    int32_t backoff_min_ms, backoff_max_ms; /**< 0: 5 and 500; doubling, half at random */
};

/** Begins a transaction, or inside one a savepoint (@opts must then be NULL). */
WEIR_API int weir_transaction_begin(struct weir_connection *connection,
                                    const struct weir_transaction_opts *opts,
                                    struct weir_error **ret_error);
/** Ends the innermost savepoint or the transaction. A COMMIT that the server answers with ROLLBACK
 * (it had failed before): WEIR_ERROR_TRANSACTION. The connection lost between COMMIT and its
 * answer: WEIR_ERROR_COMMIT_UNKNOWN. */
WEIR_API int weir_transaction_commit(struct weir_connection *connection,
                                     struct weir_error **ret_error);
/** Undoes the innermost savepoint or the transaction. */
WEIR_API int weir_transaction_rollback(struct weir_connection *connection,
                                       struct weir_error **ret_error);
/** How many are open: 0 none, 1 a transaction, more: savepoints in it. */
WEIR_API int weir_transaction_depth(struct weir_connection *connection);

/** The work. 0 commits. Anything else rolls back; a category with *ret_error set as the calls of
 * libweir do (so that what they return can be passed on) is tried again if it is a serialization
 * failure or a deadlock, and is never tried again otherwise. Must bear being called again. */
typedef int (*weir_transaction_fn)(void *userdata, struct weir_connection *connection,
                                   struct weir_error **ret_error);

/** Acquires, begins, does the work, commits, releases; after a serialization failure or a deadlock
 * (in the work or at COMMIT) all of it again, after a jittered back-off, up to attempts_max. Never
 * after any other error, and never when COMMIT's outcome is unknown. Every attempt's acquire has
 * @acquire's own deadline. */
WEIR_API int weir_transaction_run(struct weir_pool *pool, const struct weir_acquire_opts *acquire,
                                  const struct weir_transaction_opts *opts,
                                  weir_transaction_fn work, void *userdata,
                                  struct weir_error **ret_error);

#ifdef __cplusplus
}
#endif

#endif
