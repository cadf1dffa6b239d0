#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* ---- the checkpoint -------------------------------------------------------------------------- */

static struct view copy_of(struct view view)
{
    char *bytes = malloc(view.length + 1); /* exact but for one: asan sees a look beyond */

    assert_non_null(bytes);
    if (view.length)
        memcpy(bytes, view.bytes, view.length);
    return (struct view){bytes, view.length};
}

static int row_compare(const struct store_row *stored, const struct row *row)
{
    size_t shorter = stored->key.length < row->key.length ? stored->key.length : row->key.length;
    int order = (stored->table > row->table) - (stored->table < row->table);

    if (order == 0 && shorter)
        order = memcmp(stored->key.bytes, row->key.bytes, shorter);
    if (order == 0)
        order = (stored->key.length > row->key.length) - (stored->key.length < row->key.length);
    return order;
}

static void row_free(struct store_row *row)
{
    free((char *)(uintptr_t)row->key.bytes);
    free((char *)(uintptr_t)row->value.bytes);
    free(row);
}

void store_apply(struct store *store, const struct rows *rows)
{
    size_t offset = 0;
    struct row row;

    assert_false(rows->bytes.failed);
    while (rows_next(rows, &offset, &row)) {
        struct store_row **link = &store->first, *stored;
        while (*link && row_compare(*link, &row) < 0)
            link = &(*link)->next;
        if (*link && row_compare(*link, &row) == 0) {
            stored = *link;
            *link = stored->next;
            row_free(stored);
            store->count--;
        }
        if (!row.value.length)
            continue;
        stored = malloc(sizeof(*stored));
        *stored = (struct store_row){*link, row.table, copy_of(row.key), copy_of(row.value)};
        *link = stored;
        store->count++;
    }
}

void store_clear(struct store *store)
{
    while (store->first) {
        struct store_row *row = store->first;
        store->first = row->next;
        row_free(row);
    }
    store->count = 0;
}

size_t store_count(const struct store *store, enum row_table table)
{
    size_t count = 0;

    for (const struct store_row *row = store->first; row; row = row->next)
        count += row->table == table;
    return count;
}

/* ---- the world ------------------------------------------------------------------------------- */

static struct view summary_of(void *userdata, uint64_t fingerprint, struct view text)
{
    (void)userdata;
    (void)fingerprint;
    text.length = text.length < 6 ? text.length : 6;
    return text;
}

static void world_begin(struct world *world)
{
    assert_int_equal(names_new(&(struct names_opts){10000, 1 << 24}, &world->names), 0);
    world->opts.names = world->names;
    assert_int_equal(aggregate_new(&world->opts, world->now_ns, &world->aggregate), 0);
}

void world_init(struct world *world, const struct aggregate_opts *opts)
{
    *world = (struct world){.opts = *opts, .now_ns = 1000000 * MINUTE};
    if (!opts->sets_per_service_max)
        world->opts.sets_per_service_max = 50;
    if (!opts->sets_max)
        world->opts.sets_max = 200;
    if (!opts->statements_max)
        world->opts.statements_max = 5000;
    if (!opts->pools_max)
        world->opts.pools_max = 256;
    if (!opts->services_max)
        world->opts.services_max = 64;
    if (!opts->histogram_bytes_max)
        world->opts.histogram_bytes_max = 16 << 20;
    world->opts.statement_info = true;
    world->opts.summary = summary_of;
    world_begin(world);
}

void world_deinit(struct world *world)
{
    world->aggregate = aggregate_free(world->aggregate);
    world->names = names_free(world->names);
    store_clear(&world->store);
}

void world_restart(struct world *world)
{
    aggregate_free(world->aggregate);
    names_free(world->names);
    world_begin(world);
    for (const struct store_row *row = world->store.first; row; row = row->next)
        assert_int_equal(
            aggregate_restore(world->aggregate, &(struct row){row->table, row->key, row->value}),
            0);
}

const struct snapshot *world_commit(struct world *world)
{
    struct snapshot_builder *builder = snapshot_builder_new();
    struct rows rows;

    rows_init(&rows, 64 << 20);
    aggregate_freeze(world->aggregate, world->now_ns, &rows, builder);
    world->rows_written = rows.count;
    store_apply(&world->store, &rows);
    rows_deinit(&rows);
    const struct snapshot *snapshot =
        snapshot_builder_finish(builder, world->now_ns, ++world->generation);
    assert_non_null(snapshot);
    return snapshot;
}

void world_tick(struct world *world, uint64_t passed_ns)
{
    world->now_ns += passed_ns;
    aggregate_tick(world->aggregate, world->now_ns);
}

/* ---- who and what ---------------------------------------------------------------------------- */

struct process *process_of(const char *service, uint32_t pid)
{
    static uint64_t clients;
    struct process *process = calloc(1, sizeof(*process));
    const struct attribute items[] = {
        attribute_string("service.name", view_from(service)),
        attribute_string("service.instance.id", VIEW_LITERAL("instance")),
    };

    clients += 0x9E3779B97F4A7C15u; /* as good as random, as the real ones are */
    memcpy(process->client_id, &clients, sizeof(clients));
    memcpy(process->client_id + sizeof(clients), &clients, sizeof(clients));
    process->pid = pid;
    process->resource = attributes_new(items, 2);
    assert_non_null(process->resource);
    return process;
}

struct process *process_free(struct process *process)
{
    attributes_unref(process->resource);
    free(process);
    return NULL;
}

uint64_t target_add(struct world *world, const char *text)
{
    uint64_t id = XXH3_64bits(text, strlen(text));

    assert_int_equal(names_add(world->names, NAME_TARGET, id, 0, view_from(text)), 0);
    return id;
}

void event_observe(struct world *world, const struct process *process, enum record_kind kind,
                   struct event_head *head)
{
    struct observation observation = {.process = process, .time_unix_ns = world->now_ns};

    head->header.kind = (uint16_t)kind;
    head->header.length = EVENT_CORE_SIZE;
    observation.head = head;
    assert_int_equal(aggregate_observe(world->aggregate, &observation), 0);
}

void call_observe(struct world *world, const struct process *process, const struct call *call)
{
    struct record_statement record = {
        .head = {.target = call->target, .hold_id = call->hold_id, .flags = call->flags},
        .fingerprint = call->fingerprint,
        .duration_ns = call->duration_ns,
        .rows = call->rows,
        .failure = call->failure,
        .slot = RECORD_NO_SLOT,
    };

    memcpy(record.sqlstate, call->sqlstate, sizeof(record.sqlstate));
    event_observe(world, process, RECORD_STATEMENT, &record.head);
}

/* ---- what is shown --------------------------------------------------------------------------- */

const struct resource_metrics *resource_in(const struct snapshot *snapshot,
                                           const struct attributes *resource)
{
    for (uint32_t i = 0; i < snapshot->resource_count; i++) {
        if (attributes_equal(snapshot->resources[i].resource, resource))
            return &snapshot->resources[i];
    }
    return NULL;
}

const struct metric_points *metric_in(const struct resource_metrics *resource,
                                      enum metric_id metric)
{
    for (uint32_t i = 0; resource && i < resource->metric_count; i++) {
        if (resource->metrics[i].metric == metric)
            return &resource->metrics[i];
    }
    return NULL;
}

const struct metric_point *point_in(const struct metric_points *points, const char *key,
                                    const char *value)
{
    const struct metric_point *only = NULL;

    for (uint32_t i = 0; points && i < points->point_count; i++) {
        const struct attribute *found =
            attributes_find(points->points[i].attributes, view_from(key));
        bool is_it = value ? found && found->type == ATTRIBUTE_STRING &&
                                 view_equal(found->value.string, view_from(value))
                           : !found;
        if (is_it && only)
            return NULL;
        if (is_it)
            only = &points->points[i];
    }
    return only;
}

bool is_overflow(const struct metric_point *point)
{
    return attributes_find(point->attributes, VIEW_LITERAL("otel.metric.overflow")) != NULL;
}
