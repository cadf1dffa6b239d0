#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "shim/pool/house.h"

void pool_lock(struct weir_pool *pool)
{
    (void)pthread_mutex_lock(&pool->mutex); /* never taken twice: cannot fail */
}

void pool_unlock(struct weir_pool *pool)
{
    struct weir_manager *manager = pool->manager;
    struct waiter *told = STEAL(pool->told);
    uint64_t due_ns = pool->connect_due_ns;

    pool->told_last = &pool->told;
    pool->connect_due_ns = UINT64_MAX;
    (void)pthread_mutex_unlock(&pool->mutex);
    waiters_tell(told);
    if (due_ns != UINT64_MAX)
        keeper_wake(manager, due_ns);
}

void pool_count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

const struct options *pool_options(const struct weir_pool *pool)
{
    return &pool->options;
}

struct crew *pool_crew(struct weir_pool *pool)
{
    return &pool->manager->crew;
}

const struct probe_table *pool_probe(const struct weir_pool *pool)
{
    return pool->table;
}

const char *weir_pool_name(const struct weir_pool *pool)
{
    return pool->options.name;
}

/* ---- slots ----------------------------------------------------------------------------------- */

void pool_free_slot(struct weir_pool *pool, struct slot *slot)
{
    atomic_store_explicit(&slot->place, SLOT_EMPTY, memory_order_relaxed);
    atomic_store_explicit(&slot->next_idle, pool->slots_free, memory_order_relaxed);
    pool->slots_free = slot->index;
}

void pool_leave_tenant(struct slot *slot)
{
    if (slot->tenant)
        slot->tenant->used--;
    slot->tenant = NULL;
}

/* Without serving anybody in its place yet. */
static void slot_close(struct weir_pool *pool, struct slot *slot)
{
    pool_leave_tenant(slot);
    pool->total--;
    if (slot->conn)
        pool_count(&pool->counters.closed);
    errand_start(slot, ERRAND_CLOSE, UINT64_MAX);
}

void pool_close_slot(struct weir_pool *pool, struct slot *slot)
{
    slot_close(pool, slot);
    pool_settle(pool);
}

static bool slot_is_over(const struct weir_pool *pool, const struct slot *slot)
{
    return slot->is_lost || slot->evict_epoch != pool->evict_epoch || pool->rules & RULE_DRAINING ||
           (slot->expires_ns != UINT64_MAX && clock_monotonic_ns() >= slot->expires_ns) ||
           pool->total > (uint32_t)OPTION_OF(&pool->options, connections_max);
}

void pool_give(struct weir_pool *pool, struct slot *slot)
{
    if (slot_is_over(pool, slot)) {
        pool_close_slot(pool, slot);
        return;
    }
    pool_leave_tenant(slot);
    (void)gate_push(&pool->gate, slot, true); /* with the mutex it never refuses */
    pool_settle(pool);
}

/* ---- serving --------------------------------------------------------------------------------- */

struct queue_rule pool_queue_rule(const struct weir_pool *pool)
{
    uint32_t percent = (uint32_t)OPTION_OF(&pool->options, tenant_share);
    uint32_t max = (uint32_t)OPTION_OF(&pool->options, connections_max);
    uint32_t share = percent >= 100 ? UINT32_MAX : max * percent / 100;

    return (struct queue_rule){
        .share = share ? share : 1,
        .is_fair = OPTION_OF(&pool->options, tenant_fairness),
    };
}

static void pool_serve(struct weir_pool *pool, struct waiter *waiter, struct slot *slot)
{
    uint32_t epoch = atomic_load_explicit(&pool->epoch, memory_order_relaxed);
    bool is_doubtful = atomic_load_explicit(&slot->epoch, memory_order_relaxed) != epoch ||
                       atomic_load_explicit(&slot->is_doubtful, memory_order_relaxed);

    queue_leave(&pool->queue, waiter);
    waiter->slot = slot;
    slot->tenant = waiter->tenant;
    if (slot->tenant)
        slot->tenant->used++;
    if (!is_doubtful && !waiter->settings && !pool->options.before_acquire) {
        waiter_grant(waiter);
        return;
    }
    atomic_store_explicit(&slot->epoch, epoch, memory_order_relaxed);
    waiter->phase = WAITER_SERVED;
    slot->waiter = waiter;
    slot->errand.wants_ping = is_doubtful;
    slot->errand.settings = STEAL(waiter->settings);
    errand_start(slot, ERRAND_READY, waiter->deadline_ns);
}

/* The next idle slot that is worth handing out. */
static struct slot *pool_pop(struct weir_pool *pool)
{
    struct slot *slot;

    while ((slot = gate_pop(&pool->gate, pool->slots, true)) && slot_is_over(pool, slot))
        slot_close(pool, slot);
    return slot;
}

void pool_close_idle(struct weir_pool *pool)
{
    (void)pool_pop(pool); /* all are over: closes each, and returns none */
}

void pool_settle(struct weir_pool *pool)
{
    struct queue_rule rule = pool_queue_rule(pool);
    bool is_shut = pool->rules & (RULE_SUSPENDED | RULE_DRAINING);
    struct waiter *waiter;
    struct slot *slot;

    do {
        while (!is_shut && (waiter = queue_next(&pool->queue, &rule)) && (slot = pool_pop(pool)))
            pool_serve(pool, waiter, slot);
        if (!pool->queue.waiting) {
            gate_clear(&pool->gate, GATE_WAITED);
            break;
        }
        /* Somebody may have put a slot onto the stack since: then serve again. With rules nobody
         * does so without the mutex. */
    } while (!gate_set(&pool->gate, GATE_WAITED, !pool->rules));
    connect_grow(pool, clock_monotonic_ns());
}

void pool_fail_waiters(struct weir_pool *pool, const struct weir_error *error)
{
    struct waiter *waiter;

    while ((waiter = queue_any(&pool->queue)))
        waiter_fail(waiter, failure_copy(error));
    /* Those as well for whom a connection is being made ready. */
    for (uint16_t i = 0; i < pool->slots_made; i++) {
        waiter = pool->slots[i]->waiter;
        if (waiter && waiter_withdraw(waiter))
            waiter_fail(waiter, failure_copy(error));
    }
    gate_clear(&pool->gate, GATE_WAITED);
}

void pool_rule(struct weir_pool *pool, enum rule rule, bool is_on)
{
    pool->rules = is_on ? pool->rules | rule : pool->rules & ~(uint32_t)rule;
    if (pool->rules)
        (void)gate_set(&pool->gate, GATE_RULED, false); /* refuses only with only_empty */
    else
        gate_clear(&pool->gate, GATE_RULED);
}

void pool_doubt(struct weir_pool *pool)
{
    atomic_fetch_add_explicit(&pool->epoch, 1, memory_order_acq_rel);
}

/* ---- opening and ending ---------------------------------------------------------------------- */

static void probe_opts(const struct options *options, struct weir_probe_pool_opts *ret)
{
    *ret = (struct weir_probe_pool_opts){
        .size = sizeof(*ret),
        .name = options->name,
        .connections_max = (uint32_t)OPTION_OF(options, connections_max),
        .connections_min = (uint32_t)OPTION_OF(options, connections_min),
        .idle_max = (uint32_t)OPTION_OF(options, connections_max),
        .idle_min = (uint32_t)OPTION_OF(options, connections_min),
        .flags = WEIR_PROBE_POOL_OBSERVES_ACQUIRE,
    };
}

static void pool_rules_of_options(struct weir_pool *pool)
{
    pool_rule(pool, RULE_TENANTS,
              OPTION_OF(&pool->options, tenant_share) < 100 ||
                  OPTION_OF(&pool->options, tenant_fairness));
    pool_rule(pool, RULE_HOOK, pool->options.before_acquire);
}

static struct weir_pool *pool_free(struct weir_pool *pool)
{
    if (!pool)
        return NULL;
    for (unsigned i = 0; i < pool->slots_made; i++)
        free(pool->slots[i]);
    queue_deinit(&pool->queue);
    weir_error_free(pool->attempts.last_error);
    if (pool->probe)
        pool->table->pool_close(pool->probe);
    options_deinit(&pool->options);
    target_free(atomic_load_explicit(&pool->target, memory_order_relaxed));
    (void)pthread_mutex_destroy(&pool->mutex);
    (void)pthread_mutex_destroy(&pool->sizing_mutex);
    free(pool);
    return NULL;
}

CLEANUP_DEFINE(struct weir_pool *, pool_freep, pool_free)

static int pool_new(struct weir_manager *manager, const struct weir_pool_opts *checked,
                    struct weir_pool **ret_pool, struct weir_error **ret_error)
{
    CLEANUP(pool_freep) struct weir_pool *pool = aligned_alloc(64, (sizeof(*pool) + 63) & ~63ul);
    struct weir_probe_pool_opts opts;
    struct target *target;
    int r;

    if (!pool)
        return failure_memory(ret_error);
    memset(pool, 0, sizeof(*pool));
    (void)pthread_mutex_init(&pool->mutex, NULL); /* cannot fail without attributes */
    (void)pthread_mutex_init(&pool->sizing_mutex, NULL);
    gate_init(&pool->gate);
    pool->told_last = &pool->told;
    pool->connect_due_ns = UINT64_MAX;
    pool->manager = manager;
    pool->slots_free = SLOT_NONE;
    pool->limits = (struct server_limits){-1, -1, -1, -1};
    atomic_init(&pool->references, 1);
    pool->table = probe_table();
    if (options_init(&pool->options, checked) < 0)
        return failure_memory(ret_error);
    r = target_new(pool->options.conninfo, &target, ret_error);
    if (r)
        return r;
    atomic_init(&pool->target, target);
    pool_rules_of_options(pool);
    probe_opts(&pool->options, &opts);
    pool->probe = pool->table->pool_open(&opts);
    sizing_start(&pool->sizing, clock_monotonic_ns(), 0);
    *ret_pool = STEAL(pool);
    return 0;
}

int weir_pool_open(struct weir_manager *manager, const struct weir_pool_opts *opts,
                   struct weir_pool **ret_pool, struct weir_error **ret_error)
{
    CLEANUP(pool_freep) struct weir_pool *pool = NULL;
    CLEANUP(freep) char *owned = NULL;
    struct weir_pool_opts checked, laid;
    int r;

    if (!manager || !opts || !ret_pool)
        return failure(ret_error, WEIR_ERROR_USAGE, "weir_pool_open: an argument is NULL");
    r = options_check(opts, &laid, ret_error);
    if (!r)
        r = options_add_environment(&laid, &owned, ret_error);
    if (!r)
        r = options_check(&laid, &checked, ret_error);
    if (!r)
        r = pool_new(manager, &checked, &pool, ret_error);
    if (!r)
        r = manager_add_pool(manager, pool, ret_error);
    if (r)
        return r;
    pool_lock(pool);
    pool_settle(pool);
    pool_unlock(pool);
    *ret_pool = STEAL(pool);
    return 0;
}

struct weir_pool *weir_pool_ref(struct weir_pool *pool)
{
    if (pool)
        atomic_fetch_add_explicit(&pool->references, 1, memory_order_relaxed);
    return pool;
}

/* Under the mutex: no request, no idle connection; used ones are closed when they come back. */
static void pool_shut(struct weir_pool *pool)
{
    struct weir_error *error = NULL;

    (void)failure(&error, WEIR_ERROR_DRAINING, "pool %s: it is closed", pool->options.name);
    pool->is_closed = true;
    pool_rule(pool, RULE_DRAINING, true);
    pool_fail_waiters(pool, error);
    weir_error_free(error);
    pool_close_idle(pool);
}

void pool_unlock_maybe_free(struct weir_pool *pool)
{
    struct weir_manager *manager = pool->manager;
    bool is_over = pool->is_closed && !pool->total && !pool->errands && !pool->visits;
    bool is_draining = pool->rules & RULE_DRAINING;

    manager_stay(manager); /* the pool, for whose sake it is there, may be gone once unlocked */
    pool_unlock(pool);
    if (is_over) {
        pool_free(pool);
        manager_leave(manager);
    }
    if (is_draining)
        manager_tell_drained(manager);
    manager_leave(manager);
}

void pool_leave(struct weir_pool *pool)
{
    pool_lock(pool);
    pool->visits--;
    pool_unlock_maybe_free(pool);
}

void pool_unlock_closing(struct weir_pool *pool)
{
    bool is_alone = pool->is_closed || pool->manager->is_ending;

    pool->visits += is_alone; /* whoever closes the last connection must not end it under us */
    pool_unlock_maybe_free(pool);
    if (!is_alone)
        return;
    errand_run_leftovers(pool);
    pool_leave(pool);
}

struct weir_pool *weir_pool_unref(struct weir_pool *pool)
{
    if (!pool || atomic_fetch_sub_explicit(&pool->references, 1, memory_order_acq_rel) != 1)
        return NULL;
    manager_remove_pool(pool->manager, pool);
    pool_lock(pool);
    pool_shut(pool);
    pool_unlock_closing(pool);
    return NULL;
}

/* ---- while it runs --------------------------------------------------------------------------- */

int weir_pool_reconfigure(struct weir_pool *pool, const struct weir_pool_opts *opts,
                          struct weir_error **ret_error)
{
    struct weir_probe_pool_opts shown;
    struct weir_pool_opts named, checked;
    int r;

    if (!pool || !opts)
        return failure(ret_error, WEIR_ERROR_USAGE, "weir_pool_reconfigure: an argument is NULL");
    if (opts->size < offsetof(struct weir_pool_opts, connections_min))
        return options_check(opts, &checked, ret_error); /* which says so */
    weir_pool_opts_init(&named, sizeof(named));
    memcpy(&named, opts, opts->size < sizeof(named) ? opts->size : sizeof(named));
    named.size = opts->size < sizeof(named) ? opts->size : sizeof(named);
    if (!named.name)
        named.name = pool->options.name;
    if (!named.conninfo)
        named.conninfo = pool_target_now(pool)->conninfo;
    r = options_check(&named, &checked, ret_error);
    if (r)
        return r;
    pool_lock(pool);
    options_change(&pool->options, &checked);
    pool_rules_of_options(pool);
    probe_opts(&pool->options, &shown);
    pool->table->pool_limits(pool->probe, &shown);
    /* The largest that are too many are closed now, the rest as they come back. */
    for (struct slot *slot; pool->total > (uint32_t)OPTION_OF(&pool->options, connections_max) &&
                            (slot = gate_pop(&pool->gate, pool->slots, true));)
        pool_close_slot(pool, slot);
    pool_settle(pool);
    pool_unlock(pool);
    keeper_wake(pool->manager, 0);
    return 0;
}

int pool_retarget(struct weir_pool *pool, const char *conninfo, struct weir_error **ret_error)
{
    struct target *target;
    int r;

    if (!strcmp(pool_target_now(pool)->conninfo, conninfo))
        return 0;
    r = target_new(conninfo, &target, ret_error);
    if (r)
        return r;
    pool_lock(pool);
    target->older = atomic_load_explicit(&pool->target, memory_order_relaxed);
    atomic_store_explicit(&pool->target, target, memory_order_release);
    pool->is_limits_asked = false;
    pool_unlock(pool);
    weir_pool_evict(pool);
    return 0;
}

void weir_pool_opts_get(struct weir_pool *pool, struct weir_pool_opts *ret_opts, size_t size)
{
    struct weir_pool_opts opts;

    options_show(&pool->options, &opts);
    opts.conninfo = pool_target_now(pool)->conninfo;
    opts.size = size < sizeof(opts) ? size : sizeof(opts);
    memcpy(ret_opts, &opts, opts.size);
}

void weir_pool_evict(struct weir_pool *pool)
{
    pool_lock(pool);
    pool->evict_epoch++;
    pool_doubt(pool); /* so that none is taken the fast way */
    for (uint16_t at = gate_take_all(&pool->gate); at != SLOT_NONE;) {
        struct slot *slot = pool->slots[at];
        at = atomic_load_explicit(&slot->next_idle, memory_order_relaxed);
        slot_close(pool, slot);
    }
    pool_settle(pool);
    pool_unlock(pool);
}

void weir_pool_suspend(struct weir_pool *pool)
{
    pool_lock(pool);
    pool_rule(pool, RULE_SUSPENDED, true);
    pool_unlock(pool);
}

void weir_pool_resume(struct weir_pool *pool)
{
    pool_lock(pool);
    pool_rule(pool, RULE_SUSPENDED, false);
    pool_settle(pool);
    pool_unlock(pool);
}
