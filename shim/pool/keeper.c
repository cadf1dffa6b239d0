/* The manager's one thread that looks after its pools: closes what was idle or open for too long,
 * has idle connections asked, opens up to the minimum and what back-off put off, finds leaks, gives
 * up errands that hang, and measures for sizing. It never waits for a server: what takes time is an
 * errand.
 *
 * The fast way reads no clock, so times are the keeper's: a slot whose lease is as it was at an
 * earlier look has been held, or idle, since that look at least. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "shim/pool/house.h"
#include "shim/pool/stats.h"
#include "shim/session/log.h"

enum {
    LOOK_BUSY_MS = 25, /* between looks */
    LOOK_QUIET_MS = 250,
    ERRAND_SLACK_MS = 30,     /* an errand keeps its deadline itself, unless it hangs */
    KEEPER_STACK = 256 << 10, /* the caller's log runs in it */
    RATE_SPAN_MS = 200,       /* over which the release rate is measured */
    LEAKS_AT_ONCE = 16,       /* told a look; the rest at the next */
};

/* What a look found to tell, once the pool's mutex is free. */
struct leak {
    struct holder_text holder;
    uint32_t backend_pid;
    uint64_t held_ns;
    char *statement; /* its last; NULL: no memory */
};

struct look {
    struct weir_pool *pool;
    uint64_t now_ns;
    uint64_t expires_ns; /* the next deadline of a request of an event loop */
    bool is_busy;        /* something happened since, or is under way */
    bool wants_sorting;  /* some idle connection is due for something */
    uint32_t leak_count;
    struct leak leaks[LEAKS_AT_ONCE];
};

/* ---- single slots ---------------------------------------------------------------------------- */

/* A request of an event loop is woken at its deadline; its step ends it. */
static void request_expire(struct look *look, const struct waiter *waiter)
{
    uint64_t one = 1;

    if (waiter->event_fd < 0)
        return;
    if (waiter->deadline_ns <= look->now_ns)
        (void)!write(waiter->event_fd, &one, sizeof(one)); /* an eventfd of ours: has room */
    else if (waiter->deadline_ns < look->expires_ns)
        look->expires_ns = waiter->deadline_ns;
}

static void look_at_errand(struct look *look, struct slot *slot)
{
    struct errand *errand = &slot->errand;
    uint64_t slack_ns = ERRAND_SLACK_MS * NS_PER_MS;

    look->is_busy = true;
    if (slot->waiter)
        request_expire(look, slot->waiter);
    if (!errand->is_submitted) {
        errand_submit(slot);
        return;
    }
    if (errand->kind == ERRAND_CLOSE || errand->is_abandoned)
        return;
    if (errand->kind == ERRAND_READY || errand->kind == ERRAND_CHECK)
        slack_ns += OPTION_NS(&look->pool->options, validate_timeout_ms);
    if (look->now_ns > errand->deadline_ns && look->now_ns - errand->deadline_ns > slack_ns) {
        errand_abandon(slot);
        pool_settle(look->pool);
    }
}

static void look_at_held(struct look *look, struct slot *slot, uint64_t lease, uint64_t held_ns)
{
    struct leak *leak = &look->leaks[look->leak_count];

    if (slot->is_leak_told || held_ns < OPTION_NS(&look->pool->options, leak_after_ms) ||
        look->leak_count >= LEAKS_AT_ONCE)
        return;
    leak->held_ns = held_ns;
    leak->backend_pid = atomic_load_explicit(&slot->backend_pid, memory_order_relaxed);
    if (!holder_read(slot, lease, &leak->holder))
        return; /* released just now */
    leak->statement = slot_statement(slot);
    slot->is_leak_told = true;
    look->leak_count++;
    pool_count(&look->pool->counters.leaked);
}

static bool idle_is_too_long(const struct look *look, const struct slot *slot, uint64_t idle_ns)
{
    return idle_ns >= OPTION_NS(&look->pool->options, idle_timeout_ms) &&
           look->pool->total > (uint32_t)OPTION_OF(&look->pool->options, connections_min) &&
           slot->conn;
}

static bool slot_is_expired(const struct look *look, const struct slot *slot)
{
    return slot->expires_ns != UINT64_MAX && look->now_ns >= slot->expires_ns;
}

static bool slot_wants_check(const struct look *look, const struct slot *slot)
{
    uint64_t every_ns = OPTION_NS(&look->pool->options, validate_every_ms);

    return every_ns != UINT64_MAX && look->now_ns - slot->checked_ns >= every_ns;
}

static void look_at_idle(struct look *look, struct slot *slot, uint64_t idle_ns)
{
    const struct options *options = &look->pool->options;

    if (idle_ns >= OPTION_NS(options, validate_after_ms) || slot_is_expired(look, slot))
        atomic_store_explicit(&slot->is_doubtful, 1, memory_order_relaxed);
    if (idle_is_too_long(look, slot, idle_ns) || slot_is_expired(look, slot) ||
        slot_wants_check(look, slot) ||
        look->pool->total > (uint32_t)OPTION_OF(options, connections_max))
        look->wants_sorting = true;
}

static void look_at_slot(struct look *look, struct slot *slot)
{
    uint32_t place = atomic_load_explicit(&slot->place, memory_order_relaxed);
    uint64_t lease;

    if (place == SLOT_ERRAND)
        look_at_errand(look, slot);
    if (place != SLOT_OPEN)
        return;
    lease = atomic_load_explicit(&slot->lease, memory_order_acquire);
    if (lease != slot->lease_seen || !slot->lease_seen_ns) {
        slot->lease_seen = lease;
        slot->lease_seen_ns = look->now_ns;
        slot->is_leak_told = false;
        look->is_busy = true;
    } else if (lease & 1) {
        look_at_held(look, slot, lease, look->now_ns - slot->lease_seen_ns);
    } else {
        look_at_idle(look, slot, look->now_ns - slot->lease_seen_ns);
    }
}

/* ---- idle ones that are due ------------------------------------------------------------------ */

/* True: it stays on the stack. */
static bool idle_sort(struct look *look, struct slot *slot)
{
    struct weir_pool *pool = look->pool;
    uint64_t idle_ns = look->now_ns - slot->lease_seen_ns;
    bool is_same = atomic_load_explicit(&slot->lease, memory_order_relaxed) == slot->lease_seen;

    if (slot_is_expired(look, slot) ||
        pool->total > (uint32_t)OPTION_OF(&pool->options, connections_max) ||
        (is_same && idle_is_too_long(look, slot, idle_ns))) {
        pool_close_slot(pool, slot);
        return false;
    }
    if (slot_wants_check(look, slot)) {
        errand_start(slot, ERRAND_CHECK,
                     look->now_ns + OPTION_NS(&pool->options, validate_timeout_ms));
        return false;
    }
    return true;
}

/* Takes the stack, sorts it, and puts back what stays, in the same order. Meanwhile requests find
 * it empty, come for the mutex, and then find it again. */
static void idle_sort_all(struct look *look)
{
    struct weir_pool *pool = look->pool;
    uint16_t kept[SLOTS_MAX], count = 0;

    for (uint16_t at = gate_take_all(&pool->gate); at != SLOT_NONE;) {
        kept[count++] = at;
        at = atomic_load_explicit(&pool->slots[at]->next_idle, memory_order_relaxed);
    }
    while (count) { /* the one released longest ago first */
        struct slot *slot = pool->slots[kept[--count]];
        if (idle_sort(look, slot))
            (void)gate_push(&pool->gate, slot, true); /* with the mutex it never refuses */
    }
    pool_settle(pool);
}

/* ---- the pool -------------------------------------------------------------------------------- */

static void requests_expire(struct look *look)
{
    struct queue *queue = &look->pool->queue;
    uint32_t left = queue->async_waiting;

    for (struct line *line = queue->lines; line && left; line = line->next)
        for (struct waiter *waiter = line->first; waiter && left; waiter = waiter->next) {
            left -= waiter->event_fd >= 0;
            request_expire(look, waiter);
        }
}

/* How fast connections come back while requests wait for them. Of a pool that has enough the pace
 * says how much was asked of it, not how much it could give: then it is not known. */
static void release_rate_measure(const struct look *look, uint64_t releases)
{
    struct weir_pool *pool = look->pool;
    uint64_t passed_ns = look->now_ns - pool->release_rate_ns;
    bool is_short = pool->queue.waiting && !(pool->rules & RULE_SUSPENDED);
    double rate;

    if (is_short && pool->release_rate_ns && passed_ns < RATE_SPAN_MS * NS_PER_MS)
        return;
    if (!is_short || !pool->release_rate_ns) {
        pool->release_rate = 0;
    } else {
        rate = (double)(releases - pool->release_rate_releases) /
               ((double)passed_ns / (double)NS_PER_S);
        /* Halfway to what was measured last: some seconds' memory. */
        pool->release_rate = pool->release_rate > 0 ? (pool->release_rate + rate) / 2 : rate;
    }
    pool->release_rate_ns = look->now_ns;
    pool->release_rate_releases = releases;
}

static void measure(struct look *look)
{
    struct weir_pool *pool = look->pool;
    struct pool_use use = pool_use_count(pool);
    struct sizing_look measured = {
        .now_ns = look->now_ns,
        .acquires = use.acquires,
        .used = use.used,
        .waiting = pool->queue.waiting,
        .connections_max = (uint32_t)OPTION_OF(&pool->options, connections_max),
    };

    atomic_store_explicit(&pool->used_seen, use.used, memory_order_relaxed);
    (void)pthread_mutex_lock(&pool->sizing_mutex);
    sizing_look(&pool->sizing, &measured);
    (void)pthread_mutex_unlock(&pool->sizing_mutex);
    release_rate_measure(look, use.releases);
}

static void leaks_tell(struct look *look)
{
    for (uint32_t i = 0; i < look->leak_count; i++) {
        struct leak *leak = &look->leaks[i];
        char message[256];
        struct weir_log_entry entry = {
            .kind = WEIR_LOG_LEAK,
            .message = message,
            .statement = leak->statement,
            .call_site = leak->holder.call_site,
            .tenant = leak->holder.tenant,
            .traceparent = leak->holder.traceparent,
            .thread = leak->holder.thread,
            .backend_pid = leak->backend_pid,
            .duration_ns = leak->held_ns,
        };
        (void)snprintf(message, sizeof(message),
                       "a connection is held for %.1f s by thread %u, acquired at %s",
                       (double)leak->held_ns / (double)NS_PER_S, leak->holder.thread,
                       leak->holder.call_site);
        log_tell(look->pool, &entry);
        free(leak->statement);
    }
}

/* Returns when to look again. */
static uint64_t pool_look(struct weir_pool *pool, struct look *look)
{
    uint64_t next_ns;

    look->pool = pool;
    look->now_ns = clock_monotonic_ns();
    look->expires_ns = UINT64_MAX;
    look->is_busy = look->wants_sorting = false;
    look->leak_count = 0;
    pool_lock(pool);
    for (uint16_t i = 0; i < pool->slots_made; i++)
        look_at_slot(look, pool->slots[i]);
    if (look->wants_sorting)
        idle_sort_all(look);
    requests_expire(look);
    measure(look);
    pool_settle(pool);
    look->is_busy |= pool->queue.waiting > 0;
    next_ns = look->now_ns + (look->is_busy ? LOOK_BUSY_MS : LOOK_QUIET_MS) * NS_PER_MS;
    if (look->expires_ns < next_ns)
        next_ns = look->expires_ns;
    pool_unlock(pool);
    leaks_tell(look);
    return next_ns;
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void *keeper_work(void *userdata)
{
    struct weir_manager *manager = userdata;
    struct look look;

    (void)pthread_mutex_lock(&manager->mutex);
    while (!manager->is_ending) {
        uint64_t next_ns = clock_monotonic_ns() + LOOK_QUIET_MS * NS_PER_MS;
        struct timespec until;
        manager->wake_ns = UINT64_MAX;
        (void)pthread_mutex_unlock(&manager->mutex);
        for (struct weir_pool *pool = manager_next_pool(manager, NULL), *after; pool;
             pool = after) {
            uint64_t pool_ns = pool_look(pool, &look);
            next_ns = pool_ns < next_ns ? pool_ns : next_ns;
            after = manager_next_pool(manager, pool);
            pool_leave(pool);
        }
        (void)pthread_mutex_lock(&manager->mutex);
        next_ns = manager->wake_ns < next_ns ? manager->wake_ns : next_ns;
        until = (struct timespec){.tv_sec = (time_t)(next_ns / NS_PER_S),
                                  .tv_nsec = (long)(next_ns % NS_PER_S)};
        if (!manager->is_ending && next_ns > clock_monotonic_ns()) {
            manager->wake_ns = next_ns;
            (void)pthread_cond_timedwait(&manager->wake, &manager->mutex, &until);
        }
    }
    (void)pthread_mutex_unlock(&manager->mutex);
    return NULL;
}

int keeper_start(struct weir_manager *manager)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    int r;

    if (manager->has_keeper)
        return 0;
    if (pthread_attr_init(&attributes))
        return -ENOMEM;
    (void)pthread_attr_setstacksize(&attributes, KEEPER_STACK);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&manager->keeper, &attributes, keeper_work, manager);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    manager->has_keeper = !r;
    return -r;
}

void keeper_ensure(struct weir_manager *manager)
{
    if (__builtin_expect(atomic_load_explicit(&manager->has_keeper, memory_order_relaxed), 1))
        return;
    (void)pthread_mutex_lock(&manager->mutex);
    if (!manager->is_ending)
        (void)keeper_start(manager); /* no thread: tried again by the next request */
    (void)pthread_mutex_unlock(&manager->mutex);
}

void keeper_stop(struct weir_manager *manager)
{
    (void)pthread_mutex_lock(&manager->mutex);
    manager->is_ending = true;
    (void)pthread_cond_signal(&manager->wake);
    (void)pthread_mutex_unlock(&manager->mutex);
    if (!manager->has_keeper)
        return;
    (void)pthread_join(manager->keeper, NULL);
    manager->has_keeper = false;
}

void keeper_wake(struct weir_manager *manager, uint64_t ns)
{
    (void)pthread_mutex_lock(&manager->mutex);
    if (ns < manager->wake_ns) {
        manager->wake_ns = ns;
        (void)pthread_cond_signal(&manager->wake);
    }
    (void)pthread_mutex_unlock(&manager->mutex);
}
