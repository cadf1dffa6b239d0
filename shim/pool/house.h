/* The pool and the manager inside: what the core of this folder shares. Locks, in this order:
 * registry, manager, canceller, pool, crew. Nothing waits for the network with one held. */
#pragma once

#include <pthread.h>

#include "base/clock.h"
#include "include/weir/manager.h"
#include "shim/pool/gate.h"
#include "shim/pool/queue.h"
#include "shim/pool/sizing.h"
#include "shim/pool/target.h"
#include "shim/session/failure.h"
#include "shim/session/holder.h"
#include "shim/session/pool.h"

/* What the server says of itself; -1 unknown. */
struct server_limits {
    int32_t connections_max, reserved, role_max, database_max;
};

/* Attempts to connect: so many at once and a second, with back-off. */
struct attempts {
    uint32_t running;
    uint32_t stuck;                /* given up, and not returned yet */
    uint32_t failures;             /* in a row */
    uint64_t not_before_ns;        /* back-off */
    double tokens;                 /* of the rate limit */
    uint64_t tokens_ns;            /* when they were counted last */
    struct weir_error *last_error; /* since the newest success */
    bool is_permanent;             /* it would fail the same way again */
};

/* Why the fast way is shut: GATE_RULED is set while any of these is. */
enum rule {
    RULE_TENANTS = 1u << 0,
    RULE_HOOK = 1u << 1, /* before_acquire */
    RULE_SUSPENDED = 1u << 2,
    RULE_DRAINING = 1u << 3,
};

struct pool_counters {
    _Atomic uint64_t timeouts, refused, shed, cancelled, failed, connected, connect_failures,
        closed, validations_failed, rolled_back, leaked, misused, reset;
};

struct weir_pool {
    struct gate gate;
    alignas(64) _Atomic uint32_t epoch; /* raised: each connection is to be looked at before use */
    const struct probe_table *table;
    struct weir_probe_pool *probe;
    struct options options;
    struct weir_manager *manager;
    _Atomic(struct target *) target; /* the newest */
    _Atomic uint32_t references;
    _Atomic uint32_t used_seen; /* by the keeper's last look */
    struct pool_counters counters;

    alignas(64) pthread_mutex_t mutex; /* guards what follows */
    struct queue queue;
    struct waiter *told, **told_last; /* whom pool_unlock() tells that they are over */
    uint32_t rules;                   /* enum rule */
    uint16_t slots_free;              /* list through next_idle */
    uint16_t slots_made;              /* slots[0 … slots_made) exist */
    uint32_t total;                   /* connections that count against the maximum */
    uint32_t errands;                 /* under way; the pool's memory stays meanwhile */
    uint32_t visits;                  /* by manager_next_pool(); it stays for them too */
    uint32_t evict_epoch;
    struct attempts attempts;
    struct server_limits limits;
    bool is_limits_asked, is_closed;
    uint64_t connect_due_ns; /* pool_unlock() has the keeper look then; UINT64_MAX: need not */
    bool is_of_file;         /* the manager holds a reference; the manager's matter */
    double release_rate;     /* a second, while requests wait; 0: not known */
    uint64_t release_rate_ns, release_rate_releases;
    struct weir_pool *next; /* of the manager's: under the manager's mutex */

    pthread_mutex_t sizing_mutex;
    struct sizing sizing;
    struct slot *slots[SLOTS_MAX];
};

struct weir_manager {
    pthread_mutex_t mutex;  /* guards what follows; also the keeper's */
    pthread_cond_t wake;    /* the keeper */
    pthread_cond_t drained; /* some pool has one connection or errand less, while draining */
    struct weir_pool *pools;
    uint64_t wake_ns; /* the keeper's next look */
    _Atomic bool has_keeper, is_ending;
    bool is_draining;
    pthread_t keeper;
    struct crew crew;
    _Atomic uint32_t references; /* the callers' */
    _Atomic uint32_t lives;      /* manager_stay() */
    char *file, *service_name;
    weir_log_fn log;
    void *log_userdata;
    void *hook_userdata; /* hooks of the pools that the file opens */
    weir_before_connect_fn before_connect;
    weir_connection_hook_fn after_connect, before_acquire, after_release;
    struct weir_manager *next; /* of the registry */
};

/* ---- pool.c: all under the pool's mutex ------------------------------------------------------ */

/* Serves who can be served, tells the gate whether somebody waits, and opens connections that are
 * wanted. After every change of what is idle, waiting or allowed. */
void pool_settle(struct weir_pool *pool);
/* An open slot that nobody has: to the next waiter, to the stack, or closed if it is not wanted. */
void pool_give(struct weir_pool *pool, struct slot *slot);
/* Takes an open slot out of the pool and closes its connection. */
void pool_close_slot(struct weir_pool *pool, struct slot *slot);
/* It is nobody's any more: its tenant holds one less. */
void pool_leave_tenant(struct slot *slot);
/* An empty slot goes back to the list of free ones. */
void pool_free_slot(struct weir_pool *pool, struct slot *slot);
/* Closes what is idle; of a pool that is draining. */
void pool_close_idle(struct weir_pool *pool);
/* Fails every request that waits with copies of @error. */
void pool_fail_waiters(struct weir_pool *pool, const struct weir_error *error);
void pool_rule(struct weir_pool *pool, enum rule rule, bool is_on);
struct queue_rule pool_queue_rule(const struct weir_pool *pool);
/* The server may have gone: every connection is looked at before it is handed out again. */
void pool_doubt(struct weir_pool *pool);
/* Ends an empty pool that is closed; unlocks it. */
void pool_unlock_maybe_free(struct weir_pool *pool);
/* The same for one that may be closed, so that no keeper tries again to find a thread for it: what
 * has found none is done here. */
void pool_unlock_closing(struct weir_pool *pool);
/* A visit of manager_next_pool() is over. Without the mutex. */
void pool_leave(struct weir_pool *pool);
void pool_count(_Atomic uint64_t *counter);
/* New connections go where @conninfo says; what is open is replaced. Without the mutex. */
int pool_retarget(struct weir_pool *pool, const char *conninfo, struct weir_error **ret_error);

static inline const struct target *pool_target_now(const struct weir_pool *pool)
{
    return atomic_load_explicit(&pool->target, memory_order_acquire);
}

void pool_lock(struct weir_pool *pool);
void pool_unlock(struct weir_pool *pool);

/* ---- waiter.c -------------------------------------------------------------------------------- */

/* Without the mutex: each of the list learns that it is over, and is nobody else's any more. */
void waiters_tell(struct waiter *told);
/* Under the pool's mutex: */
void waiter_grant(struct waiter *waiter);
void waiter_fail(struct waiter *waiter, struct weir_error *error); /* takes @error over */
/* Still queued, or its errand under way: takes it out. False: it was granted or failed before. */
bool waiter_withdraw(struct waiter *waiter);

/* ---- errand.c: under the pool's mutex -------------------------------------------------------- */

void errand_start(struct slot *slot, enum errand_kind kind, uint64_t deadline_ns);
/* Tries again to find a thread. */
void errand_submit(struct slot *slot);
/* Runs those that found no thread, of a pool that no keeper looks after. Without the mutex, on a
 * visit. */
void errand_run_leftovers(struct weir_pool *pool);
/* It takes too long: its slot no longer counts. */
void errand_abandon(struct slot *slot);

/* ---- connect.c ------------------------------------------------------------------------------- */

/* Opens a connection in @slot, on a thread of the crew. */
int connect_run(struct slot *slot, uint64_t deadline_ns, struct weir_error **ret_error);
/* Ends the connection in @slot, if there is one. */
void connect_close(struct slot *slot, enum weir_failure why);
/* Under the mutex: as many attempts as are wanted and allowed now; the keeper begins the others. */
void connect_grow(struct weir_pool *pool, uint64_t now_ns);
/* Under the mutex: an attempt ended. Takes @error over. */
void connect_ended(struct weir_pool *pool, struct weir_error *error, uint64_t now_ns);

/* ---- keeper.c -------------------------------------------------------------------------------- */

/* Starts the manager's keeper if it does not run. Under the manager's mutex. */
int keeper_start(struct weir_manager *manager);
/* In a forked child it does not run until it is needed. */
void keeper_ensure(struct weir_manager *manager);
void keeper_stop(struct weir_manager *manager);
/* It is to look at @ns at the latest. Takes the manager's mutex: not with a pool's held. */
void keeper_wake(struct weir_manager *manager, uint64_t ns);

/* A hold begins: one in HOLD_SAMPLE is timed. By its holder. */
static inline void hold_sample(struct slot *slot)
{
    uint64_t lease = atomic_load_explicit(&slot->lease, memory_order_relaxed);

    if (__builtin_expect(!(lease / 2 % HOLD_SAMPLE), 0))
        atomic_store_explicit(&slot->sampled_ns, clock_monotonic_ns(), memory_order_relaxed);
}

/* ---- others ---------------------------------------------------------------------------------- */

void limits_ask(struct slot *slot, uint64_t deadline_ns);

/* manager.c */
int manager_add_pool(struct weir_manager *manager, struct weir_pool *pool,
                     struct weir_error **ret_error);
void manager_remove_pool(struct weir_manager *manager, struct weir_pool *pool);
void manager_tell_drained(struct weir_manager *manager);
/* Its memory stays until as many have left as stayed: the callers' references (one for all), the
 * pools, and whoever needs it beyond his pool. */
void manager_stay(struct weir_manager *manager);
void manager_leave(struct weir_manager *manager);
/* The pool behind @pool (NULL: the first) in the manager's list; NULL: none. A visit is no
 * reference, so that whoever gives the last one up has closed the pool; it ends by pool_leave(). */
struct weir_pool *manager_next_pool(struct weir_manager *manager, const struct weir_pool *pool);

/* registry.c: all managers of the process, for fork. */
void registry_add(struct weir_manager *manager);
void registry_remove(struct weir_manager *manager);

/* reload.c: opens what the manager's file says; lets go of what it opened. */
int manager_load(struct weir_manager *manager, struct weir_error **ret_error);
void manager_unload(struct weir_manager *manager);

/* In a forked child: the pool has no connection, no request and no errand; sockets of the parent
 * are out of reach. */
void pool_fork_child(struct weir_pool *pool);
