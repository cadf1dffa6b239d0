/**
 * weir/manager.h: a registry of named pools, with the threads and the log that they share.
 *
 * One manager a process (weir_manager_default()), or as many as are made explicitly; nothing in
 * libweir needs the default one. Threads: any. Blocking: only weir_manager_drain() waits.
 */
#ifndef WEIR_MANAGER_H
#define WEIR_MANAGER_H

#include "weir/pool.h"

#ifdef __cplusplus
extern "C" {
#endif

enum weir_log_kind {
    WEIR_LOG_SLOW_STATEMENT = 1,
    WEIR_LOG_FAILED_STATEMENT = 2,
    WEIR_LOG_CONNECT_FAILED = 3,
    WEIR_LOG_CONNECTION_LOST = 4,
    WEIR_LOG_ROLLED_BACK = 5, /**< a transaction was open at release */
    WEIR_LOG_LEAK = 6,
    WEIR_LOG_MISUSE = 7,  /**< released twice, used after release */
    WEIR_LOG_TIMEOUT = 8, /**< an acquire that got none */
    WEIR_LOG_RELOAD = 9,
    WEIR_LOG_HOOK = 10
};

/** One thing worth telling. Texts live for the call; what is not known is "" or WEIR_UNKNOWN_NS.
 * Statement texts are normalized: no literal is in them. */
#define WEIR_UNKNOWN_NS UINT64_MAX
struct weir_log_entry {
    size_t size;
    enum weir_log_kind kind;
    uint64_t time_unix_ns;
    const char *pool;
    const char *message;   /**< one line, for people */
    const char *statement; /**< normalized text: the slow one, or the holder's last */
    uint64_t fingerprint;
    const char *call_site, *tenant, *traceparent;
    const char *sqlstate;
    uint32_t backend_pid;
    uint64_t thread; /**< the holder's kernel thread id */
    uint64_t duration_ns, wait_ns, first_byte_ns, rows;
    const char *parameters; /**< if opted in, by the rules: "$1 = …, $2 = #5f3a…" */
};
/** Called from any thread, several at a time; must return soon. */
typedef void (*weir_log_fn)(void *userdata, const struct weir_log_entry *entry);

struct weir_manager_opts {
    size_t size;
    const char *file;         /**< YAML with the pools' options; NULL: none */
    const char *service_name; /**< beaten by OTEL_SERVICE_NAME */
    weir_log_fn log;
    void *log_userdata;
    void *hook_userdata; /**< hooks of the pools that the file opens, as in struct weir_pool_opts */
    weir_before_connect_fn before_connect;
    weir_connection_hook_fn after_connect, before_acquire, after_release;
};

/** Makes a manager; with a file, its pools are open on return. @opts may be NULL. A bad file:
 * WEIR_ERROR_USAGE with file, line and field, and nothing is made. */
WEIR_API int weir_manager_new(const struct weir_manager_opts *opts,
                              struct weir_manager **ret_manager, struct weir_error **ret_error);
/** The process's own, made at first use; belongs to the process. NULL only if memory ran out. */
WEIR_API struct weir_manager *weir_manager_default(void);
WEIR_API struct weir_manager *weir_manager_ref(struct weir_manager *manager);
/** The last reference drains at once and ends everything. NULL is fine; returns NULL. */
WEIR_API struct weir_manager *weir_manager_unref(struct weir_manager *manager);

/** The open pool of that name; the caller owns a reference. Else WEIR_ERROR_USAGE. */
WEIR_API int weir_manager_pool(struct weir_manager *manager, const char *name,
                               struct weir_pool **ret_pool, struct weir_error **ret_error);

/** Reads the file again: changes limits and times of open pools, opens new ones, and replaces the
 * connections of those whose conninfo changed. A bad file changes nothing. Pools that are gone from
 * it stay open. */
WEIR_API int weir_manager_reload(struct weir_manager *manager, struct weir_error **ret_error);

struct weir_health {
    size_t size;
    int is_ready;     /**< 1: each pool could serve a request, as far as is known */
    char reason[256]; /**< why not; "" if ready */
};
/** For a readiness probe: no round trip, no waiting. */
WEIR_API void weir_manager_health(struct weir_manager *manager, struct weir_health *ret_health,
                                  size_t size);

/** A holder that did not finish in time. */
struct weir_drain_cut {
    const char *pool, *statement, *call_site, *tenant;
    uint64_t held_ns;
    uint32_t backend_pid;
    int was_executing; /**< 1: its statement was cancelled */
};
struct weir_drain_report;
/** Stops handing out (waiters fail as WEIR_ERROR_DRAINING), lets holders finish, at the deadline
 * cancels what still runs, closes every connection, and tells what was cut. The deadline is kept:
 * cancelling begins early enough, a tenth of it and at most a second before. 0 if nothing was cut,
 * else WEIR_ERROR_TIMEOUT. @ret_report may be NULL. The manager is of no further use. */
WEIR_API int weir_manager_drain(struct weir_manager *manager, int32_t timeout_ms,
                                struct weir_drain_report **ret_report);
WEIR_API size_t weir_drain_report_count(const struct weir_drain_report *report);
WEIR_API const struct weir_drain_cut *weir_drain_report_cut(const struct weir_drain_report *report,
                                                            size_t number);
WEIR_API void weir_drain_report_free(struct weir_drain_report *report);

#ifdef __cplusplus
}
#endif

#endif
