/* Points are collected per resource and metric, then laid out in one arena. */
#include "agent/model/snapshot.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

enum { ARENA_BLOCK_SIZE = 64 << 10, ARENA_ALIGN = 16 };

struct arena_block {
    struct arena_block *next;
    size_t used, size;
    _Alignas(ARENA_ALIGN) char bytes[];
};

struct snapshot_block {
    struct snapshot snapshot; /* first: what callers hold */
    _Atomic uint32_t references;
    struct arena_block *arena;
};

/* Points of one metric of one resource, as they come in. */
struct collected_metric {
    struct metric_point *points;
    uint32_t count, capacity;
};

struct collected_resource {
    const struct attributes *resource;
    bool is_agent;
    struct collected_metric metrics[METRIC_ID_END];
};

struct snapshot_builder {
    struct arena_block *arena;
    struct collected_resource *resources;
    uint32_t resource_count, resource_capacity;
    uint32_t current; /* among them */
    bool failed;
};

static void arena_free(struct arena_block *block)
{
    while (block) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
}

static void *arena_alloc(struct arena_block **arena, size_t size)
{
    struct arena_block *block = *arena;

    size = align_up(size ? size : 1, ARENA_ALIGN);
    if (!block || block->size - block->used < size) {
        size_t room = size > ARENA_BLOCK_SIZE ? size : ARENA_BLOCK_SIZE;
        block = malloc(sizeof(*block) + room);
        if (!block)
            return NULL;
        *block = (struct arena_block){.next = *arena, .size = room};
        *arena = block;
    }
    block->used += size;
    return block->bytes + block->used - size;
}

struct snapshot_builder *snapshot_builder_new(void)
{
    return calloc(1, sizeof(struct snapshot_builder));
}

void snapshot_builder_resource(struct snapshot_builder *builder, const struct attributes *resource,
                               bool is_agent)
{
    for (uint32_t i = 0; i < builder->resource_count; i++) {
        if (attributes_equal(builder->resources[i].resource, resource)) {
            builder->current = i;
            return;
        }
    }
    if (builder->resource_count == builder->resource_capacity) {
        uint32_t capacity = builder->resource_capacity ? 2 * builder->resource_capacity : 8;
        struct collected_resource *grown = realloc(builder->resources, capacity * sizeof(*grown));
        if (!grown) {
            builder->failed = true;
            return;
        }
        builder->resources = grown;
        builder->resource_capacity = capacity;
    }
    builder->current = builder->resource_count++;
    struct collected_resource *added = &builder->resources[builder->current];
    memset(added, 0, sizeof(*added));
    added->resource = attributes_ref(resource);
    added->is_agent = is_agent;
}

void snapshot_builder_point(struct snapshot_builder *builder, enum metric_id metric,
                            const struct metric_point *point)
{
    struct collected_metric *collected;

    if (builder->failed || builder->resource_count == 0)
        return;
    collected = &builder->resources[builder->current].metrics[metric];
    if (collected->count == collected->capacity) {
        uint32_t capacity = collected->capacity ? 2 * collected->capacity : 8;
        struct metric_point *grown = realloc(collected->points, capacity * sizeof(*grown));
        if (!grown) {
            builder->failed = true;
            return;
        }
        collected->points = grown;
        collected->capacity = capacity;
    }
    collected->points[collected->count] = *point;
    attributes_ref(point->attributes);
    collected->count++;
}

void *snapshot_builder_alloc(struct snapshot_builder *builder, size_t size)
{
    void *memory = arena_alloc(&builder->arena, size);

    if (!memory)
        builder->failed = true;
    return memory;
}

/* Copies one resource's points into the arena; their references move along. */
static void lay_out(struct snapshot_builder *builder, const struct collected_resource *from,
                    struct resource_metrics *ret)
{
    struct metric_points metrics[METRIC_ID_END];
    uint32_t count = 0;

    for (size_t id = 0; id < METRIC_ID_END; id++) {
        const struct collected_metric *collected = &from->metrics[id];
        if (!collected->count)
            continue;
        struct metric_point *points =
            snapshot_builder_alloc(builder, collected->count * sizeof(*points));
        if (!points)
            return;
        memcpy(points, collected->points, collected->count * sizeof(*points));
        metrics[count++] = (struct metric_points){(enum metric_id)id, collected->count, points};
    }
    struct metric_points *laid = snapshot_builder_alloc(builder, count * sizeof(*laid));
    if (!laid)
        return;
    memcpy(laid, metrics, count * sizeof(*laid));
    *ret = (struct resource_metrics){from->resource, from->is_agent, count, laid};
}

static void builder_free(struct snapshot_builder *builder, bool references_moved)
{
    for (uint32_t r = 0; r < builder->resource_count; r++) {
        struct collected_resource *resource = &builder->resources[r];
        for (size_t id = 0; id < METRIC_ID_END; id++) {
            for (uint32_t p = 0; !references_moved && p < resource->metrics[id].count; p++)
                attributes_unref(resource->metrics[id].points[p].attributes);
            free(resource->metrics[id].points);
        }
        if (!references_moved)
            attributes_unref(resource->resource);
    }
    free(builder->resources);
    arena_free(builder->arena);
    free(builder);
}

const struct snapshot *snapshot_builder_finish(struct snapshot_builder *builder,
                                               uint64_t time_unix_ns, uint64_t generation)
{
    struct snapshot_block *block = calloc(1, sizeof(*block));
    struct resource_metrics *resources =
        snapshot_builder_alloc(builder, builder->resource_count * sizeof(struct resource_metrics));

    for (uint32_t r = 0; resources && r < builder->resource_count; r++) {
        memset(&resources[r], 0, sizeof(resources[r]));
        lay_out(builder, &builder->resources[r], &resources[r]);
    }
    if (!block || builder->failed) {
        free(block);
        builder_free(builder, false);
        return NULL;
    }
    block->snapshot =
        (struct snapshot){time_unix_ns, generation, builder->resource_count, resources};
    atomic_init(&block->references, 1);
    block->arena = builder->arena;
    builder->arena = NULL;
    builder_free(builder, true);
    return &block->snapshot;
}

const struct snapshot *snapshot_ref(const struct snapshot *snapshot)
{
    struct snapshot_block *block = (struct snapshot_block *)(uintptr_t)snapshot;

    if (snapshot)
        atomic_fetch_add_explicit(&block->references, 1, memory_order_relaxed);
    return snapshot;
}

const struct snapshot *snapshot_unref(const struct snapshot *snapshot)
{
    struct snapshot_block *block = (struct snapshot_block *)(uintptr_t)snapshot;

    if (!snapshot || atomic_fetch_sub_explicit(&block->references, 1, memory_order_acq_rel) != 1)
        return NULL;
    for (uint32_t r = 0; r < snapshot->resource_count; r++) {
        const struct resource_metrics *resource = &snapshot->resources[r];
        for (uint32_t m = 0; m < resource->metric_count; m++) {
            for (uint32_t p = 0; p < resource->metrics[m].point_count; p++)
                attributes_unref(resource->metrics[m].points[p].attributes);
        }
        attributes_unref(resource->resource);
    }
    arena_free(block->arena);
    free(block);
    return NULL;
}
