/* Prometheus numbers a bucket by its upper bound, OpenTelemetry by its lower one: index + 1. */
#include "agent/serve/native_histogram.h"

#include <errno.h>
#include <stdlib.h>

#define ZERO_THRESHOLD 1e-128 /* what the conventions put for a threshold of 0 */

void native_histogram_deinit(struct native_histogram *native)
{
    free(native->spans);
    free(native->deltas);
    *native = (struct native_histogram){0};
}

static int capacity_reserve(struct native_histogram *native, size_t count)
{
    if (count <= native->capacity)
        return 0;
    native_histogram_deinit(native);
    native->spans = calloc(count, sizeof(*native->spans));
    native->deltas = calloc(count, sizeof(*native->deltas));
    if (!native->spans || !native->deltas)
        return -ENOMEM;
    native->capacity = count;
    return 0;
}

struct bucket_cursor {
    int64_t index; /* of the last bucket added */
    uint64_t count;
};

/* Adds the bucket @index, larger than all before it. */
static void bucket_add(struct native_histogram *native, struct bucket_cursor *last, int64_t index,
                       uint64_t count)
{
    if (native->span_count > 0 && index == last->index + 1) {
        native->spans[native->span_count - 1].length++;
    } else {
        int64_t offset = native->span_count > 0 ? index - last->index - 1 : index;
        native->spans[native->span_count++] = (struct native_span){(int32_t)offset, 1};
    }
    native->deltas[native->delta_count++] = (int64_t)(count - last->count);
    *last = (struct bucket_cursor){index, count};
}

int native_histogram_make(struct native_histogram *native, const struct histogram_point *point)
{
    int shift = point->scale > NATIVE_SCHEMA_MAX ? point->scale - NATIVE_SCHEMA_MAX : 0;
    struct bucket_cursor last = {0};

    if (point->scale < NATIVE_SCHEMA_MIN ||
        (point->count > 0 && point->exponential_count == 0 && point->zero_count == 0))
        return NATIVE_HISTOGRAM_E_NONE;
    int r = capacity_reserve(native, point->exponential_count + 1u);
    if (r < 0)
        return r;
    native->schema = point->scale - shift;
    native->zero_threshold = ZERO_THRESHOLD;
    native->zero_count = point->zero_count;
    native->span_count = native->delta_count = 0;

    for (uint32_t i = 0; i < point->exponential_count;) {
        int64_t index = ((int64_t)point->offset + i) >> shift;
        uint64_t count = 0;
        for (; i < point->exponential_count && ((int64_t)point->offset + i) >> shift == index; i++)
            count += point->exponential_counts[i];
        if (count > 0)
            bucket_add(native, &last, index + 1, count);
    }
    if (native->span_count == 0)
        native->spans[native->span_count++] = (struct native_span){0, 0};
    return 0;
}
