#include "agent/aggregate/histogram.h"

#include <string.h>

static const double seconds[] = {0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.01,
                                 0.05,   0.1,     0.5,    1,     5,     10};
static const double rows[] = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000};

static const struct {
    const double *bounds;
    uint32_t count;
} bound_sets[] = {
    [BOUNDS_SECONDS] = {seconds, sizeof(seconds) / sizeof(seconds[0])},
    [BOUNDS_ROWS] = {rows, sizeof(rows) / sizeof(rows[0])},
};

void histogram_init(struct histogram *histogram, enum histogram_bounds bounds)
{
    memset(histogram, 0, sizeof(*histogram));
    histogram->bounds = bounds;
    exponential_init(&histogram->exponential);
}

void histogram_deinit(struct histogram *histogram, struct exponential_budget *budget)
{
    exponential_deinit(&histogram->exponential, budget);
}

bool histogram_record(struct histogram *histogram, struct exponential_budget *budget, double value)
{
    const double *bounds = bound_sets[histogram->bounds].bounds;
    uint32_t count = bound_sets[histogram->bounds].count, bucket = 0;

    if (!exponential_record(&histogram->exponential, budget, value, 1))
        return false;
    while (bucket < count && value > bounds[bucket])
        bucket++;
    histogram->buckets[bucket]++;
    histogram->min = histogram->count == 0 || value < histogram->min ? value : histogram->min;
    histogram->max = histogram->count == 0 || value > histogram->max ? value : histogram->max;
    histogram->sum += value;
    histogram->count++;
    return true;
}

void histogram_write(const struct histogram *histogram, struct buffer *value)
{
    uint32_t buckets = bound_sets[histogram->bounds].count + 1;

    row_write_u64(value, histogram->count);
    row_write_double(value, histogram->sum);
    row_write_double(value, histogram->min);
    row_write_double(value, histogram->max);
    row_write_u8(value, (uint8_t)buckets);
    for (uint32_t i = 0; i < buckets; i++)
        row_write_u64(value, histogram->buckets[i]);
    exponential_write(&histogram->exponential, value);
}

bool histogram_read(struct histogram *histogram, enum histogram_bounds bounds,
                    struct exponential_budget *budget, struct row_reader *reader)
{
    uint32_t buckets = bound_sets[bounds].count + 1;

    histogram_init(histogram, bounds);
    histogram->count = row_read_u64(reader);
    histogram->sum = row_read_double(reader);
    histogram->min = row_read_double(reader);
    histogram->max = row_read_double(reader);
    if (row_read_u8(reader) != buckets)
        reader->failed = true; /* other bounds than today's: not the same series */
    for (uint32_t i = 0; !reader->failed && i < buckets; i++)
        histogram->buckets[i] = row_read_u64(reader);
    if (!reader->failed && exponential_read(&histogram->exponential, budget, reader))
        return true;
    histogram_init(histogram, bounds);
    return false;
}

/* Copies the touched buckets, as many neighbours put together as it takes to fit. */
static bool point_exponential(const struct exponential *from, struct snapshot_builder *builder,
                              struct histogram_point *point)
{
    uint32_t first = 0, last = from->length;
    unsigned shift = 0;
    int32_t low, high;

    point->scale = from->scale;
    point->zero_count = from->zero_count;
    while (first < last && exponential_count_at(from, first) == 0)
        first++;
    while (last > first && exponential_count_at(from, last - 1) == 0)
        last--;
    if (first == last)
        return true;
    low = from->offset + (int32_t)first;
    high = from->offset + (int32_t)last - 1;
    while ((high >> shift) - (low >> shift) >= HISTOGRAM_POINT_BUCKETS)
        shift++;
    point->scale -= (int32_t)shift;
    point->offset = low >> shift;
    point->exponential_count = (uint32_t)((high >> shift) - (low >> shift) + 1);
    uint64_t *counts = snapshot_builder_alloc(builder, point->exponential_count * sizeof(*counts));
    if (!counts)
        return false;
    memset(counts, 0, point->exponential_count * sizeof(*counts));
    for (uint32_t i = first; i < last; i++)
        counts[((from->offset + (int32_t)i) >> shift) - point->offset] +=
            exponential_count_at(from, i);
    point->exponential_counts = counts;
    return true;
}

const struct histogram_point *histogram_point(const struct histogram *histogram,
                                              struct snapshot_builder *builder)
{
    uint32_t bound_count = bound_sets[histogram->bounds].count;
    size_t buckets_size = (bound_count + 1) * sizeof(uint64_t);
    struct histogram_point *point = snapshot_builder_alloc(builder, sizeof(*point));
    uint64_t *buckets = snapshot_builder_alloc(builder, buckets_size);

    if (!point || !buckets)
        return NULL;
    memcpy(buckets, histogram->buckets, buckets_size);
    *point = (struct histogram_point){
        .count = histogram->count,
        .sum = histogram->sum,
        .min = histogram->min,
        .max = histogram->max,
        .bounds = bound_sets[histogram->bounds].bounds,
        .bound_count = bound_count,
        .bucket_counts = buckets,
    };
    return point_exponential(&histogram->exponential, builder, point) ? point : NULL;
}
