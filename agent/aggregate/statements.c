/* The API's table: a row per service, target and fingerprint, the one idle longest leaves when it
 * is full, and its counts go to `other`. */
#include <errno.h>
#include <string.h>

#include "agent/aggregate/house.h"

#define NS_PER_SECOND 1e9

int statements_init(struct aggregate *aggregate)
{
    exponential_init(&aggregate->statements.other.duration);
    return id_map_init(&aggregate->statements.map, aggregate->opts.statements_max);
}

static void unthread(struct statements *table, struct statement *statement)
{
    *(statement->newer ? &statement->newer->older : &table->newest) = statement->older;
    *(statement->older ? &statement->older->newer : &table->oldest) = statement->newer;
}

static void thread_as_newest(struct statements *table, struct statement *statement)
{
    statement->newer = NULL;
    statement->older = table->newest;
    *(table->newest ? &table->newest->newer : &table->oldest) = statement;
    table->newest = statement;
}

void statements_deinit(struct aggregate *aggregate)
{
    struct statements *table = &aggregate->statements;

    for (struct statement *statement = table->oldest, *newer; statement; statement = newer) {
        newer = statement->newer;
        exponential_deinit(&statement->duration, &aggregate->budget);
        free(statement);
    }
    exponential_deinit(&table->other.duration, &aggregate->budget);
    free(table->map.buckets);
}

static uint64_t key_hash(const struct service *service, uint64_t target, uint64_t fingerprint)
{
    return id_mix(id_mix(service->key, target), fingerprint);
}

static struct statement *find(const struct statements *table, const struct service *service,
                              uint64_t target, uint64_t fingerprint, uint64_t hash)
{
    struct statement *statement = (struct statement *)id_map_first(&table->map, hash);

    while (statement && (statement->fingerprint != fingerprint || statement->target != target ||
                         statement->service != service))
        statement = (struct statement *)statement->entry.next;
    return statement;
}

struct stored_key {
    uint64_t service, target, fingerprint;
};

static struct stored_key stored_key_of(const struct statement *statement)
{
    return (struct stored_key){statement->service ? statement->service->key : 0, statement->target,
                               statement->fingerprint};
}

static bool add_to_other(struct aggregate *aggregate, const struct statement *from)
{
    struct statement *other = &aggregate->statements.other;

    if (!exponential_merge(&other->duration, &aggregate->budget, &from->duration))
        return false;
    other->calls += from->calls;
    other->errors += from->errors;
    other->rows += from->rows;
    other->total_seconds += from->total_seconds;
    if (from->max_seconds > other->max_seconds)
        other->max_seconds = from->max_seconds;
    other->is_dirty = true;
    return true;
}

static void statement_free(struct aggregate *aggregate, struct statement *statement)
{
    struct statements *table = &aggregate->statements;

    id_map_remove(&table->map, &statement->entry);
    unthread(table, statement);
    exponential_deinit(&statement->duration, &aggregate->budget);
    free(statement);
    table->count--;
}

static bool evict(struct aggregate *aggregate, struct statement *statement)
{
    struct stored_key key = stored_key_of(statement);
    struct view key_view = {(char *)&key, sizeof(key)}, nothing = {NULL, 0};

    if (!add_to_other(aggregate, statement))
        return false;
    if (statement->is_on_disk)
        rows_put(&aggregate->deletions, ROWS_STATEMENTS, key_view, nothing);
    if (statement->is_text_saved)
        rows_put(&aggregate->deletions, ROWS_NAMES, key_view, nothing);
    statement_free(aggregate, statement);
    aggregate->stats.evicted_statements++;
    return true;
}

static struct statement *statement_add(struct aggregate *aggregate, struct service *service,
                                       uint64_t target, uint64_t fingerprint)
{
    struct statements *table = &aggregate->statements;
    struct statement *statement;

    if (table->count >= aggregate->opts.statements_max && !evict(aggregate, table->oldest))
        return NULL;
    statement = calloc(1, sizeof(*statement));
    if (!statement)
        return NULL;
    statement->service = service;
    statement->target = target;
    statement->fingerprint = fingerprint;
    exponential_init(&statement->duration);
    id_map_add(&table->map, &statement->entry, key_hash(service, target, fingerprint));
    thread_as_newest(table, statement);
    table->count++;
    return statement;
}

bool statements_observe(struct aggregate *aggregate, struct service *service,
                        const struct record_statement *observed)
{
    struct statements *table = &aggregate->statements;
    uint64_t hash = key_hash(service, observed->head.target, observed->fingerprint);
    struct statement *statement =
        find(table, service, observed->head.target, observed->fingerprint, hash);
    double seconds = (double)observed->duration_ns / NS_PER_SECOND;

    if (!statement)
        statement = statement_add(aggregate, service, observed->head.target, observed->fingerprint);
    if (!statement || !exponential_record(&statement->duration, &aggregate->budget, seconds, 1))
        return false;
    if (statement != table->newest) {
        unthread(table, statement);
        thread_as_newest(table, statement);
    }
    statement->calls++;
    statement->errors += outcome_is_error(observed->failure, observed->sqlstate);
    if (observed->rows != ROWS_UNKNOWN)
        statement->rows += observed->rows;
    statement->total_seconds += seconds;
    if (seconds > statement->max_seconds)
        statement->max_seconds = seconds;
    statement->is_dirty = true;
    return true;
}

/* ---- rows ----------------------------------------------------------------------------------- */

static void statement_write(struct aggregate *aggregate, struct statement *statement,
                            struct rows *rows, struct buffer *value)
{
    struct stored_key key = stored_key_of(statement);
    struct view key_view = {(char *)&key, sizeof(key)}, text;

    buffer_clear(value);
    row_write_u8(value, ROW_VERSION);
    row_write_u64(value, statement->calls);
    row_write_u64(value, statement->errors);
    row_write_u64(value, statement->rows);
    row_write_double(value, statement->total_seconds);
    row_write_double(value, statement->max_seconds);
    exponential_write(&statement->duration, value);
    if (value->failed)
        rows->bytes.failed = true;
    rows_put(rows, ROWS_STATEMENTS, key_view, (struct view){value->bytes, value->length});
    statement->is_dirty = false;
    statement->is_on_disk = true;
    if (statement->is_text_saved || !statement->fingerprint)
        return;
    text = names_find(aggregate->opts.names, NAME_STATEMENT, statement->fingerprint);
    if (text.bytes) {
        rows_put(rows, ROWS_NAMES, key_view, text);
        statement->is_text_saved = true;
    }
}

void statements_retire(struct aggregate *aggregate, const struct service *service)
{
    struct statement *next;

    for (struct statement *statement = aggregate->statements.oldest; statement; statement = next) {
        next = statement->newer;
        if (statement->service == service && !evict(aggregate, statement))
            statement_free(aggregate, statement); /* no memory to keep even its counts */
    }
}

void statements_keep_texts(struct aggregate *aggregate)
{
    for (const struct statement *statement = aggregate->statements.oldest; statement;
         statement = statement->newer) {
        if (statement->is_dirty)
            (void)names_find(aggregate->opts.names, NAME_STATEMENT, statement->fingerprint);
    }
}

void statements_write(struct aggregate *aggregate, struct rows *rows)
{
    struct statements *table = &aggregate->statements;
    struct buffer CLEANUP(buffer_deinit) value = {0};

    buffer_init(&value, 1 << 20);
    for (struct statement *statement = table->oldest; statement; statement = statement->newer) {
        if (statement->is_dirty)
            statement_write(aggregate, statement, rows, &value);
    }
    if (table->other.is_dirty)
        statement_write(aggregate, &table->other, rows, &value);
}

void statements_mark_unsaved(struct aggregate *aggregate)
{
    struct statements *table = &aggregate->statements;

    for (struct statement *statement = table->oldest; statement; statement = statement->newer) {
        statement->is_dirty = true;
        statement->is_text_saved = false;
    }
    table->other.is_dirty = table->other.calls > 0;
}

static bool statement_read(struct aggregate *aggregate, struct statement *statement,
                           struct view value)
{
    struct row_reader reader = {.bytes = value};
    struct statement read = {.calls = 0};

    if (row_read_u8(&reader) != ROW_VERSION)
        return false;
    read.calls = row_read_u64(&reader);
    read.errors = row_read_u64(&reader);
    read.rows = row_read_u64(&reader);
    read.total_seconds = row_read_double(&reader);
    read.max_seconds = row_read_double(&reader);
    exponential_deinit(&statement->duration, &aggregate->budget);
    if (!exponential_read(&statement->duration, &aggregate->budget, &reader))
        return false;
    statement->calls = read.calls;
    statement->errors = read.errors;
    statement->rows = read.rows;
    statement->total_seconds = read.total_seconds;
    statement->max_seconds = read.max_seconds;
    return true;
}

static int statement_text_restore(struct aggregate *aggregate, const struct stored_key *key,
                                  struct view text)
{
    struct service *service = service_by_key(aggregate, key->service);
    struct statement *statement = NULL;
    int r = names_add(aggregate->opts.names, NAME_STATEMENT, key->fingerprint, 0, text);

    if (service)
        statement = find(&aggregate->statements, service, key->target, key->fingerprint,
                         key_hash(service, key->target, key->fingerprint));
    if (statement)
        statement->is_text_saved = r == 0;
    return r < 0 ? r : 0;
}

int statements_restore(struct aggregate *aggregate, const struct row *row)
{
    struct stored_key key;
    struct service *service;
    struct statement *statement;

    if (row->key.length != sizeof(key))
        return -EBADMSG;
    memcpy(&key, row->key.bytes, sizeof(key));
    if (row->table == ROWS_NAMES)
        return statement_text_restore(aggregate, &key, row->value);
    if (!key.service)
        return statement_read(aggregate, &aggregate->statements.other, row->value) ? 0 : -EBADMSG;
    service = service_by_key(aggregate, key.service);
    if (!service)
        return -EBADMSG;
    statement = statement_add(aggregate, service, key.target, key.fingerprint);
    if (!statement)
        return -ENOMEM;
    statement->is_on_disk = true;
    if (statement_read(aggregate, statement, row->value))
        return 0;
    statement_free(aggregate, statement);
    return -EBADMSG;
}

/* ---- the API -------------------------------------------------------------------------------- */

static void show(struct aggregate *aggregate, struct statement *statement, statement_row_fn fn,
                 void *userdata)
{
    const struct exponential *duration = &statement->duration;
    struct statement_row row = {
        .fingerprint = statement->fingerprint,
        .calls = statement->calls,
        .errors = statement->errors,
        .rows = statement->rows,
        .total_seconds = statement->total_seconds,
        .p50_seconds = exponential_quantile(duration, statement->calls, 0.5),
        .p95_seconds = exponential_quantile(duration, statement->calls, 0.95),
        .p99_seconds = exponential_quantile(duration, statement->calls, 0.99),
        .max_seconds = statement->max_seconds,
    };

    if (statement->fingerprint) {
        struct target_entry *target = target_of(aggregate, statement->service, statement->target);
        struct view text =
            names_find(aggregate->opts.names, NAME_STATEMENT, statement->fingerprint);
        if (text.bytes && aggregate->opts.summary)
            row.summary = aggregate->opts.summary(aggregate->opts.summary_userdata,
                                                  statement->fingerprint, text);
        row.text = aggregate->opts.statement_info ? text : (struct view){NULL, 0};
        if (target && target->is_known) {
            row.namespace = target->target.namespace;
            row.pool = target->target.pool;
        }
        row.service = attributes_text(statement->service->resource, "service.name");
        row.instance = attributes_text(statement->service->resource, "service.instance.id");
    }
    /* The middle of a bucket may lie beyond what was ever measured. */
    if (row.p99_seconds > row.max_seconds)
        row.p99_seconds = row.max_seconds;
    if (row.p95_seconds > row.max_seconds)
        row.p95_seconds = row.max_seconds;
    if (row.p50_seconds > row.max_seconds)
        row.p50_seconds = row.max_seconds;
    fn(userdata, &row);
}

void aggregate_statements(struct aggregate *aggregate, statement_row_fn fn, void *userdata)
{
    struct statements *table = &aggregate->statements;

    for (struct statement *statement = table->newest; statement; statement = statement->older)
        show(aggregate, statement, fn, userdata);
    if (table->other.calls)
        show(aggregate, &table->other, fn, userdata);
}
