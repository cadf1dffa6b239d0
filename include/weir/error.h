/**
 * weir/error.h: what went wrong, for whom, and whether trying again can help.
 *
 * Every fallible call of libweir returns 0 or an enum weir_error_category, and fills its last
 * argument, a struct weir_error **, if that is not NULL: the caller then owns the error and ends it
 * with weir_error_free(). On success *ret_error is left alone. Texts of an error live as long as it
 * does. Server messages and details are for the caller alone; they never enter telemetry.
 *
 * Threads: an error belongs to one thread at a time.
 */
#ifndef WEIR_ERROR_H
#define WEIR_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#ifndef WEIR_API
#define WEIR_API __attribute__((visibility("default")))
#endif

struct weir_error;

/** Kinds of failure. Those from the server go by the SQLSTATE's class, some by its code: the table
 * in docs/POOL.md. */
enum weir_error_category {
    WEIR_OK = 0,

    /* from the pool */
    WEIR_ERROR_TIMEOUT = 1,        /**< a deadline passed: acquire, connect or statement */
    WEIR_ERROR_DRAINING = 2,       /**< the pool or manager hands out nothing any more */
    WEIR_ERROR_REFUSED = 3,        /**< at once, by a rule of the pool: see weir_error_refusal() */
    WEIR_ERROR_CANCELLED = 4,      /**< by the caller's canceller, or 57014 that was not ours */
    WEIR_ERROR_CONNECTION = 5,     /**< could not be made, or was lost (08, 57P01 to 57P03) */
    WEIR_ERROR_AUTHENTICATION = 6, /**< 28: the server does not let this role in */
    WEIR_ERROR_TOO_MANY_CONNECTIONS = 7, /**< 53300 */
    WEIR_ERROR_HOOK = 8,                 /**< a hook of the service failed */

    /* from the server */
    WEIR_ERROR_CONSTRAINT = 20,    /**< 23 */
    WEIR_ERROR_SERIALIZATION = 21, /**< 40001 */
    WEIR_ERROR_DEADLOCK = 22,      /**< 40P01 */
    WEIR_ERROR_SYNTAX = 23,        /**< 42 but for 42501: the statement is wrong for this schema */
    WEIR_ERROR_PERMISSION = 24,    /**< 42501, 25006 and their like */
    WEIR_ERROR_RESOURCE = 25,      /**< 53, 54: memory, disk, limits */
    WEIR_ERROR_DATA = 26,          /**< 22 and their like: a value is wrong */
    WEIR_ERROR_TRANSACTION = 27,   /**< 25, 2D, 3B, 40…: the transaction's state forbids it */
    WEIR_ERROR_LOCK = 28,          /**< 55P03, 55006: somebody else holds it */
    WEIR_ERROR_OBJECT = 29,        /**< 3D, 3F, 55…: database, schema or object not as needed */
    WEIR_ERROR_RAISED = 30,        /**< P0, 38, 39, 2F, 09: by a function, trigger or procedure */
    WEIR_ERROR_UNSUPPORTED = 31,   /**< 0A */
    WEIR_ERROR_SERVER = 32,        /**< XX, 58, F0 and all that is unknown */

    /* from the caller's side */
    WEIR_ERROR_COMMIT_UNKNOWN = 40, /**< lost between COMMIT and its answer: it may have happened */
    WEIR_ERROR_USAGE = 41,          /**< a wrong argument, option, or a handle that is not held */
    WEIR_ERROR_MEMORY = 42          /**< none left in this process */
};

/** Why the pool refused. */
enum weir_refusal {
    WEIR_REFUSAL_NONE = 0,
    WEIR_REFUSAL_SHED = 1,       /**< the predicted wait exceeds the deadline */
    WEIR_REFUSAL_QUEUE_FULL = 2, /**< as many wait as may wait */
    WEIR_REFUSAL_SUSPENDED = 3   /**< the pool is suspended and the caller does not wait */
};

/** NULL is accepted everywhere: WEIR_OK, 0, or "" where the error says nothing. */
WEIR_API enum weir_error_category weir_error_category(const struct weir_error *error);
/** "timeout", "constraint", …: stable, lower case, for logs and metrics. */
WEIR_API const char *weir_error_category_name(enum weir_error_category category);
/** Five characters, or "" if the server said nothing. */
WEIR_API const char *weir_error_sqlstate(const struct weir_error *error);
/** One line: what was wrong, where, and what to do. */
WEIR_API const char *weir_error_message(const struct weir_error *error);
/** The server's own texts, unchanged. */
WEIR_API const char *weir_error_detail(const struct weir_error *error);
WEIR_API const char *weir_error_hint(const struct weir_error *error);
WEIR_API const char *weir_error_constraint(const struct weir_error *error);
WEIR_API const char *weir_error_table(const struct weir_error *error);
WEIR_API const char *weir_error_column(const struct weir_error *error);
WEIR_API enum weir_refusal weir_error_refusal(const struct weir_error *error);
/** 1: the same work done again, from its transaction's beginning, may succeed. */
WEIR_API int weir_error_is_retryable(const struct weir_error *error);
/** 1: the connection that it happened on is still good. */
WEIR_API int weir_error_connection_survived(const struct weir_error *error);

/** Ends an error; NULL is fine. */
WEIR_API void weir_error_free(struct weir_error *error);

#ifdef __cplusplus
}
#endif

#endif
