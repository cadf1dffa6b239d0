/* Pools: histograms from events, gauges from boards, and connection-seconds from both.
 *
 * Connection time counts what events have ended plus the part of open holds and connections that
 * the boards show. A hold whose end was read already may still stand on a board for a moment; it is
 * known by its id and left out. What is shown never steps back. */
#include <errno.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "agent/aggregate/house.h"

#define NS_PER_SECOND 1e9

static const struct attributes *pool_attributes(struct view name, const char *state)
{
    struct attribute items[2] = {attribute_string("db.client.connection.pool.name", name)};

    if (state)
        items[1] = attribute_string("db.client.connection.state", view_from(state));
    return attributes_new(items, state ? 2 : 1);
}

static struct pool *pool_find(struct service *service, uint64_t key)
{
    struct pool *pool = service->pools;

    while (pool && pool->key != key)
        pool = pool->next;
    return pool;
}

static struct pool *pool_new(struct aggregate *aggregate, struct service *service, struct view name,
                             uint64_t key)
{
    struct pool *pool = calloc(1, sizeof(*pool));

    if (!pool)
        return NULL;
    pool->service = service;
    pool->key = key;
    pool->start_ns = aggregate->now_ns;
    pool->name = strndup(name.length ? name.bytes : "", name.length);
    pool->attributes = pool_attributes(name, NULL);
    pool->used_attributes = pool_attributes(name, "used");
    pool->idle_attributes = pool_attributes(name, "idle");
    histogram_init(&pool->create_time, BOUNDS_SECONDS);
    histogram_init(&pool->wait_time, BOUNDS_SECONDS);
    histogram_init(&pool->use_time, BOUNDS_SECONDS);
    if (!pool->name || !pool->attributes || !pool->used_attributes || !pool->idle_attributes) {
        pool_free(aggregate, pool);
        return NULL;
    }
    pool->next = service->pools;
    service->pools = pool;
    aggregate->pool_count++;
    return pool;
}

/* Past the limit the pools of a service share one that is called "other". */
struct pool *pool_add(struct aggregate *aggregate, struct service *service, struct view name)
{
    uint64_t key = XXH3_64bits(name.bytes, name.length);
    struct pool *pool = pool_find(service, key);

    if (pool)
        return pool;
    if (aggregate->pool_count >= aggregate->opts.pools_max) {
        name = VIEW_LITERAL("other");
        key = XXH3_64bits(name.bytes, name.length);
        pool = pool_find(service, key);
    }
    return pool ? pool : pool_new(aggregate, service, name, key);
}

void pool_free(struct aggregate *aggregate, struct pool *pool)
{
    histogram_deinit(&pool->create_time, &aggregate->budget);
    histogram_deinit(&pool->wait_time, &aggregate->budget);
    histogram_deinit(&pool->use_time, &aggregate->budget);
    attributes_unref(pool->attributes);
    attributes_unref(pool->used_attributes);
    attributes_unref(pool->idle_attributes);
    free(pool->name);
    free(pool);
}

/* ---- events --------------------------------------------------------------------------------- */

static uint64_t hold_mark(const struct process *process, uint64_t hold_id)
{
    uint64_t owner;

    memcpy(&owner, process->client_id, sizeof(owner));
    return id_mix(id_mix(0, owner), hold_id) | 1;
}

static bool use_ended(struct aggregate *aggregate, struct pool *pool,
                      const struct observation *observation, uint64_t use_ns)
{
    uint64_t mark = hold_mark(observation->process, observation->head->hold_id);

    if (!histogram_record(&pool->use_time, &aggregate->budget, (double)use_ns / NS_PER_SECOND))
        return false;
    pool->closed_use_ns += use_ns;
    aggregate->holds_ended[mark >> 1 & (HOLDS_REMEMBERED - 1)] = mark;
    return true;
}

static bool wait_ended(struct aggregate *aggregate, struct pool *pool, uint64_t wait_ns)
{
    pool->observes_acquire = true;
    pool->closed_wait_ns += wait_ns;
    return histogram_record(&pool->wait_time, &aggregate->budget, (double)wait_ns / NS_PER_SECOND);
}

/* An acquire that waited for nobody comes with its release. */
static bool release_ended(struct aggregate *aggregate, struct pool *pool,
                          const struct observation *observation)
{
    const struct record_release *release = observation->release;

    if (release->head.flags & RELEASE_HAS_ACQUIRE && release->wait_ns != UNKNOWN_NS &&
        !wait_ended(aggregate, pool, release->wait_ns))
        return false;
    return use_ended(aggregate, pool, observation, release->use_ns);
}

static bool acquire_ended(struct aggregate *aggregate, struct pool *pool,
                          const struct record_acquire *acquire)
{
    if (acquire->failure == FAILURE_NONE)
        return wait_ended(aggregate, pool, acquire->wait_ns);
    if (acquire->failure == FAILURE_TIMEOUT)
        pool->timeouts++;
    pool->observes_acquire = true;
    pool->closed_wait_ns += acquire->wait_ns;
    return true;
}

bool pools_observe(struct aggregate *aggregate, struct service *service,
                   const struct observation *observation)
{
    struct target_entry *target = target_of(aggregate, service, observation->head->target);
    struct pool *pool = pool_of_target(aggregate, target);

    if (!pool)
        return true; /* nothing to count it in: its name is not known */
    pool->is_dirty = true;
    switch ((enum record_kind)observation->head->header.kind) {
    case RECORD_CONNECT:
        return observation->connect->failure != FAILURE_NONE ||
               histogram_record(&pool->create_time, &aggregate->budget,
                                (double)observation->connect->duration_ns / NS_PER_SECOND);
    case RECORD_CLOSE:
        pool->closed_life_ns += observation->close->lifetime_ns;
        return true;
    case RECORD_ACQUIRE:
        return acquire_ended(aggregate, pool, observation->acquire);
    case RECORD_RELEASE:
        return release_ended(aggregate, pool, observation);
    case RECORD_STATEMENT:
        return !(observation->head->flags & STATEMENT_IS_HOLD) ||
               use_ended(aggregate, pool, observation, observation->statement->duration_ns);
    case RECORD_PAD:
    case RECORD_NAME:
    case RECORD_TRANSACTION:
    case RECORD_PREPARE:
    case RECORD_CANCEL:
    case RECORD_PARAMETERS:
    case RECORD_POOL_STATE:
    case RECORD_KIND_END:
        break;
    }
    return true;
}

/* ---- boards --------------------------------------------------------------------------------- */

static struct share *share_of(struct aggregate *aggregate, const struct process *process,
                              struct pool *pool)
{
    struct share *share = aggregate->shares;

    while (share && (share->process != process || share->pool != pool))
        share = share->next;
    if (share)
        return share;
    share = calloc(1, sizeof(*share));
    if (!share)
        return NULL;
    share->process = process;
    share->pool = pool;
    share->next = aggregate->shares;
    aggregate->shares = share;
    return share;
}

static void raise_by(uint64_t *closed_ns, uint64_t shown_ns, uint64_t counted_ns)
{
    if (shown_ns > counted_ns)
        *closed_ns += shown_ns - counted_ns;
}

/* What was shown of holds and connections that a process left open has ended with it. Else the
 * living ones' time would not show until it had made up for it. */
static void pool_close_shown(struct aggregate *aggregate, struct pool *pool)
{
    uint64_t use_ns = pool->closed_use_ns, life_ns = pool->closed_life_ns;
    uint64_t wait_ns = pool->closed_wait_ns;

    for (const struct share *share = aggregate->shares; share; share = share->next) {
        if (share->pool != pool)
            continue;
        use_ns += share->open_use_ns;
        life_ns += share->open_life_ns;
        wait_ns += share->open_wait_ns;
    }
    raise_by(&pool->closed_use_ns, pool->used_time_ns, use_ns);
    raise_by(&pool->closed_wait_ns, pool->wait_time_ns, wait_ns);
    use_ns = pool->used_time_ns > use_ns ? pool->used_time_ns : use_ns;
    raise_by(&pool->closed_life_ns, pool->idle_time_ns + use_ns, life_ns);
    pool->is_dirty = true;
}

void aggregate_process_ended(struct aggregate *aggregate, const struct process *process)
{
    for (struct share **link = &aggregate->shares; *link;) {
        struct share *share = *link;
        if (share->process != process) {
            link = &share->next;
            continue;
        }
        *link = share->next;
        pool_close_shown(aggregate, share->pool);
        free(share);
    }
}

static struct pool *live_pool_of(struct aggregate *aggregate, struct service *service,
                                 uint64_t target)
{
    return target ? pool_of_target(aggregate, target_of(aggregate, service, target)) : NULL;
}

static void look_at_pool(struct aggregate *aggregate, struct service *service,
                         const struct live_pool *live)
{
    struct pool *pool = live_pool_of(aggregate, service, live->target);
    struct share *share = pool ? share_of(aggregate, live->process, pool) : NULL;

    if (!share)
        return;
    share->used += live->used;
    share->idle += live->idle;
    share->waiting += live->waiting;
    share->connections_max += live->connections_max;
    share->connections_min += live->connections_min;
    share->idle_max += live->idle_max;
    share->idle_min += live->idle_min;
    share->has_limits = share->has_limits || live->flags & POOL_HAS_LIMITS;
    share->observes_acquire = share->observes_acquire || live->flags & POOL_HAS_WAITERS;
    share->used_peak += live->used_peak;
    share->waiting_peak += live->waiting_peak;
    pool->is_seen = true;
}

static uint64_t since(uint64_t now_ns, uint64_t then_ns)
{
    return then_ns && then_ns < now_ns ? now_ns - then_ns : 0;
}

static void look_at_connection(struct aggregate *aggregate, struct service *service,
                               const struct live_board *board,
                               const struct live_connection *connection)
{
    uint64_t mark = hold_mark(board->process, connection->hold_id);
    struct pool *pool = live_pool_of(aggregate, service, connection->target);
    struct share *share = pool ? share_of(aggregate, board->process, pool) : NULL;

    if (!share || connection->torn)
        return;
    share->open_life_ns += since(board->now_ns, connection->opened_ns);
    if (aggregate->holds_ended[mark >> 1 & (HOLDS_REMEMBERED - 1)] != mark)
        share->open_use_ns += since(board->now_ns, connection->acquired_ns);
}

void aggregate_look(struct aggregate *aggregate, const struct live_board *board,
                    uint64_t now_unix_ns)
{
    struct service *service = service_of(aggregate, board->process->resource);

    aggregate->now_ns = now_unix_ns;
    if (!service)
        return;
    for (struct share *share = aggregate->shares; share; share = share->next) {
        if (share->process == board->process)
            *share =
                (struct share){.next = share->next, .process = share->process, .pool = share->pool};
    }
    for (size_t i = 0; i < board->pool_count; i++)
        look_at_pool(aggregate, service, &board->pools[i]);
    for (size_t i = 0; i < board->connection_count; i++)
        look_at_connection(aggregate, service, board, &board->connections[i]);
    for (size_t i = 0; i < board->waiter_count; i++) {
        const struct live_waiter *waiter = &board->waiters[i];
        struct pool *pool =
            waiter->pool < board->pool_count
                ? live_pool_of(aggregate, service, board->pools[waiter->pool].target)
                : NULL;
        struct share *share = pool ? share_of(aggregate, board->process, pool) : NULL;
        if (share)
            share->open_wait_ns += since(board->now_ns, waiter->since_ns);
    }
}

static void pool_add_share(struct pool *pool, const struct share *share)
{
    pool->used += share->used;
    pool->idle += share->idle;
    pool->waiting += share->waiting;
    pool->connections_max += share->connections_max;
    pool->connections_min += share->connections_min;
    pool->idle_max += share->idle_max;
    pool->idle_min += share->idle_min;
    pool->has_limits = pool->has_limits || share->has_limits;
    pool->observes_acquire = pool->observes_acquire || share->observes_acquire;
    pool->used_peak += share->used_peak;
    pool->waiting_peak += share->waiting_peak;
    pool->open_use_ns += share->open_use_ns;
    pool->open_life_ns += share->open_life_ns;
    pool->open_wait_ns += share->open_wait_ns;
}

/* What was shown must be on disk before it is, so that a restart never shows less. */
static void raise_to(struct pool *pool, uint64_t *shown, uint64_t value)
{
    if (value <= *shown)
        return;
    *shown = value;
    pool->is_dirty = true;
}

void pools_sum(struct aggregate *aggregate)
{
    for (struct service *service = aggregate->services; service; service = service->next) {
        for (struct pool *pool = service->pools; pool; pool = pool->next) {
            pool->used = pool->idle = pool->waiting = 0;
            pool->connections_max = pool->connections_min = 0;
            pool->idle_max = pool->idle_min = 0;
            pool->has_limits = false;
            pool->used_peak = pool->waiting_peak = 0;
            pool->open_use_ns = pool->open_life_ns = pool->open_wait_ns = 0;
        }
    }
    for (struct share *share = aggregate->shares; share; share = share->next)
        pool_add_share(share->pool, share);
    for (struct service *service = aggregate->services; service; service = service->next) {
        for (struct pool *pool = service->pools; pool; pool = pool->next) {
            uint64_t use_ns = pool->closed_use_ns + pool->open_use_ns;
            uint64_t life_ns = pool->closed_life_ns + pool->open_life_ns;
            raise_to(pool, &pool->used_time_ns, use_ns);
            raise_to(pool, &pool->idle_time_ns, life_ns > use_ns ? life_ns - use_ns : 0);
            raise_to(pool, &pool->wait_time_ns, pool->closed_wait_ns + pool->open_wait_ns);
        }
    }
}

/* ---- rows and points ------------------------------------------------------------------------ */

void pools_write(struct aggregate *aggregate, struct service *service, struct rows *rows)
{
    struct buffer CLEANUP(buffer_deinit) value = {0};

    (void)aggregate;
    buffer_init(&value, 1 << 20);
    for (struct pool *pool = service->pools; pool; pool = pool->next) {
        uint64_t key[2] = {service->key, pool->key};
        if (!pool->is_dirty)
            continue;
        buffer_clear(&value);
        row_write_u8(&value, ROW_VERSION);
        row_write_view(&value, view_from(pool->name));
        row_write_u64(&value, pool->start_ns);
        row_write_u8(&value, pool->observes_acquire);
        row_write_u64(&value, pool->timeouts);
        row_write_u64(&value, pool->closed_use_ns);
        row_write_u64(&value, pool->closed_life_ns);
        row_write_u64(&value, pool->closed_wait_ns);
        row_write_u64(&value, pool->used_time_ns);
        row_write_u64(&value, pool->idle_time_ns);
        row_write_u64(&value, pool->wait_time_ns);
        histogram_write(&pool->create_time, &value);
        histogram_write(&pool->wait_time, &value);
        histogram_write(&pool->use_time, &value);
        if (value.failed)
            rows->bytes.failed = true;
        rows_put(rows, ROWS_POOLS, (struct view){(char *)key, sizeof(key)},
                 (struct view){value.bytes, value.length});
        pool->is_dirty = false;
    }
}

int pools_restore(struct aggregate *aggregate, const struct row *row)
{
    struct row_reader reader = {.bytes = row->value};
    struct exponential_budget *budget = &aggregate->budget;
    uint64_t key[2];
    struct service *service;
    struct pool *pool;

    if (row->key.length != sizeof(key) || row_read_u8(&reader) != ROW_VERSION)
        return -EBADMSG;
    memcpy(key, row->key.bytes, sizeof(key));
    service = service_by_key(aggregate, key[0]);
    struct view name = row_read_view(&reader);
    if (!service || reader.failed)
        return -EBADMSG;
    pool = pool_new(aggregate, service, name, key[1]);
    if (!pool)
        return -ENOMEM;
    pool->start_ns = row_read_u64(&reader);
    pool->observes_acquire = row_read_u8(&reader);
    pool->timeouts = row_read_u64(&reader);
    pool->closed_use_ns = row_read_u64(&reader);
    pool->closed_life_ns = row_read_u64(&reader);
    pool->closed_wait_ns = row_read_u64(&reader);
    pool->used_time_ns = row_read_u64(&reader);
    pool->idle_time_ns = row_read_u64(&reader);
    pool->wait_time_ns = row_read_u64(&reader);
    if (!histogram_read(&pool->create_time, BOUNDS_SECONDS, budget, &reader) ||
        !histogram_read(&pool->wait_time, BOUNDS_SECONDS, budget, &reader) ||
        !histogram_read(&pool->use_time, BOUNDS_SECONDS, budget, &reader)) {
        service->pools = pool->next; /* it came first */
        aggregate->pool_count--;
        pool_free(aggregate, pool);
        return -EBADMSG;
    }
    return 0;
}

static void gauge(struct snapshot_builder *builder, enum metric_id metric,
                  const struct attributes *attributes, int64_t value)
{
    snapshot_builder_point(
        builder, metric, &(struct metric_point){.attributes = attributes, .value.integer = value});
}

static void sum(struct snapshot_builder *builder, enum metric_id metric,
                const struct attributes *attributes, const struct pool *pool, int64_t value)
{
    snapshot_builder_point(builder, metric,
                           &(struct metric_point){.attributes = attributes,
                                                  .start_unix_ns = pool->start_ns,
                                                  .value.integer = value});
}

static void seconds(struct snapshot_builder *builder, enum metric_id metric,
                    const struct attributes *attributes, const struct pool *pool, uint64_t value_ns)
{
    snapshot_builder_point(
        builder, metric,
        &(struct metric_point){.attributes = attributes,
                               .start_unix_ns = pool->start_ns,
                               .value.number = (double)value_ns / NS_PER_SECOND});
}

static void distribution(struct snapshot_builder *builder, enum metric_id metric,
                         const struct histogram *histogram, const struct pool *pool)
{
    struct metric_point point = {.attributes = pool->attributes, .start_unix_ns = pool->start_ns};

    point.value.histogram = histogram->count ? histogram_point(histogram, builder) : NULL;
    if (point.value.histogram)
        snapshot_builder_point(builder, metric, &point);
}

static void pool_points(const struct pool *pool, struct snapshot_builder *builder)
{
    const struct attributes *attributes = pool->attributes;

    sum(builder, METRIC_CONNECTION_COUNT, pool->used_attributes, pool, pool->used);
    sum(builder, METRIC_CONNECTION_COUNT, pool->idle_attributes, pool, pool->idle);
    if (pool->has_limits) {
        sum(builder, METRIC_CONNECTION_IDLE_MAX, attributes, pool, pool->idle_max);
        sum(builder, METRIC_CONNECTION_IDLE_MIN, attributes, pool, pool->idle_min);
        sum(builder, METRIC_CONNECTION_MAX, attributes, pool, pool->connections_max);
    }
    if (pool->observes_acquire) {
        sum(builder, METRIC_CONNECTION_PENDING, attributes, pool, pool->waiting);
        sum(builder, METRIC_CONNECTION_TIMEOUTS, attributes, pool, (int64_t)pool->timeouts);
        distribution(builder, METRIC_CONNECTION_WAIT_TIME, &pool->wait_time, pool);
        seconds(builder, METRIC_POOL_WAIT_REQUESTS_TIME, attributes, pool, pool->wait_time_ns);
        gauge(builder, METRIC_POOL_WAITING_PEAK, attributes, pool->waiting_peak);
    }
    distribution(builder, METRIC_CONNECTION_CREATE_TIME, &pool->create_time, pool);
    distribution(builder, METRIC_CONNECTION_USE_TIME, &pool->use_time, pool);
    seconds(builder, METRIC_POOL_CONNECTION_TIME, pool->used_attributes, pool, pool->used_time_ns);
    seconds(builder, METRIC_POOL_CONNECTION_TIME, pool->idle_attributes, pool, pool->idle_time_ns);
    gauge(builder, METRIC_POOL_USED_PEAK, attributes, pool->used_peak);
}

void pools_points(struct aggregate *aggregate, struct service *service,
                  struct snapshot_builder *builder)
{
    (void)aggregate;
    for (const struct pool *pool = service->pools; pool; pool = pool->next)
        pool_points(pool, builder);
}
