/* Shutting down: nothing is handed out any more, holders finish, what does not is cancelled, and
 * what was cut is told. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "shim/pool/house.h"
#include "shim/session/cancel.h"

enum {
    CUTS_MAX = 4096,   /* reported; more are only cut */
    CANCEL_SHARE = 10, /* of the time: for cancelling, at the end */
    CANCEL_MOST_MS = 1000,
    CLOSE_MOST_MS = 200, /* of that: for what does not answer to cancelling */
};

struct cut {
    struct weir_drain_cut told;
    char *pool, *statement;
    struct holder_text holder;
};

struct weir_drain_report {
    size_t count;
    struct cut cuts[];
};

size_t weir_drain_report_count(const struct weir_drain_report *report)
{
    return report ? report->count : 0;
}

const struct weir_drain_cut *weir_drain_report_cut(const struct weir_drain_report *report,
                                                   size_t number)
{
    return report && number < report->count ? &report->cuts[number].told : NULL;
}

void weir_drain_report_free(struct weir_drain_report *report)
{
    if (!report)
        return;
    for (size_t i = 0; i < report->count; i++) {
        free(report->cuts[i].pool);
        free(report->cuts[i].statement);
    }
    free(report);
}

/* ---- steps ----------------------------------------------------------------------------------- */

typedef void (*pool_fn)(struct weir_pool *pool, void *userdata);

/* Calls @call for each pool, with its mutex held. */
static void pools_each(struct weir_manager *manager, pool_fn call, void *userdata)
{
    struct weir_pool *pool, *next;

    for (pool = manager_next_pool(manager, NULL); pool; pool = next) {
        pool_lock(pool);
        call(pool, userdata);
        pool_unlock(pool);
        next = manager_next_pool(manager, pool);
        pool_leave(pool);
    }
}

static void pool_stop(struct weir_pool *pool, void *userdata)
{
    struct weir_error *error = NULL;

    (void)userdata;
    pool_rule(pool, RULE_DRAINING, true);
    (void)failure(&error, WEIR_ERROR_DRAINING, "pool %s: it is draining", pool->options.name);
    pool_fail_waiters(pool, error);
    weir_error_free(error);
    pool_close_idle(pool);
}

static void pool_count_busy(struct weir_pool *pool, void *userdata)
{
    size_t *count = userdata;

    /* An attempt to connect, or what hangs in a hook, is nobody's work. */
    for (uint16_t i = 0; i < pool->slots_made; i++) {
        const struct slot *slot = pool->slots[i];
        uint32_t place = atomic_load_explicit(&slot->place, memory_order_relaxed);
        *count += place == SLOT_OPEN || (place == SLOT_ERRAND && !slot->errand.is_abandoned &&
                                         slot->errand.kind != ERRAND_CONNECT);
    }
}

static size_t busy_count(struct weir_manager *manager)
{
    size_t count = 0;

    pools_each(manager, pool_count_busy, &count);
    return count;
}

/* Until nothing is held or closing, or @until_ns. */
static size_t await_idle(struct weir_manager *manager, uint64_t until_ns)
{
    size_t count;

    while ((count = busy_count(manager)) && clock_monotonic_ns() < until_ns) {
        /* Told at each release; and looked for now and then, since no lock is held in between. */
        uint64_t next_ns = clock_monotonic_ns() + 10 * NS_PER_MS;
        struct timespec until;
        if (next_ns > until_ns)
            next_ns = until_ns;
        until = (struct timespec){.tv_sec = (time_t)(next_ns / NS_PER_S),
                                  .tv_nsec = (long)(next_ns % NS_PER_S)};
        (void)pthread_mutex_lock(&manager->mutex);
        (void)pthread_cond_timedwait(&manager->drained, &manager->mutex, &until);
        (void)pthread_mutex_unlock(&manager->mutex);
    }
    return count;
}

static void cut_record(const struct slot *slot, uint64_t lease, struct cut *cut)
{
    const struct weir_pool *pool = slot->pool;
    uint64_t now_ns = clock_monotonic_ns();

    (void)holder_read(slot, lease, &cut->holder);
    cut->pool = strdup(pool->options.name);
    cut->statement = slot_statement(slot);
    cut->told = (struct weir_drain_cut){
        .pool = cut->pool ? cut->pool : "",
        .statement = cut->statement ? cut->statement : "",
        .call_site = cut->holder.call_site,
        .tenant = cut->holder.tenant,
        .held_ns = slot->lease_seen == lease ? now_ns - slot->lease_seen_ns : 0,
        .backend_pid = atomic_load_explicit(&slot->backend_pid, memory_order_relaxed),
        .was_executing = atomic_load_explicit(&slot->statement_since_ns, memory_order_relaxed) != 0,
    };
}

struct cutting {
    struct weir_drain_report *report; /* NULL: no memory; they are cut all the same */
    size_t count;
};

/* Notes each holder, and cancels what it executes. */
static void pool_cut(struct weir_pool *pool, void *userdata)
{
    struct cutting *cutting = userdata;
    struct weir_drain_report *report = cutting->report;

    for (uint16_t i = 0; i < pool->slots_made; i++) {
        struct slot *slot = pool->slots[i];
        uint64_t lease = atomic_load_explicit(&slot->lease, memory_order_acquire);
        if (!(lease & 1))
            continue;
        cutting->count++;
        if (report && report->count < CUTS_MAX)
            cut_record(slot, lease, &report->cuts[report->count++]);
        (void)server_cancel_send(slot->cancel, &pool->manager->crew);
    }
}

/* Ends the sockets of those that still hold: whoever waits on one is told at once. */
static void pool_shut_down(struct weir_pool *pool, void *userdata)
{
    (void)userdata;
    for (uint16_t i = 0; i < pool->slots_made; i++) {
        struct slot *slot = pool->slots[i];
        int fd = atomic_load_explicit(&slot->fd, memory_order_relaxed);
        if (fd >= 0 && atomic_load_explicit(&slot->lease, memory_order_acquire) & 1)
            (void)shutdown(fd, SHUT_RDWR); /* gone already is as good */
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

static struct weir_drain_report *report_new(void)
{
    return calloc(1, sizeof(struct weir_drain_report) + CUTS_MAX * sizeof(struct cut));
}

CLEANUP_DEFINE(struct weir_drain_report *, report_freep, weir_drain_report_free)

int weir_manager_drain(struct weir_manager *manager, int32_t timeout_ms,
                       struct weir_drain_report **ret_report)
{
    CLEANUP(report_freep) struct weir_drain_report *report = manager ? report_new() : NULL;
    struct cutting cutting = {.report = report};
    uint64_t begin_ns = clock_monotonic_ns();
    uint64_t time_ns = (uint64_t)(timeout_ms > 0 ? timeout_ms : 1) * NS_PER_MS;
    uint64_t deadline_ns = begin_ns + time_ns;
    uint64_t cancel_ns = time_ns / CANCEL_SHARE, close_ns;
    bool is_cut;

    if (!manager)
        return WEIR_ERROR_USAGE;
    if (cancel_ns > CANCEL_MOST_MS * NS_PER_MS)
        cancel_ns = CANCEL_MOST_MS * NS_PER_MS;
    close_ns =
        cancel_ns / 2 < CLOSE_MOST_MS * NS_PER_MS ? cancel_ns / 2 : CLOSE_MOST_MS * NS_PER_MS;
    (void)pthread_mutex_lock(&manager->mutex);
    manager->is_draining = true;
    (void)pthread_mutex_unlock(&manager->mutex);
    pools_each(manager, pool_stop, NULL);
    is_cut = await_idle(manager, deadline_ns - cancel_ns) > 0;
    if (is_cut)
        pools_each(manager, pool_cut, &cutting);
    if (is_cut && await_idle(manager, deadline_ns - close_ns))
        pools_each(manager, pool_shut_down, NULL);
    if (is_cut)
        (void)await_idle(manager, deadline_ns);
    if (ret_report)
        *ret_report = STEAL(report);
    return cutting.count ? WEIR_ERROR_TIMEOUT : 0;
}
