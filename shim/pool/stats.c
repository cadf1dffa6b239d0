#include "shim/pool/stats.h"

#include <string.h>

struct pool_use pool_use_count(const struct weir_pool *pool)
{
    struct pool_use use = {0};

    for (uint16_t i = 0; i < pool->slots_made; i++) {
        const struct slot *slot = pool->slots[i];
        uint64_t lease = atomic_load_explicit(&slot->lease, memory_order_relaxed);
        uint32_t place = atomic_load_explicit(&slot->place, memory_order_relaxed);
        bool is_used = lease & 1;
        use.acquires += (lease + 1) / 2;
        use.releases += lease / 2;
        use.used += is_used;
        use.idle += place == SLOT_OPEN && !is_used;
    }
    return use;
}

static uint64_t counter(const _Atomic uint64_t *from)
{
    return atomic_load_explicit(from, memory_order_relaxed);
}

void weir_pool_stats_get(struct weir_pool *pool, struct weir_pool_stats *ret_stats, size_t size)
{
    const struct pool_counters *counters = &pool->counters;
    struct weir_pool_stats stats = {
        .size = size < sizeof(stats) ? size : sizeof(stats),
        .timeouts = counter(&counters->timeouts),
        .refused = counter(&counters->refused),
        .shed = counter(&counters->shed),
        .cancelled = counter(&counters->cancelled),
        .failed = counter(&counters->failed),
        .connected = counter(&counters->connected),
        .connect_failures = counter(&counters->connect_failures),
        .closed = counter(&counters->closed),
        .validations_failed = counter(&counters->validations_failed),
        .rolled_back = counter(&counters->rolled_back),
        .leaked = counter(&counters->leaked),
        .misused = counter(&counters->misused),
        .reset = counter(&counters->reset),
    };
    struct pool_use use;

    pool_lock(pool);
    use = pool_use_count(pool);
    stats.used = use.used;
    stats.idle = use.idle;
    stats.connecting = pool->attempts.running;
    stats.waiting = pool->queue.waiting;
    pool_unlock(pool);
    stats.acquired = use.acquires;
    memcpy(ret_stats, &stats, stats.size);
}

/* ---- advice ---------------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

static bool same_server(const struct weir_pool *a, const struct weir_pool *b)
{
    const struct target_host *at = &pool_target_now(a)->hosts[0];
    const struct target_host *bt = &pool_target_now(b)->hosts[0];

    return same_text(at->host, bt->host) && same_text(at->hostaddr, bt->hostaddr) &&
           same_text(at->port, bt->port);
}

static int32_t pools_connections_max(const struct weir_pool *pool)
{
    struct weir_manager *manager = pool->manager;
    int32_t sum = 0;

    (void)pthread_mutex_lock(&manager->mutex);
    for (const struct weir_pool *other = manager->pools; other; other = other->next)
        if (same_server(other, pool))
            sum += OPTION_OF(&other->options, connections_max);
    (void)pthread_mutex_unlock(&manager->mutex);
    return sum;
}

int weir_pool_advice(struct weir_pool *pool, struct weir_pool_advice *ret_advice, size_t size)
{
    struct weir_pool_advice advice = {0};
    struct sizing_limits limits = {.pools_connections_max = pools_connections_max(pool)};
    struct sizing sizing;

    pool_lock(pool);
    limits.server_connections_max = pool->limits.connections_max;
    limits.server_reserved = pool->limits.reserved;
    limits.role_max = pool->limits.role_max;
    limits.database_max = pool->limits.database_max;
    pool_unlock(pool);
    (void)pthread_mutex_lock(&pool->sizing_mutex);
    sizing = pool->sizing;
    (void)pthread_mutex_unlock(&pool->sizing_mutex);
    sizing_advise(&sizing, OPTION_OF(&pool->options, connections_min),
                  OPTION_OF(&pool->options, connections_max), &limits, &advice);
    advice.size = size < sizeof(advice) ? size : sizeof(advice);
    memcpy(ret_advice, &advice, advice.size);
    return 0;
}

void weir_pool_advice_restart(struct weir_pool *pool)
{
    struct pool_use use;

    pool_lock(pool);
    use = pool_use_count(pool);
    pool_unlock(pool);
    (void)pthread_mutex_lock(&pool->sizing_mutex);
    sizing_start(&pool->sizing, clock_monotonic_ns(), use.acquires);
    (void)pthread_mutex_unlock(&pool->sizing_mutex);
}
