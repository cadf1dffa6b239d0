/* The stage as a whole: hands events to its parts, writes rows and points of all of them. */
#include "agent/aggregate/aggregate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/aggregate/house.h"

enum { DELETIONS_BYTES_MAX = 16 << 20 };

int aggregate_new(const struct aggregate_opts *opts, uint64_t now_unix_ns, struct aggregate **ret)
{
    struct aggregate *CLEANUP(aggregate_freep) aggregate = calloc(1, sizeof(*aggregate));

    if (!aggregate)
        return -ENOMEM;
    exponential_prepare();
    aggregate->opts = *opts;
    aggregate->now_ns = now_unix_ns;
    aggregate->budget.bytes_max = opts->histogram_bytes_max;
    rows_init(&aggregate->deletions, DELETIONS_BYTES_MAX);
    if (id_map_init(&aggregate->targets, TARGETS_MAX) < 0 || sets_init(aggregate) < 0 ||
        statements_init(aggregate) < 0)
        return -ENOMEM;
    *ret = STEAL(aggregate);
    return 0;
}

static void targets_deinit(struct aggregate *aggregate)
{
    for (size_t i = 0; aggregate->targets.buckets && i <= aggregate->targets.mask; i++) {
        struct id_entry *entry = aggregate->targets.buckets[i];
        while (entry) {
            struct target_entry *target = (struct target_entry *)entry;
            entry = entry->next;
            free(target->text);
            free(target);
        }
    }
    free(aggregate->targets.buckets);
}

struct aggregate *aggregate_free(struct aggregate *aggregate)
{
    if (!aggregate)
        return NULL;
    while (aggregate->shares) {
        struct share *share = aggregate->shares;
        aggregate->shares = share->next;
        free(share);
    }
    targets_deinit(aggregate);
    sets_deinit(aggregate);
    statements_deinit(aggregate);
    while (aggregate->services) {
        struct service *service = aggregate->services;
        aggregate->services = service->next;
        service_free(aggregate, service);
    }
    rows_deinit(&aggregate->deletions);
    free(aggregate);
    return NULL;
}

int aggregate_observe(struct aggregate *aggregate, const struct observation *observation)
{
    struct service *service = service_of(aggregate, observation->process->resource);
    bool is_counted = service != NULL;

    if (service)
        service->used_ns = aggregate->now_ns;
    if (is_counted && observation->head->header.kind == RECORD_STATEMENT)
        is_counted = sets_observe(aggregate, service, observation->statement) &&
                     statements_observe(aggregate, service, observation->statement);
    if (is_counted)
        is_counted = pools_observe(aggregate, service, observation);
    if (is_counted)
        return 0;
    aggregate->stats.out_of_memory++;
    return AGGREGATE_E_DROPPED;
}

void aggregate_tick(struct aggregate *aggregate, uint64_t now_unix_ns)
{
    aggregate->now_ns = now_unix_ns;
    sets_tick(aggregate);
}

/* ---- freeze --------------------------------------------------------------------------------- */

static void service_write(struct service *service, struct rows *rows)
{
    struct buffer CLEANUP(buffer_deinit) value = {0};

    if (service->is_saved && !service->overflow_is_dirty)
        return;
    buffer_init(&value, 1 << 20);
    row_write_u8(&value, ROW_VERSION);
    attributes_write(service->resource, &value);
    row_write_u64(&value, service->overflow_start_ns);
    row_write_u64(&value, service->overflow_calls);
    histogram_write(&service->overflow_duration, &value);
    histogram_write(&service->overflow_rows, &value);
    if (value.failed)
        rows->bytes.failed = true;
    rows_put(rows, ROWS_RESOURCES, (struct view){(char *)&service->key, sizeof(service->key)},
             (struct view){value.bytes, value.length});
    service->is_saved = true;
    service->overflow_is_dirty = false;
}

/* Texts of targets: eight bytes of key tell them from statements' texts. */
/* Texts that are in use stay, however many others come: what the table of names has not heard of
 * for longest leaves it. */
static void keep_texts(struct aggregate *aggregate)
{
    struct names *names = aggregate->opts.names;

    for (size_t i = 0; i <= aggregate->targets.mask; i++) {
        for (struct id_entry *entry = aggregate->targets.buckets[i]; entry; entry = entry->next) {
            const struct target_entry *target = (struct target_entry *)entry;
            if (target->is_known && !names_find(names, NAME_TARGET, target->id).bytes)
                (void)names_add(names, NAME_TARGET, target->id, 0,
                                (struct view){target->text, target->text_length});
        }
    }
    for (const struct set *set = aggregate->sets.admitted; set; set = set->next)
        (void)names_find(names, NAME_STATEMENT, set->key.fingerprint);
    statements_keep_texts(aggregate);
}

static void targets_write(struct aggregate *aggregate, struct rows *rows)
{
    for (size_t i = 0; i <= aggregate->targets.mask; i++) {
        for (struct id_entry *entry = aggregate->targets.buckets[i]; entry; entry = entry->next) {
            struct target_entry *target = (struct target_entry *)entry;
            if (target->is_saved || !target->is_known)
                continue;
            rows_put(rows, ROWS_NAMES, (struct view){(char *)&target->id, sizeof(target->id)},
                     (struct view){target->text, target->text_length});
            target->is_saved = true;
        }
    }
}

/* The fingerprint that an admitted set stands for, once a service. */
static void statement_info_points(struct aggregate *aggregate, struct service *service,
                                  struct snapshot_builder *builder)
{
    for (struct set *set = aggregate->sets.admitted; set; set = set->next) {
        char fingerprint[17];
        struct attribute items[3];
        size_t count = 0;
        bool is_first = set->key.service == service;
        struct view text;

        for (struct set *before = aggregate->sets.admitted; is_first && before != set;
             before = before->next)
            is_first =
                before->key.service != service || before->key.fingerprint != set->key.fingerprint;
        text = is_first ? names_find(aggregate->opts.names, NAME_STATEMENT, set->key.fingerprint)
                        : (struct view){NULL, 0};
        if (!text.bytes)
            continue;
        (void)snprintf(fingerprint, sizeof(fingerprint), "%016llx",
                       (unsigned long long)set->key.fingerprint);
        items[count++] = attribute_string("weir.statement.fingerprint", view_from(fingerprint));
        items[count++] = attribute_string("db.query.text", text);
        const struct attribute *summary =
            attributes_find(set->attributes, VIEW_LITERAL("db.query.summary"));
        if (summary)
            items[count++] = *summary;
        const struct attributes *CLEANUP(attributes_unrefp) attributes =
            attributes_new(items, count);
        if (attributes)
            snapshot_builder_point(
                builder, METRIC_STATEMENT_INFO,
                &(struct metric_point){.attributes = attributes, .value.integer = 1});
    }
}

void aggregate_freeze(struct aggregate *aggregate, uint64_t now_unix_ns, struct rows *rows,
                      struct snapshot_builder *builder)
{
    aggregate->now_ns = now_unix_ns;
    keep_texts(aggregate);
    pools_sum(aggregate);
    rows_move(rows, &aggregate->deletions);
    for (struct service *service = aggregate->services; service; service = service->next) {
        service_write(service, rows);
        pools_write(aggregate, service, rows);
        if (!builder)
            continue;
        snapshot_builder_resource(builder, service->resource, false);
        sets_points(aggregate, service, builder);
        pools_points(aggregate, service, builder);
        if (aggregate->opts.statement_info)
            statement_info_points(aggregate, service, builder);
    }
    targets_write(aggregate, rows);
    sets_write(aggregate, rows);
    statements_write(aggregate, rows);
}

void aggregate_mark_unsaved(struct aggregate *aggregate)
{
    for (struct service *service = aggregate->services; service; service = service->next) {
        service->is_saved = false;
        for (struct pool *pool = service->pools; pool; pool = pool->next)
            pool->is_dirty = true;
    }
    for (size_t i = 0; i <= aggregate->targets.mask; i++) {
        for (struct id_entry *entry = aggregate->targets.buckets[i]; entry; entry = entry->next)
            ((struct target_entry *)entry)->is_saved = false;
    }
    sets_mark_unsaved(aggregate);
    statements_mark_unsaved(aggregate);
}

static int service_restore(struct aggregate *aggregate, const struct row *row)
{
    struct row_reader reader = {.bytes = row->value};
    uint64_t key;

    if (row->key.length != sizeof(key) || row_read_u8(&reader) != ROW_VERSION)
        return -EBADMSG;
    memcpy(&key, row->key.bytes, sizeof(key));
    const struct attributes *CLEANUP(attributes_unrefp) resource = attributes_read(&reader);
    if (!resource)
        return -EBADMSG;
    struct service *service = service_add(aggregate, resource, key);
    if (!service)
        return -ENOMEM;
    service->is_saved = true;
    service->overflow_start_ns = row_read_u64(&reader);
    service->overflow_calls = row_read_u64(&reader);
    if (!histogram_read(&service->overflow_duration, BOUNDS_SECONDS, &aggregate->budget, &reader) ||
        !histogram_read(&service->overflow_rows, BOUNDS_ROWS, &aggregate->budget, &reader)) {
        /* Its sets and pools may still be readable; its overflow begins anew. */
        histogram_deinit(&service->overflow_duration, &aggregate->budget);
        histogram_init(&service->overflow_duration, BOUNDS_SECONDS);
        service->overflow_start_ns = aggregate->now_ns;
        service->overflow_calls = 0;
        return -EBADMSG;
    }
    aggregate->stats.overflow_calls += service->overflow_calls;
    return 0;
}

int aggregate_restore(struct aggregate *aggregate, const struct row *row)
{
    switch (row->table) {
    case ROWS_RESOURCES:
        return service_restore(aggregate, row);
    case ROWS_SERIES:
        return sets_restore(aggregate, row);
    case ROWS_POOLS:
        return pools_restore(aggregate, row);
    case ROWS_STATEMENTS:
        return statements_restore(aggregate, row);
    case ROWS_NAMES:
        if (row->key.length == sizeof(uint64_t)) {
            uint64_t id;
            memcpy(&id, row->key.bytes, sizeof(id));
            int r = names_add(aggregate->opts.names, NAME_TARGET, id, 0, row->value);
            return r < 0 ? r : 0;
        }
        return statements_restore(aggregate, row);
    case ROWS_LEDGER:
    case ROWS_POSITIONS:
    case ROWS_SPANS:
    case ROWS_END:
        break;
    }
    return -EBADMSG;
}

struct aggregate_stats aggregate_stats(const struct aggregate *aggregate)
{
    struct aggregate_stats stats = aggregate->stats;

    stats.sets = aggregate->sets.admitted_count;
    stats.statements = aggregate->statements.count;
    stats.pools = aggregate->pool_count;
    stats.services = aggregate->service_count;
    stats.histograms_downscaled = aggregate->budget.downscaled;
    return stats;
}
