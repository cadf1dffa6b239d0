/**
 * weir/pool.h: a pool of PostgreSQL connections.
 *
 * Threads: pools may be used from any thread. A connection is used by one thread at a time.
 * Blocking: weir_pool_acquire() waits up to its deadline; weir_connection_release() never waits
 * for the network: what has to be undone on the server is done by a thread of the manager.
 * Fork: a child's pools are empty and work; connections held at fork() belong to the parent, and
 * the child's handles of them are refused as WEIR_ERROR_USAGE.
 *
 * Order: requests are served first come, first served. A released connection goes to the first
 * waiter directly; nobody overtakes. With a share limit for tenants or with tenant fairness the
 * waiting tenant that holds least comes first, and within a tenant the first come.
 */
#ifndef WEIR_POOL_H
#define WEIR_POOL_H

#include <libpq-fe.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct weir_manager;
struct weir_pool;
struct weir_connection;

/** A time that never comes, where an option allows it. */
#define WEIR_NEVER INT32_MAX

/** What release does to the session's state before the next holder has it. */
enum weir_reset {
    WEIR_RESET_CHANGED = 0, /**< undoes what statements sent through libweir may have changed (SET,
                               LISTEN, PREPARE, temporary tables, advisory locks, cursors); no round
                               trip if nothing. After direct use of the PGconn: as ALL */
    WEIR_RESET_ALL = 1,     /**< DISCARD ALL, each time */
    WEIR_RESET_LIST = 2,    /**< reset_statements, each time */
    WEIR_RESET_NOTHING = 3  /**< only an open transaction is rolled back */
};

/** What a hook may do with a connection. It has until deadline_ns of CLOCK_MONOTONIC: later its
 * result is not waited for, and the connection is closed when it returns. */
struct weir_hook {
    size_t size;
    struct weir_pool *pool;
    uint64_t deadline_ns;
    PGconn *connection; /**< NULL in before_connect */
};

/** What before_connect may replace for one attempt; texts are copied on return. */
struct weir_connect_params {
    size_t size;
    char host[256], port[16], user[128], password[1024];
};

/** Hooks run on threads of the manager, several at a time. 0 goes on; else the attempt or the
 * acquire fails as WEIR_ERROR_HOOK, or the released connection is closed. */
typedef int (*weir_before_connect_fn)(void *userdata, const struct weir_hook *hook,
                                      struct weir_connect_params *params);
typedef int (*weir_connection_hook_fn)(void *userdata, const struct weir_hook *hook);

/** Where parameters may be logged, and how. Rules and WEIR_PARAMETERS bound it. */
enum weir_parameters {
    WEIR_PARAMETERS_OFF = 0,
    WEIR_PARAMETERS_HASHED = 1,  /**< a keyed hash of each value: equal values look equal */
    WEIR_PARAMETERS_REDACTED = 2 /**< the value, but for those that a rule names: hashed */
};

/** Options of a pool. Begin with weir_pool_opts_init(), which fills in the defaults; texts are
 * copied by the call that takes them. Times are milliseconds and at least 1. Defaults and ranges,
 * and what the manager's file and the environment (WEIR_POOL_ACQUIRE_TIMEOUT=5s,
 * WEIR_POOL_<NAME>_CONNECTIONS_MAX=8) may say instead: docs/CONFIGURATION.md. */
struct weir_pool_opts {
    size_t size;
    const char *name;     /**< short and stable; letters, digits, '-', '_', '.' */
    const char *conninfo; /**< URI or keyword=value; several hosts and target_session_attrs too */

    int32_t connections_min, connections_max;
    int32_t acquire_timeout_ms;
    int32_t connect_timeout_ms; /**< one attempt, hooks and name resolution included */
    int32_t idle_timeout_ms;    /**< closed after so long unused, down to the minimum */
    int32_t lifetime_ms;        /**< replaced after so long, but for … */
    int32_t lifetime_jitter;    /**< … up to so many percent less, at random */
    int32_t validate_after_ms;  /**< unused for so long: asked before it is handed out */
    int32_t validate_every_ms;  /**< idle ones are asked in the background */
    int32_t validate_timeout_ms;
    int32_t reset_timeout_ms;     /**< for all that release has to undo */
    int32_t leak_after_ms;        /**< held for longer: reported as leaked, once */
    int32_t statement_timeout_ms; /**< default deadline of a statement: cancelled on the server */
    int32_t slow_statement_ms;    /**< logged from so long on */
    int32_t connects_max;         /**< attempts at once */
    int32_t connect_rate_max;     /**< attempts a second */
    int32_t backoff_min_ms, backoff_max_ms; /**< after failed attempts, doubling, half at random */
    int32_t waiters_max;                    /**< more are refused: WEIR_REFUSAL_QUEUE_FULL */
    int32_t prepared_max;     /**< prepared statements kept on a connection; 0: none */
    int32_t tenant_share;     /**< percent of connections_max that one tenant may hold; 100 */
    int32_t tenant_fairness;  /**< 1: the waiting tenant that holds least comes first */
    int32_t shedding;         /**< 1: refuse at once who would wait past his deadline */
    int32_t learn_server;     /**< 1: ask the server for its limits, once */
    int32_t application_name; /**< 1: set to service/pod/pool */
    int32_t reset;            /**< enum weir_reset */
    int32_t parameters;       /**< enum weir_parameters, for statements that do not choose */

    const char *reset_statements; /**< WEIR_RESET_LIST: one string, `;` between statements */
    const char *redact;           /**< words, ',' between: a parameter is redacted if the column or
                                     parameter name that it is compared with or inserted into contains one */

    void *hook_userdata;
    weir_before_connect_fn before_connect;  /**< host, user, password of this attempt */
    weir_connection_hook_fn after_connect;  /**< a new connection, before anybody has it */
    weir_connection_hook_fn before_acquire; /**< costs a switch of threads for each acquire */
    weir_connection_hook_fn after_release;
};

WEIR_API void weir_pool_opts_init(struct weir_pool_opts *opts, size_t size);

/** Opens a pool in @manager (weir_manager_default() for the process's own). Does not wait for a
 * connection. A name that is open already, or an impossible option: WEIR_ERROR_USAGE, naming it.
 * The caller owns a reference: weir_pool_unref(). */
WEIR_API int weir_pool_open(struct weir_manager *manager, const struct weir_pool_opts *opts,
                            struct weir_pool **ret_pool, struct weir_error **ret_error);
WEIR_API struct weir_pool *weir_pool_ref(struct weir_pool *pool);
/** The last reference, the manager's own included, closes the pool. NULL is fine; returns NULL. */
WEIR_API struct weir_pool *weir_pool_unref(struct weir_pool *pool);
WEIR_API const char *weir_pool_name(const struct weir_pool *pool);

/* ---- acquire and release --------------------------------------------------------------------- */

/** A setting of the session for as long as a connection is held: set_config(name, value). */
struct weir_setting {
    const char *name, *value;
};

struct weir_canceller;
WEIR_API struct weir_canceller *weir_canceller_new(void);
/** Ends each acquire that waits with it, now and later, as WEIR_ERROR_CANCELLED. Any thread. */
WEIR_API void weir_canceller_cancel(struct weir_canceller *canceller);
WEIR_API void weir_canceller_free(struct weir_canceller *canceller);

struct weir_acquire_opts {
    size_t size;
    int32_t timeout_ms;                   /**< 0: the pool's; -1: do not wait */
    const char *tenant;                   /**< whose request it is */
    const char *traceparent, *tracestate; /**< W3C; NULL: the thread's (weir_probe_trace_set) */
    const char *call_site;                /**< NULL: the caller's build-id and offset */
    const struct weir_setting *settings;  /**< set before it is handed out, undone on release */
    size_t settings_count;
    struct weir_canceller *canceller;
};

/** Takes a connection, waiting up to the deadline. @opts may be NULL. On failure: TIMEOUT,
 * DRAINING, REFUSED, CANCELLED, CONNECTION, AUTHENTICATION, TOO_MANY_CONNECTIONS, HOOK. Never
 * returns later than 50 ms after its deadline. */
WEIR_API int weir_pool_acquire(struct weir_pool *pool, const struct weir_acquire_opts *opts,
                               struct weir_connection **ret_connection,
                               struct weir_error **ret_error);

/** Gives it back; never waits. An open transaction is rolled back and reported. A connection that
 * is not held (released before): WEIR_ERROR_USAGE, reported to the log, and nothing is harmed. */
WEIR_API int weir_connection_release(struct weir_connection *connection);

/** libpq's own connection, for anything that libweir does not do. NULL if it is not held. Valid
 * until release; must not be closed. It is in blocking mode. */
WEIR_API PGconn *weir_connection_pgconn(struct weir_connection *connection);
/** The server process that it is connected to; 0 if it is not held. */
WEIR_API uint32_t weir_connection_backend_pid(const struct weir_connection *connection);
/** Marks it as not to be used again: closed on release. */
WEIR_API void weir_connection_discard(struct weir_connection *connection);

/* ---- without blocking ------------------------------------------------------------------------ */

/** A request under way, for event loops. */
struct weir_acquire;
/** Begins; never waits. Each successful call is ended by a step that says no more WEIR_PENDING, or
 * by weir_acquire_cancel(). */
WEIR_API int weir_acquire_start(struct weir_pool *pool, const struct weir_acquire_opts *opts,
                                struct weir_acquire **ret_acquire, struct weir_error **ret_error);
/** Readable when a step can go on, at the latest at the deadline. Belongs to the request. */
WEIR_API int weir_acquire_fd(const struct weir_acquire *acquire);
#define WEIR_PENDING (-1)
/** WEIR_PENDING, or as weir_pool_acquire(), and @acquire is gone. */
WEIR_API int weir_acquire_step(struct weir_acquire *acquire,
                               struct weir_connection **ret_connection,
                               struct weir_error **ret_error);
WEIR_API void weir_acquire_cancel(struct weir_acquire *acquire);

/* ---- while it runs --------------------------------------------------------------------------- */

/** Changes limits and times; name, conninfo and hooks stay. Takes effect at once. */
WEIR_API int weir_pool_reconfigure(struct weir_pool *pool, const struct weir_pool_opts *opts,
                                   struct weir_error **ret_error);
/** The options in force; texts live as long as the pool. */
WEIR_API void weir_pool_opts_get(struct weir_pool *pool, struct weir_pool_opts *ret_opts,
                                 size_t size);
/** Replaces all connections: idle ones now, used ones on release. */
WEIR_API void weir_pool_evict(struct weir_pool *pool);
/** Hands out nothing until resume; requests wait for it up to their deadlines. */
WEIR_API void weir_pool_suspend(struct weir_pool *pool);
WEIR_API void weir_pool_resume(struct weir_pool *pool);

struct weir_pool_stats {
    size_t size;
    uint32_t used, idle, connecting, waiting;
    uint64_t acquired, timeouts, refused, shed, cancelled, failed; /**< acquires, by their ends */
    uint64_t connected, connect_failures, closed, validations_failed;
    uint64_t rolled_back, leaked, misused; /**< at release; held too long; not held when used */
    uint64_t reset;                        /**< sessions that needed undoing on release */
};
WEIR_API void weir_pool_stats_get(struct weir_pool *pool, struct weir_pool_stats *ret_stats,
                                  size_t size);

/** How large the pool should be, from what was measured since it was opened or last asked with
 * weir_pool_advice_restart(). Model: an M/G/c queue, waiting by Allen and Cunneen's approximation
 * (Erlang C times half the sum of squared variations). */
enum weir_advice_doubt {
    WEIR_ADVICE_FEW = 1u << 0,       /**< too few acquires to tell */
    WEIR_ADVICE_SATURATED = 1u << 1, /**< mostly dry: what was asked for is larger than measured */
    WEIR_ADVICE_SLOWS = 1u << 2, /**< holds grow with concurrency: more connections slow all down */
    WEIR_ADVICE_BURSTS = 1u << 3, /**< arrivals come in bursts: the mean says little */
    WEIR_ADVICE_SERVER = 1u << 4  /**< the server would not allow it */
};

struct weir_pool_advice {
    size_t size;
    int32_t connections_max, connections_min; /**< what they should be; 0: cannot tell */
    double confidence;                        /**< 0 to 1 */
    uint32_t doubts;                          /**< enum weir_advice_doubt */
    double arrivals_per_second;
    double hold_mean_seconds, hold_variation; /**< standard deviation over mean */
    double utilization;                       /**< at the present maximum */
    double wait_p99_seconds;                  /**< predicted with the advised maximum */
    uint64_t acquires;                        /**< measured */
    /* what the server allows; -1 unknown */
    int32_t server_connections_max, server_reserved, role_connections_max, database_connections_max;
    int32_t pools_connections_max; /**< sum over this manager's pools at the same server */
    char text[256];                /**< all this in one sentence */
};
WEIR_API int weir_pool_advice(struct weir_pool *pool, struct weir_pool_advice *ret_advice,
                              size_t size);
WEIR_API void weir_pool_advice_restart(struct weir_pool *pool);

#ifdef __cplusplus
}
#endif

#endif
