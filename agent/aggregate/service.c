/* Services by resource, targets by service and name id. */
#include <string.h>

#include "agent/aggregate/house.h"

static struct service *service_find(struct aggregate *aggregate, const struct attributes *resource)
{
    for (struct service *service = aggregate->services; service; service = service->next) {
        if (attributes_equal(service->resource, resource))
            return service;
    }
    return NULL;
}

struct service *service_by_key(struct aggregate *aggregate, uint64_t key)
{
    struct service *service = aggregate->services;

    while (service && service->key != key)
        service = service->next;
    return service;
}

struct service *service_add(struct aggregate *aggregate, const struct attributes *resource,
                            uint64_t key)
{
    struct service *service = calloc(1, sizeof(*service)), **last = &aggregate->services;

    if (!service)
        return NULL;
    service->resource = attributes_ref(resource);
    service->key = key;
    service->overflow_start_ns = aggregate->now_ns;
    service->used_ns = aggregate->now_ns;
    histogram_init(&service->overflow_duration, BOUNDS_SECONDS);
    histogram_init(&service->overflow_rows, BOUNDS_ROWS);
    while (*last)
        last = &(*last)->next;
    *last = service;
    aggregate->service_count++;
    return service;
}

void service_free(struct aggregate *aggregate, struct service *service)
{
    while (service->pools) {
        struct pool *pool = service->pools;
        service->pools = pool->next;
        pool_free(aggregate, pool);
    }
    histogram_deinit(&service->overflow_duration, &aggregate->budget);
    histogram_deinit(&service->overflow_rows, &aggregate->budget);
    attributes_unref(service->resource);
    free(service);
}

/* Past the limit all newcomers share one resource, which says so. */
static struct service *overflow_service(struct aggregate *aggregate)
{
    if (!aggregate->overflow_service) {
        const struct attributes *CLEANUP(attributes_unrefp) resource = resource_overflow();
        if (resource) {
            struct service *found = service_find(aggregate, resource);
            aggregate->overflow_service =
                found ? found : service_add(aggregate, resource, resource->hash);
        }
    }
    return aggregate->overflow_service;
}

/* The one that newcomers share takes no place. */
static bool is_full(const struct aggregate *aggregate)
{
    uint32_t shared = aggregate->overflow_service ? 1 : 0;

    return aggregate->service_count - shared >= aggregate->opts.services_max;
}

struct service *service_of(struct aggregate *aggregate, const struct attributes *resource)
{
    struct service *service = aggregate->recent_service;

    if (service && service->resource == resource)
        return service;
    service = service_find(aggregate, resource);
    if (!service && is_full(aggregate))
        return overflow_service(aggregate);
    if (!service)
        service = service_add(aggregate, resource, resource->hash);
    aggregate->recent_service = service;
    return service;
}

/* The text of a target may come later than its first event. */
static void target_learn(struct aggregate *aggregate, struct target_entry *target)
{
    struct view text = names_find(aggregate->opts.names, NAME_TARGET, target->id);

    if (!text.bytes)
        return;
    target->text = malloc(text.length + 1);
    if (!target->text)
        return;
    memcpy(target->text, text.bytes, text.length);
    target->text[text.length] = '\0'; /* its last line, the port, is read as a number */
    target->text_length = text.length;
    target->target = target_parse((struct view){target->text, text.length});
    target->is_known = true;
}

struct target_entry *target_of(struct aggregate *aggregate, struct service *service, uint64_t id)
{
    uint64_t hash = id_mix(id, (uint64_t)(uintptr_t)service);
    struct target_entry *target = (struct target_entry *)id_map_first(&aggregate->targets, hash);

    while (target && (target->id != id || target->service != service))
        target = (struct target_entry *)target->entry.next;
    if (!target) {
        if (aggregate->targets.count >= TARGETS_MAX)
            return NULL;
        target = calloc(1, sizeof(*target));
        if (!target)
            return NULL;
        target->id = id;
        target->service = service;
        id_map_add(&aggregate->targets, &target->entry, hash);
    }
    if (!target->is_known)
        target_learn(aggregate, target);
    return target;
}

struct pool *pool_of_target(struct aggregate *aggregate, struct target_entry *target)
{
    if (!target)
        return NULL;
    if (!target->pool && target->is_known)
        target->pool = pool_add(aggregate, target->service, target->target.pool);
    return target->pool;
}

void attributes_write(const struct attributes *attributes, struct buffer *value)
{
    row_write_u32(value, (uint32_t)attributes->count);
    for (size_t i = 0; i < attributes->count; i++) {
        const struct attribute *item = &attributes->items[i];
        row_write_view(value, item->key);
        row_write_u8(value, (uint8_t)item->type);
        if (item->type == ATTRIBUTE_STRING)
            row_write_view(value, item->value.string);
        else if (item->type == ATTRIBUTE_BOOL)
            row_write_u64(value, item->value.boolean);
        else
            row_write_u64(value, (uint64_t)item->value.integer);
    }
}

const struct attributes *attributes_read(struct row_reader *reader)
{
    struct attribute items[ATTRIBUTES_MAX];
    uint32_t count = row_read_u32(reader);

    if (count > ATTRIBUTES_MAX)
        reader->failed = true;
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        items[i].key = row_read_view(reader);
        items[i].type = (enum attribute_type)row_read_u8(reader);
        if (items[i].type == ATTRIBUTE_STRING)
            items[i].value.string = row_read_view(reader);
        else if (items[i].type == ATTRIBUTE_BOOL)
            items[i].value.boolean = row_read_u64(reader) != 0;
        else
            items[i].value.integer = (int64_t)row_read_u64(reader);
    }
    return reader->failed ? NULL : attributes_new(items, count);
}

/* ---- expiry ---------------------------------------------------------------------------------- */

static bool is_elsewhere(const struct aggregate *aggregate, const struct target_entry *gone)
{
    for (size_t i = 0; i <= aggregate->targets.mask; i++) {
        for (struct id_entry *entry = aggregate->targets.buckets[i]; entry; entry = entry->next) {
            const struct target_entry *target = (struct target_entry *)entry;
            if (target != gone && target->id == gone->id)
                return true;
        }
    }
    return false;
}

static void targets_retire(struct aggregate *aggregate, const struct service *service)
{
    for (size_t i = 0; i <= aggregate->targets.mask; i++) {
        struct id_entry *entry = aggregate->targets.buckets[i];
        while (entry) {
            struct target_entry *target = (struct target_entry *)entry;
            entry = entry->next;
            if (target->service != service)
                continue;
            if (target->is_saved && !is_elsewhere(aggregate, target))
                rows_put(&aggregate->deletions, ROWS_NAMES,
                         (struct view){(char *)&target->id, sizeof(target->id)},
                         (struct view){NULL, 0});
            id_map_remove(&aggregate->targets, &target->entry);
            free(target->text);
            free(target);
        }
    }
}

static void service_retire(struct aggregate *aggregate, struct service *service)
{
    struct service **link = &aggregate->services;

    sets_retire(aggregate, service);
    statements_retire(aggregate, service);
    targets_retire(aggregate, service);
    for (const struct pool *pool = service->pools; pool; pool = pool->next) {
        uint64_t key[2] = {service->key, pool->key};
        rows_put(&aggregate->deletions, ROWS_POOLS, (struct view){(char *)key, sizeof(key)},
                 (struct view){NULL, 0});
        aggregate->pool_count--;
    }
    rows_put(&aggregate->deletions, ROWS_RESOURCES,
             (struct view){(char *)&service->key, sizeof(service->key)}, (struct view){NULL, 0});
    while (*link != service)
        link = &(*link)->next;
    *link = service->next;
    aggregate->service_count--;
    if (aggregate->recent_service == service)
        aggregate->recent_service = NULL;
    service_free(aggregate, service);
}

static bool is_alive(const struct aggregate *aggregate, const struct service *service)
{
    for (const struct share *share = aggregate->shares; share; share = share->next) {
        if (share->pool->service == service)
            return true;
    }
    return false;
}

void services_expire(struct aggregate *aggregate)
{
    struct service *next;

    if (!is_full(aggregate))
        return;
    for (struct service *service = aggregate->services; service; service = next) {
        next = service->next;
        if (service != aggregate->overflow_service &&
            aggregate->now_ns > service->used_ns + IDLE_MINUTES * UINT64_C(60000000000) &&
            !is_alive(aggregate, service))
            service_retire(aggregate, service);
    }
}
