#include "agent/aggregate/ledger.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/aggregate/account.h"
#include "agent/aggregate/house.h"

enum {
    KEY_CLIENT = 'c',
    KEY_SERVICE = 's',
    KEY_SIZE = 1 + 16,
    DELETIONS_BYTES_MAX = 4 << 20,
};

struct ledger_service {
    struct ledger_service *next;
    const struct attributes *resource;
    struct account folded;
    bool has_folded;
    uint64_t start_ns; /* of its counters */
    /* As shown to the outside, where a counter that goes down would mean a restart: what was given
     * up for lost may come back. */
    uint64_t shown_recorded, shown_dropped[DROP_END];
};

struct entry {
    struct entry *next; /* older ones first */
    struct ledger_service *service;
    const struct attributes *resource;
    uint8_t client_id[16];
    uint32_t pid;
    struct account account;
    bool is_alive, is_awaited, tail_unknown;
    enum process_observed observed;
};

struct ledger {
    struct ledger_opts opts;
    uint64_t start_ns;
    struct ledger_service *services;
    uint32_t service_count;
    struct entry *oldest, **newest;
    uint32_t entry_count;
    struct rows deletions; /* of folded clients, for the next freeze */
};

int ledger_new(const struct ledger_opts *opts, uint64_t now_unix_ns, struct ledger **ret)
{
    struct ledger *ledger = calloc(1, sizeof(*ledger));

    if (!ledger)
        return -ENOMEM;
    ledger->opts = *opts;
    ledger->start_ns = now_unix_ns;
    ledger->newest = &ledger->oldest;
    rows_init(&ledger->deletions, DELETIONS_BYTES_MAX);
    *ret = ledger;
    return 0;
}

struct ledger *ledger_free(struct ledger *ledger)
{
    if (!ledger)
        return NULL;
    while (ledger->oldest) {
        struct entry *entry = ledger->oldest;
        ledger->oldest = entry->next;
        attributes_unref(entry->resource);
        free(entry);
    }
    while (ledger->services) {
        struct ledger_service *service = ledger->services;
        ledger->services = service->next;
        attributes_unref(service->resource);
        free(service);
    }
    rows_deinit(&ledger->deletions);
    free(ledger);
    return NULL;
}

/* ---- services and entries -------------------------------------------------------------------- */

static struct ledger_service *ledger_service_add(struct ledger *ledger,
                                                 const struct attributes *resource)
{
    struct ledger_service *service = calloc(1, sizeof(*service));

    if (!service)
        return NULL;
    service->resource = attributes_ref(resource);
    service->start_ns = ledger->start_ns;
    service->next = ledger->services;
    ledger->services = service;
    ledger->service_count++;
    return service;
}

static struct ledger_service *ledger_service_of(struct ledger *ledger,
                                                const struct attributes *resource)
{
    struct ledger_service *service = ledger->services;

    while (service && !attributes_equal(service->resource, resource))
        service = service->next;
    if (service || ledger->service_count < ledger->opts.services_max)
        return service ? service : ledger_service_add(ledger, resource);
    const struct attributes *CLEANUP(attributes_unrefp) overflow = resource_overflow();
    if (!overflow)
        return NULL;
    service = ledger->services;
    while (service && !attributes_equal(service->resource, overflow))
        service = service->next;
    return service ? service : ledger_service_add(ledger, overflow);
}

static void entry_key(const struct entry *entry, char ret[KEY_SIZE])
{
    ret[0] = KEY_CLIENT;
    memcpy(ret + 1, entry->client_id, sizeof(entry->client_id));
}

static struct entry *entry_find(const struct ledger *ledger, const uint8_t client_id[16])
{
    struct entry *entry = ledger->oldest;

    while (entry && memcmp(entry->client_id, client_id, sizeof(entry->client_id)) != 0)
        entry = entry->next;
    return entry;
}

/* Makes room by folding the client that came first among those that ended. */
static void entries_fold_one(struct ledger *ledger)
{
    struct entry **at = &ledger->oldest, *entry;
    char key[KEY_SIZE];

    while (*at && ((*at)->is_alive || (*at)->is_awaited))
        at = &(*at)->next;
    entry = *at;
    if (!entry)
        return;
    *at = entry->next;
    if (ledger->newest == &entry->next)
        ledger->newest = at;
    ledger->entry_count--;
    account_fold(&entry->service->folded, &entry->account);
    entry->service->has_folded = true;
    entry_key(entry, key);
    rows_put(&ledger->deletions, ROWS_LEDGER, (struct view){key, sizeof(key)}, (struct view){0});
    attributes_unref(entry->resource);
    free(entry);
}

static struct entry *entry_add(struct ledger *ledger, const uint8_t client_id[16],
                               const struct attributes *resource)
{
    struct ledger_service *service = ledger_service_of(ledger, resource);
    struct entry *entry = service ? calloc(1, sizeof(*entry)) : NULL;

    if (!entry)
        return NULL;
    memcpy(entry->client_id, client_id, sizeof(entry->client_id));
    entry->service = service;
    entry->resource = attributes_ref(resource);
    entry->account.is_dirty = true;
    *ledger->newest = entry;
    ledger->newest = &entry->next;
    ledger->entry_count++;
    return entry;
}

void ledger_client(struct ledger *ledger, const struct process *process)
{
    struct entry *entry = entry_find(ledger, process->client_id);

    if (!entry) {
        if (ledger->entry_count >= ledger->opts.rows_max)
            entries_fold_one(ledger);
        entry = entry_add(ledger, process->client_id, process->resource);
    }
    if (!entry)
        return;
    entry->pid = process->pid;
    entry->is_alive = true;
    entry->is_awaited = false;
    if (entry->tail_unknown) { /* it was only away: what it has to say is known again */
        entry->tail_unknown = false;
        entry->account.counts.dropped[DROP_SEGMENT_LOST] = 0;
    }
    entry->account.is_dirty = true;
}

void ledger_update(struct ledger *ledger, const struct process *process,
                   const struct ledger_counts *counts)
{
    struct entry *entry = entry_find(ledger, process->client_id);

    if (entry)
        account_update(&entry->account, counts);
}

bool ledger_observed(struct ledger *ledger, const struct process *process,
                     enum process_observed observed)
{
    struct entry *entry = entry_find(ledger, process->client_id);

    if (!entry || entry->observed == observed)
        return false;
    entry->observed = observed;
    entry->account.is_dirty = true;
    return true;
}

void ledger_lost(struct ledger *ledger, const struct process *process)
{
    struct entry *entry = entry_find(ledger, process->client_id);

    if (!entry)
        return;
    entry->account.lost++;
    entry->account.is_dirty = true;
}

void ledger_ended(struct ledger *ledger, const struct process *process,
                  const struct ledger_counts *counts)
{
    struct entry *entry = entry_find(ledger, process->client_id);

    if (!entry)
        return;
    account_update(&entry->account, counts);
    entry->is_alive = false;
    entry->account.is_dirty = true;
}

void ledger_close_absent(struct ledger *ledger)
{
    for (struct entry *entry = ledger->oldest; entry; entry = entry->next) {
        struct ledger_counts *counts = &entry->account.counts;
        if (!entry->is_awaited)
            continue;
        entry->is_alive = entry->is_awaited = false;
        entry->tail_unknown = true;
        counts->in_lanes = 0;
        counts->dropped[DROP_SEGMENT_LOST] +=
            counts->recorded - account_read(&entry->account) - account_dropped(&entry->account);
        entry->account.is_dirty = true;
    }
}

/* ---- what arrived ---------------------------------------------------------------------------- */

void ledger_mark(struct ledger *ledger, uint64_t generation)
{
    for (struct entry *entry = ledger->oldest; entry; entry = entry->next)
        account_mark(&entry->account, generation);
    for (struct ledger_service *service = ledger->services; service; service = service->next)
        account_mark(&service->folded, generation);
}

void ledger_exported(struct ledger *ledger, uint64_t generation)
{
    for (struct entry *entry = ledger->oldest; entry; entry = entry->next)
        account_exported(&entry->account, generation);
    for (struct ledger_service *service = ledger->services; service; service = service->next)
        account_exported(&service->folded, generation);
}

/* ---- on disk --------------------------------------------------------------------------------- */

static void entry_write(const struct entry *entry, struct rows *rows)
{
    char key[KEY_SIZE];
    struct buffer CLEANUP(buffer_deinit) value = {0};

    entry_key(entry, key);
    buffer_init(&value, 1 << 20);
    row_write_u8(&value, ROW_VERSION);
    attributes_write(entry->resource, &value);
    row_write_u32(&value, entry->pid);
    row_write_u8(&value, entry->is_alive || entry->is_awaited);
    row_write_u8(&value, entry->tail_unknown);
    row_write_u8(&value, (uint8_t)entry->observed);
    account_write(&entry->account, &value);
    if (value.failed)
        rows->bytes.failed = true;
    rows_put(rows, ROWS_LEDGER, (struct view){key, sizeof(key)},
             (struct view){value.bytes, value.length});
}

static void service_write_folded(const struct ledger_service *service, struct rows *rows)
{
    char key[1 + sizeof(uint64_t)] = {KEY_SERVICE};
    struct buffer CLEANUP(buffer_deinit) value = {0};

    memcpy(key + 1, &service->resource->hash, sizeof(uint64_t));
    buffer_init(&value, 1 << 20);
    row_write_u8(&value, ROW_VERSION);
    attributes_write(service->resource, &value);
    row_write_u64(&value, service->start_ns);
    account_write(&service->folded, &value);
    if (value.failed)
        rows->bytes.failed = true;
    rows_put(rows, ROWS_LEDGER, (struct view){key, sizeof(key)},
             (struct view){value.bytes, value.length});
}

static int entry_restore(struct ledger *ledger, struct view id, struct row_reader *reader)
{
    const struct attributes *CLEANUP(attributes_unrefp) resource = attributes_read(reader);
    uint32_t pid = row_read_u32(reader);
    bool is_alive = row_read_u8(reader) != 0, tail_unknown = row_read_u8(reader) != 0;
    uint8_t observed = row_read_u8(reader);
    struct account account = {.exported = 0};
    uint8_t client_id[16];
    struct entry *entry;

    if (!resource || id.length != sizeof(client_id) || !account_read_row(&account, reader))
        return -EBADMSG;
    memcpy(client_id, id.bytes, sizeof(client_id));
    entry = entry_add(ledger, client_id, resource);
    if (!entry)
        return -ENOMEM;
    entry->pid = pid;
    entry->is_alive = entry->is_awaited = is_alive;
    entry->tail_unknown = tail_unknown;
    entry->observed =
        observed <= OBSERVED_DISABLED ? (enum process_observed)observed : OBSERVED_NOT_YET;
    entry->account = account;
    return 0;
}

static int service_restore_folded(struct ledger *ledger, struct view key, struct row_reader *reader)
{
    const struct attributes *CLEANUP(attributes_unrefp) resource = attributes_read(reader);
    uint64_t start_ns = row_read_u64(reader);
    struct account folded = {.exported = 0};
    struct ledger_service *service;
    bool was_dirty;

    if (!resource || !account_read_row(&folded, reader))
        return -EBADMSG;
    service = ledger_service_of(ledger, resource);
    if (!service)
        return -ENOMEM;
    was_dirty = service->folded.is_dirty;
    account_fold(&service->folded, &folded);
    service->has_folded = true;
    if (start_ns < service->start_ns)
        service->start_ns = start_ns;
    if (attributes_equal(service->resource, resource))
        service->folded.is_dirty = was_dirty;
    else /* past the limit it is the overflow's from now on */
        rows_put(&ledger->deletions, ROWS_LEDGER, key, (struct view){0});
    return 0;
}

int ledger_restore(struct ledger *ledger, const struct row *row)
{
    struct row_reader reader = {.bytes = row->value};

    if (row->key.length == 0 || row_read_u8(&reader) != ROW_VERSION)
        return -EBADMSG;
    if (row->key.bytes[0] == KEY_CLIENT)
        return entry_restore(ledger, (struct view){row->key.bytes + 1, row->key.length - 1},
                             &reader);
    return service_restore_folded(ledger, row->key, &reader);
}

/* ---- points ---------------------------------------------------------------------------------- */

static void service_sum(const struct ledger *ledger, const struct ledger_service *service,
                        struct account *ret)
{
    *ret = service->folded;
    for (const struct entry *entry = ledger->oldest; entry; entry = entry->next) {
        if (entry->service == service)
            account_fold(ret, &entry->account);
    }
}

static void dropped_points(const struct ledger_row *row, struct metric_point *point,
                           struct snapshot_builder *builder)
{
    for (size_t i = 0; i < DROP_END; i++) {
        if (!row->dropped[i])
            continue;
        const struct attribute item =
            attribute_string("weir.ledger.cause", view_from(drop_tokens[i]));
        const struct attributes *CLEANUP(attributes_unrefp) attributes = attributes_new(&item, 1);
        if (!attributes)
            continue;
        point->attributes = attributes;
        point->value.integer = (int64_t)row->dropped[i];
        snapshot_builder_point(builder, METRIC_LEDGER_DROPPED, point);
    }
}

static uint64_t never_less(uint64_t *shown, uint64_t value)
{
    if (value > *shown)
        *shown = value;
    return *shown;
}

static void service_points(const struct ledger *ledger, struct ledger_service *service,
                           const struct attributes *none, struct snapshot_builder *builder)
{
    struct metric_point point = {.attributes = none, .start_unix_ns = service->start_ns};
    struct account sum;
    struct ledger_row row = {0};

    service_sum(ledger, service, &sum);
    account_row(&sum, &row);
    row.recorded = never_less(&service->shown_recorded, row.recorded);
    for (size_t i = 0; i < DROP_END; i++)
        row.dropped[i] = never_less(&service->shown_dropped[i], row.dropped[i]);
    snapshot_builder_resource(builder, service->resource, false);
    point.value.integer = (int64_t)row.recorded;
    snapshot_builder_point(builder, METRIC_LEDGER_RECORDED, &point);
    point.value.integer = (int64_t)row.exported;
    snapshot_builder_point(builder, METRIC_LEDGER_EXPORTED, &point);
    point.value.integer = (int64_t)(row.in_lanes + row.read);
    snapshot_builder_point(builder, METRIC_LEDGER_BUFFERED, &point);
    point.value.integer = row.imbalance;
    snapshot_builder_point(builder, METRIC_LEDGER_IMBALANCE, &point);
    dropped_points(&row, &point, builder);
}

void ledger_freeze(struct ledger *ledger, struct rows *rows, struct snapshot_builder *builder)
{
    const struct attributes *CLEANUP(attributes_unrefp) none = attributes_new(NULL, 0);

    rows_move(rows, &ledger->deletions);
    for (struct entry *entry = ledger->oldest; entry; entry = entry->next) {
        if (entry->account.is_dirty)
            entry_write(entry, rows);
        entry->account.is_dirty = false;
    }
    for (struct ledger_service *service = ledger->services; service; service = service->next) {
        if (service->has_folded && service->folded.is_dirty)
            service_write_folded(service, rows);
        service->folded.is_dirty = false;
        if (builder && none)
            service_points(ledger, service, none, builder);
    }
}

void ledger_mark_unsaved(struct ledger *ledger)
{
    for (struct entry *entry = ledger->oldest; entry; entry = entry->next)
        entry->account.is_dirty = true;
    for (struct ledger_service *service = ledger->services; service; service = service->next)
        service->folded.is_dirty = true;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void row_name(const struct attributes *resource, char *service, char *instance, size_t size)
{
    struct view name = attributes_text(resource, "service.name");
    struct view id = attributes_text(resource, "service.instance.id");

    (void)snprintf(service, size, "%.*s", (int)name.length, name.bytes);
    (void)snprintf(instance, size, "%.*s", (int)id.length, id.bytes);
}

void ledger_rows(const struct ledger *ledger, ledger_fn fn, void *userdata)
{
    char service_name[256], instance[256];

    for (const struct entry *entry = ledger->oldest; entry; entry = entry->next) {
        struct ledger_row row = {.pid = entry->pid,
                                 .service = service_name,
                                 .instance = instance,
                                 .tail_unknown = entry->tail_unknown,
                                 .is_alive = entry->is_alive,
                                 .observed = entry->observed};
        memcpy(row.client_id, entry->client_id, sizeof(row.client_id));
        row_name(entry->resource, service_name, instance, sizeof(instance));
        account_row(&entry->account, &row);
        fn(userdata, &row);
    }
    for (const struct ledger_service *service = ledger->services; service;
         service = service->next) {
        struct ledger_row row = {.service = service_name, .instance = instance};
        if (!service->has_folded)
            continue;
        row_name(service->resource, service_name, instance, sizeof(instance));
        account_row(&service->folded, &row);
        fn(userdata, &row);
    }
}
