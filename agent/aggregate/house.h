/* What the parts of aggregate share: services, targets, and the state behind struct aggregate. Seen
 * by this folder alone. */
#pragma once

#include "agent/aggregate/aggregate.h"
#include "agent/aggregate/histogram.h"
#include "agent/aggregate/id_map.h"
#include "agent/model/resource.h"

enum {
    WINDOW_MINUTES = 10,   /* over which sets compete for places */
    IDLE_MINUTES = 30,     /* after which a set gives its place to whoever wants it */
    CANDIDATES_MAX = 2000, /* sets without a place whose time is followed */
    TARGETS_MAX = 4096,
    HOLDS_REMEMBERED = 4096,
    ROW_VERSION = 1,
};

/* Time spent per minute, of the last ten. */
struct minutes {
    uint64_t spent_ns[WINDOW_MINUTES];
    uint64_t minute; /* the newest one's number */
};

void minutes_add(struct minutes *minutes, uint64_t minute, uint64_t spent_ns);
uint64_t minutes_sum(const struct minutes *minutes, uint64_t minute);

/* A service instance: one resource. */
struct service {
    struct service *next;
    const struct attributes *resource;
    uint64_t key; /* hash of the resource: names its rows on disk */
    bool is_saved;
    uint64_t used_ns; /* wall time of its last event */
    uint32_t sets;    /* with a place */
    uint64_t overflow_start_ns;
    struct histogram overflow_duration, overflow_rows;
    uint64_t overflow_calls;
    bool overflow_is_dirty;
    struct pool *pools;
};

/* Where a connection goes, as a client announced it; told apart by service and name id. */
struct target_entry {
    struct id_entry entry;
    struct service *service;
    uint64_t id;
    struct pool *pool;
    char *text; /* what the views point into */
    size_t text_length;
    struct target target;
    bool is_known, is_saved;
};

/* Which series a call belongs to. */
struct set_key {
    struct service *service;
    uint64_t target;
    uint64_t fingerprint;
    uint64_t outcome; /* SQLSTATE in the lower five bytes, enum failure in the sixth */
};

struct set {
    struct id_entry entry;
    struct set *next, *previous; /* in admission order, or among the candidates */
    struct set_key key;
    bool is_admitted, is_dirty;
    struct minutes minutes;
    uint64_t used_minute;
    /* Where it has a place: */
    uint64_t start_ns;
    const struct attributes *attributes;
    bool has_rows;
    struct histogram duration, rows;
};

struct sets {
    struct id_map map;
    struct set *admitted, *candidates;
    uint32_t admitted_count, candidate_count;
    uint64_t competed_ns; /* when places were last given anew */
};

struct statement {
    struct id_entry entry;
    struct statement *newer, *older;
    struct service *service;
    uint64_t target, fingerprint;
    uint64_t calls, errors, rows;
    double total_seconds, max_seconds;
    struct exponential duration;
    bool is_dirty, is_on_disk, is_text_saved;
};

struct statements {
    struct id_map map;
    struct statement *newest, *oldest;
    uint32_t count;
    struct statement other;
};

/* Rows of evicted things that the next freeze deletes. */
struct deletions {
    struct rows rows;
};

struct pool {
    struct pool *next;
    struct service *service;
    char *name;
    uint64_t key; /* hash of the name */
    const struct attributes *attributes, *used_attributes, *idle_attributes;
    uint64_t start_ns;
    bool is_dirty, observes_acquire, is_seen;
    struct histogram create_time, wait_time, use_time;
    uint64_t timeouts;
    uint64_t closed_use_ns, closed_life_ns, closed_wait_ns; /* of holds, connections, waits ended */
    uint64_t used_time_ns, idle_time_ns, wait_time_ns;      /* as last shown: never less again */
    /* Sums over living processes, made anew at each freeze: */
    int64_t used, idle, waiting, connections_max, connections_min, idle_max, idle_min;
    bool has_limits;
    uint32_t used_peak, waiting_peak;
    uint64_t open_use_ns, open_life_ns, open_wait_ns;
};

/* What one process's board adds to a pool. */
struct share {
    struct share *next;
    const struct process *process;
    struct pool *pool;
    uint32_t used, idle, waiting, connections_max, connections_min, idle_max, idle_min;
    bool has_limits, observes_acquire;
    uint32_t used_peak, waiting_peak;
    uint64_t open_use_ns, open_life_ns, open_wait_ns;
};

struct aggregate {
    struct aggregate_opts opts;
    struct aggregate_stats stats;
    struct exponential_budget budget;
    uint64_t now_ns; /* as last told, wall time */
    struct service *services, *overflow_service;
    uint32_t service_count;
    struct service *recent_service; /* of the last observation: nearly always the next one's */
    struct id_map targets;
    struct sets sets;
    struct statements statements;
    struct share *shares;
    uint32_t pool_count;
    uint64_t holds_ended[HOLDS_REMEMBERED];
    struct rows deletions;
};

/* service.c */
struct service *service_of(struct aggregate *aggregate, const struct attributes *resource);
struct service *service_by_key(struct aggregate *aggregate, uint64_t key);
struct service *service_add(struct aggregate *aggregate, const struct attributes *resource,
                            uint64_t key);
void service_free(struct aggregate *aggregate, struct service *service);
/* Minute work: where all places are taken, services that are long idle and have no living process
 * give theirs. */
void services_expire(struct aggregate *aggregate);
struct target_entry *target_of(struct aggregate *aggregate, struct service *service, uint64_t id);
struct pool *pool_of_target(struct aggregate *aggregate, struct target_entry *target);
void attributes_write(const struct attributes *attributes, struct buffer *value);
const struct attributes *attributes_read(struct row_reader *reader);

/* sets.c */
int sets_init(struct aggregate *aggregate);
void sets_deinit(struct aggregate *aggregate);
bool sets_observe(struct aggregate *aggregate, struct service *service,
                  const struct record_statement *statement);
/* The service goes: its series end. */
void sets_retire(struct aggregate *aggregate, const struct service *service);
void sets_tick(struct aggregate *aggregate);
void sets_write(struct aggregate *aggregate, struct rows *rows);
void sets_points(struct aggregate *aggregate, struct service *service,
                 struct snapshot_builder *builder);
int sets_restore(struct aggregate *aggregate, const struct row *row);
void sets_mark_unsaved(struct aggregate *aggregate);

/* statements.c */
int statements_init(struct aggregate *aggregate);
void statements_deinit(struct aggregate *aggregate);
bool statements_observe(struct aggregate *aggregate, struct service *service,
                        const struct record_statement *statement);
/* The service goes: its rows join `other`. */
void statements_retire(struct aggregate *aggregate, const struct service *service);
/* Those of statements called since the last freeze. */
void statements_keep_texts(struct aggregate *aggregate);
void statements_write(struct aggregate *aggregate, struct rows *rows);
int statements_restore(struct aggregate *aggregate, const struct row *row);
void statements_mark_unsaved(struct aggregate *aggregate);

/* pools.c */
struct pool *pool_add(struct aggregate *aggregate, struct service *service, struct view name);
void pool_free(struct aggregate *aggregate, struct pool *pool);
bool pools_observe(struct aggregate *aggregate, struct service *service,
                   const struct observation *observation);
void pools_sum(struct aggregate *aggregate);
void pools_write(struct aggregate *aggregate, struct service *service, struct rows *rows);
void pools_points(struct aggregate *aggregate, struct service *service,
                  struct snapshot_builder *builder);
int pools_restore(struct aggregate *aggregate, const struct row *row);

/* True if the outcome is a failure by the conventions: SQLSTATE classes 00 and 01 are none. */
bool outcome_is_error(uint8_t failure, const char sqlstate[5]);
uint64_t outcome_of(uint8_t failure, const char sqlstate[5]);
