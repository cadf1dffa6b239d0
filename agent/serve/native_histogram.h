/* Prometheus's native form of an exponential histogram: sparse spans of buckets and the differences
 * between their counts. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "agent/model/snapshot.h"

enum { NATIVE_SCHEMA_MIN = -4, NATIVE_SCHEMA_MAX = 8 };

struct native_span {
    int32_t offset; /* of the first: its first bucket's index; of others: the gap before them */
    uint32_t length;
};

struct native_histogram {
    int32_t schema;
    double zero_threshold;
    uint64_t zero_count;
    struct native_span *spans; /* own memory, used again */
    int64_t *deltas;
    size_t span_count, delta_count, capacity;
};

/* Zero-initialized before the first use. Returns 0, -ENOMEM, or NATIVE_HISTOGRAM_E_NONE: the point
 * has no exponential form, or is coarser than Prometheus can hold. One without observations gets
 * an empty span, which tells it from a classic one. */
enum { NATIVE_HISTOGRAM_E_NONE = 1 };
int native_histogram_make(struct native_histogram *native, const struct histogram_point *point)
    __attribute__((warn_unused_result));
void native_histogram_deinit(struct native_histogram *native);
