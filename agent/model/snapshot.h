/* All metrics at one moment, immutable: what a checkpoint covers, and so the only thing that
 * scrapes and exports may show. Made by aggregate on the loop, then shared between threads by
 * reference. */
#pragma once

#include <stdint.h>

#include "agent/model/attributes.h"
#include "agent/model/catalog.h"

/* A histogram in both forms. Values are in the metric's unit. */
struct histogram_point {
    uint64_t count;
    double sum, min, max; /* min and max are meaningful if count > 0 */
    /* Explicit: bucket i counts values in (bounds[i-1], bounds[i]]; bound_count + 1 buckets. */
    const double *bounds; /* static */
    uint32_t bound_count;
    const uint64_t *bucket_counts;
    /* Exponential: base 2^(2^-scale); bucket k counts (base^(offset+k), base^(offset+k+1)]. */
    int32_t scale;
    int32_t offset;
    uint32_t exponential_count;
    uint64_t zero_count;
    const uint64_t *exponential_counts;
};

struct exemplar_point {
    uint64_t time_unix_ns;
    double value;
    uint8_t trace_id[16];
    uint8_t span_id[8];
};

struct metric_point {
    const struct attributes *attributes; /* owned by the snapshot */
    uint64_t start_unix_ns;              /* 0 for gauges */
    union {
        int64_t integer;
        double number;
        const struct histogram_point *histogram;
    } value;
    const struct exemplar_point *exemplars;
    uint32_t exemplar_count;
};

struct metric_points {
    enum metric_id metric;
    uint32_t point_count;
    const struct metric_point *points;
};

struct resource_metrics {
    const struct attributes *resource; /* the application's, or the agent's own (is_agent) */
    bool is_agent;
    uint32_t metric_count;
    const struct metric_points *metrics; /* in catalog order, each metric once */
};

struct snapshot {
    uint64_t time_unix_ns;
    uint64_t generation; /* grows by one with each snapshot of this agent process */
    uint32_t resource_count;
    const struct resource_metrics *resources;
};

const struct snapshot *snapshot_ref(const struct snapshot *snapshot);
const struct snapshot *snapshot_unref(const struct snapshot *snapshot); /* returns NULL */
CLEANUP_DEFINE(const struct snapshot *, snapshot_unrefp, snapshot_unref)

/* Building, on one thread; everything lives in one arena that the snapshot owns. Allocation
 * failures are sticky: snapshot_builder_finish returns NULL. */
struct snapshot_builder;
struct snapshot_builder *snapshot_builder_new(void) __attribute__((warn_unused_result));
/* What follows is @resource's; one that was begun before goes on. */
void snapshot_builder_resource(struct snapshot_builder *builder, const struct attributes *resource,
                               bool is_agent);
/* The point's attributes gain a reference; histogram and exemplars must come from
 * snapshot_builder_alloc or be static. */
void snapshot_builder_point(struct snapshot_builder *builder, enum metric_id metric,
                            const struct metric_point *point);
void *snapshot_builder_alloc(struct snapshot_builder *builder, size_t size);
const struct snapshot *snapshot_builder_finish(struct snapshot_builder *builder,
                                               uint64_t time_unix_ns, uint64_t generation);
