/* A metric's histogram in both forms: explicit bounds cannot be derived from exponential buckets,
 * so both are kept. Values in the metric's unit. Pure; one owner. */
#pragma once

#include "agent/aggregate/exponential.h"
#include "agent/model/snapshot.h"

enum histogram_bounds {
    BOUNDS_SECONDS = 0, /* OpenTelemetry's advice for operations, and three below */
    BOUNDS_ROWS = 1,    /* OpenTelemetry's advice for returned rows */
};

enum { HISTOGRAM_BUCKETS_MAX = 14 };

struct histogram {
    uint64_t count;
    double sum, min, max;
    uint64_t buckets[HISTOGRAM_BUCKETS_MAX];
    struct exponential exponential;
    enum histogram_bounds bounds;
};

void histogram_init(struct histogram *histogram, enum histogram_bounds bounds);
void histogram_deinit(struct histogram *histogram, struct exponential_budget *budget);
/* False: no memory; nothing was counted. */
bool histogram_record(struct histogram *histogram, struct exponential_budget *budget, double value);

void histogram_write(const struct histogram *histogram, struct buffer *value);
/* False: unreadable or no memory; @histogram is then empty. */
bool histogram_read(struct histogram *histogram, enum histogram_bounds bounds,
                    struct exponential_budget *budget, struct row_reader *reader);

/* A copy in the snapshot's arena, of at most HISTOGRAM_POINT_BUCKETS exponential buckets. NULL: no
 * memory, and the builder knows. */
enum { HISTOGRAM_POINT_BUCKETS = 160 };
const struct histogram_point *histogram_point(const struct histogram *histogram,
                                              struct snapshot_builder *builder);
