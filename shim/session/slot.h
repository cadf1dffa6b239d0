/* One place in a pool, with the connection in it. Slots are never freed while their pool lives, so
 * that a stale handle or index always leads to a slot.
 *
 * A handle (struct weir_connection *) points to one of the slot's leases: which one tells the lease
 * that it was given out for, so that a handle used after its release is known for what it is, until
 * the slot was leased LEASES times more. */
#pragma once

#include <assert.h>
#include <libpq-fe.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "include/weir/pool.h"
#include "include/weir/probe.h"
#include "shim/session/crew.h"
#include "shim/session/newest.h"

enum {
    SLOT_ALIGN = 2048,
    LEASES = 256,
    SLOT_NONE = 0xffff,
    SLOTS_MAX = 4096, /* connections of one pool */
    HOLD_SAMPLE = 16, /* of so many holds one is timed for sizing; a power of two */
    SETTINGS_MAX = 16,
};

struct prepared_cache; /* prepared.h: of the connection; made at its first use */
struct busy;           /* exchange.h */
struct server_cancel;  /* cancel.h */
struct tenant;         /* queue.h */
struct waiter;

enum { HOLDER_WORDS = 8 }; /* of 8 bytes: a text's room */

/* Who holds the connection: for leaks, drains and the log. Written by the holder before the lease
 * is his, read by others with the lease number before and after; every word atomic (relaxed). */
struct holder {
    _Atomic uintptr_t caller;  /* where weir_pool_acquire was called from */
    _Atomic uint32_t thread;   /* the kernel's id */
    _Atomic uint32_t is_named; /* the texts below say something */
    _Atomic uint64_t call_site[HOLDER_WORDS], tenant[HOLDER_WORDS], traceparent[HOLDER_WORDS];
};

/* What the statements of this hold did to the session, to be undone on release. */
enum change {
    CHANGED_SETTINGS = 1u << 0,
    CHANGED_LISTEN = 1u << 1,
    CHANGED_PREPARED = 1u << 2, /* SQL PREPARE: the cache's own are not meant */
    CHANGED_TEMPORARY = 1u << 3,
    CHANGED_LOCKS = 1u << 4, /* advisory ones */
    CHANGED_CURSORS = 1u << 5,
    CHANGED_ROLE = 1u << 6,    /* SET ROLE, SET SESSION AUTHORIZATION */
    CHANGED_UNKNOWN = 1u << 7, /* the PGconn was used directly */
};

/* Where a slot stands. Changed under the pool's mutex; idle or used is the lease's matter. */
enum slot_place {
    SLOT_EMPTY = 0,
    SLOT_OPEN,
    SLOT_ERRAND, /* a thread of the crew has it */
};

/* What a thread of the crew does with a slot that is its own meanwhile: errand.h. */
enum errand_kind {
    ERRAND_CONNECT = 1,
    ERRAND_READY, /* for its waiter: ask it, apply settings, before_acquire */
    ERRAND_CHECK, /* in the background */
    ERRAND_RESET, /* after a release */
    ERRAND_CLOSE,
};

struct errand {
    struct crew_job job;
    enum errand_kind kind;
    uint64_t deadline_ns; /* then the slot is given up: it is closed when the errand returns */
    bool is_submitted;    /* else the keeper tries again */
    bool is_abandoned;
    bool wants_ping; /* READY: a round trip, not only a look */
    char *settings;  /* READY: pairs of texts, each with its NUL, an empty name at the end */
};

struct slot {
    alignas(SLOT_ALIGN) struct weir_pool *pool;
    uint16_t index;
    _Atomic uint32_t place; /* enum slot_place */
    struct errand errand;
    struct waiter *waiter;        /* under the mutex: whom the errand READY is for */
    _Atomic uint16_t next_idle;   /* while idle: gate.h */
    _Atomic uint64_t lease;       /* even: not held; odd: held by the handle of this number / 2 */
    _Atomic uint32_t is_doubtful; /* to be looked at before it is handed out */
    _Atomic uint32_t epoch;       /* of the pool, when it was last found good */
    uint32_t evict_epoch;         /* of the pool, when it was opened */

    /* the connection: NULL and -1 while there is none */
    PGconn *conn;
    struct server_cancel *cancel; /* cancel.h */
    _Atomic int fd;
    _Atomic uint32_t backend_pid;
    struct weir_probe_connection *probe;
    struct prepared_cache *prepared;
    uint64_t opened_ns, expires_ns; /* CLOCK_MONOTONIC */

    /* the hold: the holder's own words */
    struct holder holder;
    struct tenant *tenant;  /* NULL: tenants are not counted */
    uint32_t changes;       /* enum change */
    uint16_t depth;         /* of transactions begun through weir_transaction_begin */
    bool is_blocking;       /* libpq's mode; false: non-blocking, as statements want it */
    bool is_lost;           /* the connection is gone or not to be used again */
    bool has_settings;      /* of its acquire: undone by the reset */
    bool was_first_sent;    /* the hold's first statement was sent: wait_ns is told */
    bool is_in_transaction; /* as the probe was told */
    uint16_t listens;       /* LISTENs less UNLISTENs */
    struct busy *busy_with; /* the stream, pipeline, COPY or execution that is open, or NULL */
    uint64_t wait_ns;       /* of its acquire */
    _Atomic uint64_t statement_since_ns; /* a statement runs since; 0: none */
    struct newest newest;                /* its text */

    /* the keeper's own words */
    uint64_t lease_seen;
    uint64_t lease_seen_ns;
    bool is_leak_told;
    uint64_t checked_ns; /* last asked, or opened */

    _Atomic uint64_t sampled_ns; /* when the hold began, of one in HOLD_SAMPLE; else 0 */

    unsigned char leases[LEASES];
};

static_assert(sizeof(struct slot) <= SLOT_ALIGN, "a handle leads to its slot by masking");

static inline struct slot *slot_of_handle(const struct weir_connection *handle)
{
    return (struct slot *)((uintptr_t)handle & ~(uintptr_t)(SLOT_ALIGN - 1));
}

static inline struct weir_connection *slot_handle(struct slot *slot, uint64_t lease)
{
    return (struct weir_connection *)(void *)&slot->leases[lease / 2 % LEASES];
}

/* The slot that @handle holds; NULL: it does not (any more), which is reported, counted as misuse
 * and put into @ret_error (may be NULL) as WEIR_ERROR_USAGE. @doing: "weir_execute", … */
struct slot *slot_held(const struct weir_connection *handle, const char *doing,
                       struct weir_error **ret_error);

/* The normalized text of the newest statement of the hold, for reports; NULL: none, or no memory.
 * The caller frees it. Any thread. */
char *slot_statement(const struct slot *slot);

/* The connection was lost in mid-use or cannot be trusted: closed on release. The pool's other
 * connections are doubted if @is_lost says that the server went away. */
void slot_lose(struct slot *slot, bool is_server_lost);
