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
#include "shim/pool/newest.h"

enum {
    SLOT_ALIGN = 2048,
    LEASES = 256,
    SLOT_NONE = 0xffff,
    SLOTS_MAX = 4096, /* connections of one pool */
    TENANT_TEXT_MAX = 64,
    SETTINGS_MAX = 16,
};

struct prepared_cache; /* prepared.h: of the connection; made at its first use */
struct busy;           /* exchange.h */
struct tenant;         /* tenants.h */

/* Who holds the connection: for leaks, drains and the log. Written by the holder while it acquires,
 * read by others with a lease number before and after. */
struct holder {
    const void *caller; /* where weir_pool_acquire was called from; NULL: named */
    char call_site[64]; /* as named, "" if not */
    char tenant[TENANT_TEXT_MAX];
    uint32_t thread; /* the kernel's id */
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

struct slot {
    alignas(SLOT_ALIGN) struct weir_pool *pool;
    uint16_t index;
    _Atomic uint16_t next_idle;   /* while idle: gate.h */
    _Atomic uint32_t lease;       /* even: not held; odd: held by the handle of this number / 2 */
    _Atomic uint32_t is_doubtful; /* to be looked at before it is handed out */
    uint32_t epoch;               /* of the pool, when it was last found good */

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
    struct tenant *tenant; /* NULL: tenants are not counted */
    uint32_t changes;      /* enum change */
    uint16_t depth;        /* of transactions begun through weir_transaction_begin */
    bool is_blocking;      /* libpq's mode; false: non-blocking, as statements want it */
    bool is_lost;          /* the connection is gone or not to be used again */
    bool has_settings;     /* of its acquire: undone by the reset */
    bool was_first_sent;   /* the hold's first statement was sent: wait_ns is told */
    bool is_in_transaction; /* as the probe was told */
    uint16_t listens;       /* LISTENs less UNLISTENs */
    struct busy *busy_with; /* the stream, pipeline, COPY or execution that is open, or NULL */
    uint64_t wait_ns;      /* of its acquire */
    _Atomic uint64_t statement_since_ns; /* a statement runs since; 0: none */
    struct newest newest;                /* its text */
    _Atomic uint32_t is_cancelled;          /* the drain cancelled its statement */

    /* the keeper's own words */
    uint32_t lease_seen;
    uint64_t lease_seen_ns;
    bool is_leak_told;

    unsigned char leases[LEASES];
};

static_assert(sizeof(struct slot) <= SLOT_ALIGN, "a handle leads to its slot by masking");

static inline struct slot *slot_of_handle(const struct weir_connection *handle)
{
    return (struct slot *)((uintptr_t)handle & ~(uintptr_t)(SLOT_ALIGN - 1));
}

static inline struct weir_connection *slot_handle(struct slot *slot, uint32_t lease)
{
    return (struct weir_connection *)(void *)&slot->leases[lease / 2 % LEASES];
}

/* The slot that @handle holds; NULL: it does not (any more), which is reported, counted as misuse
 * and put into @ret_error (may be NULL) as WEIR_ERROR_USAGE. @doing: "weir_execute", … */
struct slot *slot_held(const struct weir_connection *handle, const char *doing,
                       struct weir_error **ret_error);

/* The connection was lost in mid-use or cannot be trusted: closed on release. The pool's other
 * connections are doubted if @is_lost says that the server went away. */
void slot_lose(struct slot *slot, bool is_server_lost);
