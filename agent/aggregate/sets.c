/* Statement sets: who has a place, and who counts in the overflow series. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/aggregate/house.h"

#define NS_PER_SECOND 1e9
#define NS_PER_MINUTE UINT64_C(60000000000)

void minutes_add(struct minutes *minutes, uint64_t minute, uint64_t spent_ns)
{
    if (minute > minutes->minute) {
        uint64_t passed = minute - minutes->minute;
        for (uint64_t i = 1; i <= passed && i <= WINDOW_MINUTES; i++)
            minutes->spent_ns[(minutes->minute + i) % WINDOW_MINUTES] = 0;
        minutes->minute = minute;
    }
    minutes->spent_ns[minute % WINDOW_MINUTES] += spent_ns;
}

uint64_t minutes_sum(const struct minutes *minutes, uint64_t minute)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < WINDOW_MINUTES; i++) {
        uint64_t at = minutes->minute - i;
        if (at <= minutes->minute && at + WINDOW_MINUTES > minute)
            sum += minutes->spent_ns[at % WINDOW_MINUTES];
    }
    return sum;
}

bool outcome_is_error(uint8_t failure, const char sqlstate[5])
{
    if (failure == FAILURE_NONE)
        return false;
    if (failure != FAILURE_SQLSTATE)
        return true;
    return !(sqlstate[0] == '0' && (sqlstate[1] == '0' || sqlstate[1] == '1'));
}

uint64_t outcome_of(uint8_t failure, const char sqlstate[5])
{
    uint64_t outcome;

    if (failure == FAILURE_NONE && !(sqlstate[0] == '0' && sqlstate[1] == '1'))
        return 0; /* success is one outcome; a warning is another */
    if (sqlstate[0])
        failure = FAILURE_SQLSTATE; /* the server's word is what is shown */
    outcome = (uint64_t)failure << 40;
    memcpy(&outcome, sqlstate, 5);
    return outcome;
}

int sets_init(struct aggregate *aggregate)
{
    aggregate->sets.competed_ns = aggregate->now_ns;
    return id_map_init(&aggregate->sets.map, aggregate->opts.sets_max + CANDIDATES_MAX);
}

static struct set **list_of(struct sets *sets, const struct set *set)
{
    return set->is_admitted ? &sets->admitted : &sets->candidates;
}

static void unlist(struct sets *sets, struct set *set)
{
    *(set->previous ? &set->previous->next : list_of(sets, set)) = set->next;
    if (set->next)
        set->next->previous = set->previous;
    *(set->is_admitted ? &sets->admitted_count : &sets->candidate_count) -= 1;
}

static void enlist(struct sets *sets, struct set *set)
{
    struct set **list = list_of(sets, set);

    set->previous = NULL;
    set->next = *list;
    if (*list)
        (*list)->previous = set;
    *list = set;
    *(set->is_admitted ? &sets->admitted_count : &sets->candidate_count) += 1;
}

static void set_free(struct aggregate *aggregate, struct set *set)
{
    id_map_remove(&aggregate->sets.map, &set->entry);
    unlist(&aggregate->sets, set);
    histogram_deinit(&set->duration, &aggregate->budget);
    histogram_deinit(&set->rows, &aggregate->budget);
    attributes_unref(set->attributes);
    free(set);
}

void sets_deinit(struct aggregate *aggregate)
{
    struct sets *sets = &aggregate->sets;

    while (sets->admitted)
        set_free(aggregate, sets->admitted);
    while (sets->candidates)
        set_free(aggregate, sets->candidates);
    free(sets->map.buckets);
}

static uint64_t key_hash(const struct set_key *key)
{
    return id_mix(id_mix(id_mix(key->service->key, key->target), key->fingerprint), key->outcome);
}

static bool key_equal(const struct set_key *a, const struct set_key *b)
{
    return a->fingerprint == b->fingerprint && a->target == b->target && a->outcome == b->outcome &&
           a->service == b->service;
}

static struct set *find(const struct sets *sets, const struct set_key *key, uint64_t hash)
{
    struct set *set = (struct set *)id_map_first(&sets->map, hash);

    while (set && !key_equal(&set->key, key))
        set = (struct set *)set->entry.next;
    return set;
}

/* ---- attributes ----------------------------------------------------------------------------- */

static const char *failure_token(uint8_t failure)
{
    static const char *const tokens[FAILURE_END] = {
#define FAILURE(value, token) [value] = token,
#include "proto/wire/failure.def"
#undef FAILURE
    };

    return failure < FAILURE_END && tokens[failure] ? tokens[failure] : "_OTHER";
}

static size_t add_outcome(const struct set_key *key, char sqlstate[6], struct attribute *items)
{
    uint8_t failure = (uint8_t)(key->outcome >> 40);
    size_t count = 0;

    memcpy(sqlstate, &key->outcome, 5);
    sqlstate[5] = '\0';
    if (sqlstate[0])
        items[count++] = attribute_string("db.response.status_code", (struct view){sqlstate, 5});
    if (outcome_is_error(failure, sqlstate))
        items[count++] =
            attribute_string("error.type", sqlstate[0] ? (struct view){sqlstate, 5}
                                                       : view_from(failure_token(failure)));
    return count;
}

static size_t add_target(const struct target_entry *entry, struct attribute *items)
{
    size_t count = 0;

    if (!entry || !entry->is_known)
        return 0;
    if (entry->target.namespace.length)
        items[count++] = attribute_string("db.namespace", entry->target.namespace);
    if (entry->target.pool.length)
        items[count++] = attribute_string("db.client.connection.pool.name", entry->target.pool);
    if (entry->target.address.length) {
        long port = entry->target.port.length ? strtol(entry->target.port.bytes, NULL, 10) : 0;
        items[count++] = attribute_string("server.address", entry->target.address);
        if (port > 0 && port != 5432)
            items[count++] = attribute_int("server.port", port);
    }
    return count;
}

static const struct attributes *set_attributes(struct aggregate *aggregate,
                                               const struct set_key *key)
{
    struct attribute items[12];
    char fingerprint[17], sqlstate[6];
    size_t count = 0;
    struct view text, summary = {NULL, 0};

    (void)snprintf(fingerprint, sizeof(fingerprint), "%016llx",
                   (unsigned long long)key->fingerprint);
    items[count++] = attribute_string("db.system.name", VIEW_LITERAL("postgresql"));
    items[count++] = attribute_string("weir.statement.fingerprint", view_from(fingerprint));
    text = names_find(aggregate->opts.names, NAME_STATEMENT, key->fingerprint);
    if (text.bytes && aggregate->opts.summary)
        summary = aggregate->opts.summary(aggregate->opts.summary_userdata, key->fingerprint, text);
    if (summary.length)
        items[count++] = attribute_string("db.query.summary", summary);
    count += add_target(target_of(aggregate, key->service, key->target), items + count);
    count += add_outcome(key, sqlstate, items + count);
    return attributes_new(items, count);
}

/* ---- admission ------------------------------------------------------------------------------ */

static bool has_place(const struct aggregate *aggregate, const struct service *service)
{
    return aggregate->sets.admitted_count < aggregate->opts.sets_max &&
           service->sets < aggregate->opts.sets_per_service_max;
}

/* Without its target two sets would look alike: each has to wait until its target's name is known.
 */
static bool has_known_target(struct aggregate *aggregate, const struct set *set)
{
    const struct target_entry *target;

    if (!set->key.target)
        return true;
    target = target_of(aggregate, set->key.service, set->key.target);
    return target && target->is_known;
}

/* From now on @set counts for itself, from zero. */
static bool admit(struct aggregate *aggregate, struct set *set)
{
    const struct attributes *attributes;

    if (!has_known_target(aggregate, set))
        return false;
    attributes = set_attributes(aggregate, &set->key);
    if (!attributes)
        return false;
    unlist(&aggregate->sets, set);
    set->is_admitted = true;
    enlist(&aggregate->sets, set);
    set->attributes = attributes;
    set->start_ns = aggregate->now_ns;
    set->key.service->sets++;
    return true;
}

static struct set *set_new(struct aggregate *aggregate, const struct set_key *key, uint64_t hash)
{
    struct set *set;

    if (!has_place(aggregate, key->service) && aggregate->sets.candidate_count >= CANDIDATES_MAX)
        return NULL; /* not even followed; the overflow series counts it */
    set = calloc(1, sizeof(*set));
    if (!set)
        return NULL;
    set->key = *key;
    histogram_init(&set->duration, BOUNDS_SECONDS);
    histogram_init(&set->rows, BOUNDS_ROWS);
    id_map_add(&aggregate->sets.map, &set->entry, hash);
    enlist(&aggregate->sets, set);
    if (has_place(aggregate, key->service))
        (void)admit(aggregate, set); /* without memory it stays a candidate */
    return set;
}

static bool record(struct aggregate *aggregate, struct histogram *duration, struct histogram *rows,
                   const struct record_statement *statement)
{
    if (!histogram_record(duration, &aggregate->budget,
                          (double)statement->duration_ns / NS_PER_SECOND))
        return false;
    /* Rows are secondary: for want of memory they may miss a call, which is counted above. */
    if (statement->rows != ROWS_UNKNOWN)
        (void)histogram_record(rows, &aggregate->budget, (double)statement->rows);
    return true;
}

bool sets_observe(struct aggregate *aggregate, struct service *service,
                  const struct record_statement *statement)
{
    struct set_key key = {
        .service = service,
        .target = statement->head.target,
        .fingerprint = statement->fingerprint,
        .outcome = outcome_of(statement->failure, statement->sqlstate),
    };
    uint64_t hash = key_hash(&key), minute = aggregate->now_ns / NS_PER_MINUTE;
    struct set *set = find(&aggregate->sets, &key, hash);

    if (!set)
        set = set_new(aggregate, &key, hash);
    else if (!set->is_admitted && has_place(aggregate, service))
        (void)admit(aggregate, set); /* it had to wait for memory or for its target's name */
    if (set) {
        minutes_add(&set->minutes, minute, statement->duration_ns);
        set->used_minute = minute;
    }
    if (set && set->is_admitted) {
        set->is_dirty = true;
        return record(aggregate, &set->duration, &set->rows, statement);
    }
    if (!record(aggregate, &service->overflow_duration, &service->overflow_rows, statement))
        return false;
    service->overflow_calls++;
    service->overflow_is_dirty = true;
    aggregate->stats.overflow_calls++;
    return true;
}

/* ---- displacement --------------------------------------------------------------------------- */

static void set_key_write(const struct set_key *key, uint64_t ret[4])
{
    ret[0] = key->service->key;
    ret[1] = key->target;
    ret[2] = key->fingerprint;
    ret[3] = key->outcome;
}

/* Ends a series; what it counted is gone from what is shown, as a counter that ends. */
static void displace(struct aggregate *aggregate, struct set *set)
{
    uint64_t key[4];

    set_key_write(&set->key, key);
    rows_put(&aggregate->deletions, ROWS_SERIES, (struct view){(char *)key, sizeof(key)},
             (struct view){NULL, 0});
    set->key.service->sets--;
    set_free(aggregate, set);
}

static struct set *strongest_candidate(struct aggregate *aggregate, const struct service *service,
                                       uint64_t minute)
{
    struct set *strongest = NULL;
    uint64_t most = 0;

    for (struct set *set = aggregate->sets.candidates; set; set = set->next) {
        uint64_t spent = minutes_sum(&set->minutes, minute);
        if (set->key.service == service && spent > most && has_known_target(aggregate, set)) {
            strongest = set;
            most = spent;
        }
    }
    return strongest;
}

/* The set that would have to go: of the service if that is at its own limit, else of anyone. */
static struct set *weakest_admitted(struct aggregate *aggregate, const struct service *service,
                                    uint64_t minute)
{
    bool own_limit = service->sets >= aggregate->opts.sets_per_service_max;
    struct set *weakest = NULL;
    uint64_t least = UINT64_MAX;

    for (struct set *set = aggregate->sets.admitted; set; set = set->next) {
        uint64_t spent = minutes_sum(&set->minutes, minute);
        if ((!own_limit || set->key.service == service) && spent < least) {
            weakest = set;
            least = spent;
        }
    }
    return weakest;
}

/* Wall clocks are set back now and then. */
static uint64_t minutes_idle(const struct set *set, uint64_t minute)
{
    return minute > set->used_minute ? minute - set->used_minute : 0;
}

static void compete(struct aggregate *aggregate, struct service *service, uint64_t minute)
{
    for (uint32_t i = 0; i < aggregate->opts.sets_per_service_max; i++) {
        struct set *candidate = strongest_candidate(aggregate, service, minute);
        struct set *weakest;
        if (!candidate)
            return;
        if (!has_place(aggregate, service)) {
            weakest = weakest_admitted(aggregate, service, minute);
            if (!weakest)
                return;
            if (minutes_idle(weakest, minute) >= IDLE_MINUTES)
                aggregate->stats.expired_sets++;
            else if (minutes_sum(&candidate->minutes, minute) >
                     2 * minutes_sum(&weakest->minutes, minute))
                aggregate->stats.displaced_sets++;
            else
                return;
            displace(aggregate, weakest);
        }
        if (!admit(aggregate, candidate))
            return;
    }
}

/* Candidates that nobody called in the window make room; if that is too little, the weaker half.
 */
static void forget_candidates(struct aggregate *aggregate, uint64_t minute)
{
    bool is_crowded = aggregate->sets.candidate_count >= CANDIDATES_MAX;
    uint64_t total = 0, average;
    struct set *next;

    for (struct set *set = aggregate->sets.candidates; set; set = set->next)
        total += minutes_sum(&set->minutes, minute);
    average = aggregate->sets.candidate_count ? total / aggregate->sets.candidate_count : 0;
    for (struct set *set = aggregate->sets.candidates; set; set = next) {
        next = set->next;
        if (minutes_idle(set, minute) >= WINDOW_MINUTES ||
            (is_crowded && minutes_sum(&set->minutes, minute) <= average))
            set_free(aggregate, set);
    }
}

void sets_retire(struct aggregate *aggregate, const struct service *service)
{
    struct set *next;

    for (struct set *set = aggregate->sets.admitted; set; set = next) {
        next = set->next;
        if (set->key.service == service)
            displace(aggregate, set);
    }
    for (struct set *set = aggregate->sets.candidates; set; set = next) {
        next = set->next;
        if (set->key.service == service)
            set_free(aggregate, set);
    }
}

void sets_tick(struct aggregate *aggregate)
{
    uint64_t minute = aggregate->now_ns / NS_PER_MINUTE;
    struct sets *sets = &aggregate->sets;

    /* Whole minutes from the beginning on, so that nobody is displaced before he was there for one.
     * A wall clock that was set back begins anew. */
    if (aggregate->now_ns < sets->competed_ns)
        sets->competed_ns = aggregate->now_ns;
    if (aggregate->now_ns - sets->competed_ns < NS_PER_MINUTE)
        return;
    sets->competed_ns = aggregate->now_ns;
    services_expire(aggregate);
    for (struct service *service = aggregate->services; service; service = service->next)
        compete(aggregate, service, minute);
    forget_candidates(aggregate, minute);
}

/* ---- rows and points ------------------------------------------------------------------------ */

static void set_write(struct set *set, struct rows *rows, struct buffer *value)
{
    uint64_t key[4];

    set_key_write(&set->key, key);
    buffer_clear(value);
    row_write_u8(value, ROW_VERSION);
    row_write_u64(value, set->start_ns);
    row_write_u64(value, set->used_minute);
    row_write_u64(value, set->minutes.minute);
    for (size_t i = 0; i < WINDOW_MINUTES; i++)
        row_write_u64(value, set->minutes.spent_ns[i]);
    attributes_write(set->attributes, value);
    histogram_write(&set->duration, value);
    histogram_write(&set->rows, value);
    if (value->failed)
        rows->bytes.failed = true;
    rows_put(rows, ROWS_SERIES, (struct view){(char *)key, sizeof(key)},
             (struct view){value->bytes, value->length});
    set->is_dirty = false;
}

void sets_write(struct aggregate *aggregate, struct rows *rows)
{
    struct buffer CLEANUP(buffer_deinit) value = {0};

    buffer_init(&value, 4 << 20);
    for (struct set *set = aggregate->sets.admitted; set; set = set->next) {
        if (set->is_dirty)
            set_write(set, rows, &value);
    }
}

void sets_mark_unsaved(struct aggregate *aggregate)
{
    for (struct set *set = aggregate->sets.admitted; set; set = set->next)
        set->is_dirty = true;
}

static void histogram_to_point(enum metric_id metric, const struct histogram *histogram,
                               const struct attributes *attributes, uint64_t start_ns,
                               struct snapshot_builder *builder)
{
    struct metric_point point = {.attributes = attributes, .start_unix_ns = start_ns};

    point.value.histogram = histogram_point(histogram, builder);
    if (histogram->count && point.value.histogram)
        snapshot_builder_point(builder, metric, &point);
}

void sets_points(struct aggregate *aggregate, struct service *service,
                 struct snapshot_builder *builder)
{
    const struct attribute overflow = attribute_bool("otel.metric.overflow", true);
    const struct attributes *CLEANUP(attributes_unrefp) none = attributes_new(NULL, 0);
    struct metric_point cost = {.attributes = none, .start_unix_ns = service->overflow_start_ns};

    if (none) {
        cost.value.integer = service->sets;
        snapshot_builder_point(builder, METRIC_AGENT_SERIES, &cost);
        cost.value.integer = (int64_t)service->overflow_calls;
        snapshot_builder_point(builder, METRIC_AGENT_SERIES_REFUSED, &cost);
    }
    for (struct set *set = aggregate->sets.admitted; set; set = set->next) {
        if (set->key.service != service)
            continue;
        histogram_to_point(METRIC_OPERATION_DURATION, &set->duration, set->attributes,
                           set->start_ns, builder);
        histogram_to_point(METRIC_RETURNED_ROWS, &set->rows, set->attributes, set->start_ns,
                           builder);
    }
    if (service->overflow_calls) {
        const struct attributes *CLEANUP(attributes_unrefp) attributes =
            attributes_new(&overflow, 1);
        if (!attributes)
            return;
        histogram_to_point(METRIC_OPERATION_DURATION, &service->overflow_duration, attributes,
                           service->overflow_start_ns, builder);
        histogram_to_point(METRIC_RETURNED_ROWS, &service->overflow_rows, attributes,
                           service->overflow_start_ns, builder);
    }
}

int sets_restore(struct aggregate *aggregate, const struct row *row)
{
    struct row_reader reader = {.bytes = row->value};
    struct set_key key = {0};
    uint64_t stored[4];
    struct set *set;

    if (row->key.length != sizeof(stored) || row_read_u8(&reader) != ROW_VERSION)
        return -EBADMSG;
    memcpy(stored, row->key.bytes, sizeof(stored));
    key.service = service_by_key(aggregate, stored[0]);
    key.target = stored[1];
    key.fingerprint = stored[2];
    key.outcome = stored[3];
    if (!key.service)
        return -EBADMSG;
    set = calloc(1, sizeof(*set));
    if (!set)
        return -ENOMEM;
    set->key = key;
    set->start_ns = row_read_u64(&reader);
    set->used_minute = row_read_u64(&reader);
    set->minutes.minute = row_read_u64(&reader);
    for (size_t i = 0; i < WINDOW_MINUTES; i++)
        set->minutes.spent_ns[i] = row_read_u64(&reader);
    set->attributes = attributes_read(&reader);
    if (!set->attributes ||
        !histogram_read(&set->duration, BOUNDS_SECONDS, &aggregate->budget, &reader) ||
        !histogram_read(&set->rows, BOUNDS_ROWS, &aggregate->budget, &reader)) {
        histogram_deinit(&set->duration, &aggregate->budget);
        attributes_unref(set->attributes);
        free(set);
        return -EBADMSG;
    }
    set->is_admitted = true;
    key.service->sets++;
    id_map_add(&aggregate->sets.map, &set->entry, key_hash(&key));
    enlist(&aggregate->sets, set);
    return 0;
}
