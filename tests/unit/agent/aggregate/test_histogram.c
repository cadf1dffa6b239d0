/* Histograms: both forms of the same values, bounds, and points. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agent/aggregate/histogram.h"
#include "base/cleanup.h"

static struct exponential_budget budget;

static int setup(void **state)
{
    (void)state;
    exponential_prepare();
    budget = (struct exponential_budget){.bytes_max = 1 << 24};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(budget.bytes, 0);
    return 0;
}

/* Points live in a snapshot's arena. */
static const struct snapshot *point_of(const struct histogram *histogram,
                                       const struct histogram_point **ret)
{
    struct snapshot_builder *builder = snapshot_builder_new();

    *ret = histogram_point(histogram, builder);
    assert_non_null(*ret);
    return snapshot_builder_finish(builder, 1, 1);
}

static uint64_t explicit_sum(const struct histogram_point *point)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i <= point->bound_count; i++)
        sum += point->bucket_counts[i];
    return sum;
}

static uint64_t exponential_sum(const struct histogram_point *point)
{
    uint64_t sum = point->zero_count;

    for (uint32_t i = 0; i < point->exponential_count; i++)
        sum += point->exponential_counts[i];
    return sum;
}

static void both_forms_agree(void **state)
{
    struct histogram histogram;
    double sum = 0, min = INFINITY, max = 0;
    unsigned seed = 3;
    (void)state;

    histogram_init(&histogram, BOUNDS_SECONDS);
    for (int i = 0; i < 5000; i++) {
        double value = exp(log(1e-6) + (double)rand_r(&seed) / RAND_MAX * log(1e7));
        if (i % 100 == 0)
            value = 0;
        assert_true(histogram_record(&histogram, &budget, value));
        sum += value;
        min = fmin(min, value);
        max = fmax(max, value);
    }
    const struct histogram_point *point;
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = point_of(&histogram, &point);
    (void)snapshot;
    assert_int_equal(point->count, 5000);
    assert_int_equal(explicit_sum(point), 5000);
    assert_int_equal(exponential_sum(point), 5000);
    assert_int_equal(point->zero_count, 50);
    assert_true(fabs(point->sum - sum) < 1e-9 * sum);
    assert_true(point->min == min);
    assert_true(point->max == max);
    assert_true(point->exponential_count <= HISTOGRAM_POINT_BUCKETS);
    assert_true(point->scale < EXPONENTIAL_SCALE_MAX); /* put together, as it takes to fit */
    /* min and max lie in the first and the last bucket. */
    double base = exp2(ldexp(1, -point->scale));
    int32_t last = point->offset + (int32_t)point->exponential_count;
    assert_true(pow(base, last - 1) < max && max <= pow(base, last) * 1.000001);
    assert_true(point->exponential_counts[0] > 0);
    assert_true(point->exponential_counts[point->exponential_count - 1] > 0);
    assert_int_equal(histogram.exponential.scale, EXPONENTIAL_SCALE_MAX); /* kept as it is */
    histogram_deinit(&histogram, &budget);
}

/* A bucket holds its upper bound, not its lower one. */
static void expect_bounds(enum histogram_bounds bounds, const double *expected, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct histogram_point *point;
        struct histogram histogram;
        histogram_init(&histogram, bounds);
        assert_true(histogram_record(&histogram, &budget, expected[i]));
        assert_true(histogram_record(&histogram, &budget, nextafter(expected[i], 0)));
        assert_true(histogram_record(&histogram, &budget, nextafter(expected[i], INFINITY)));
        const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = point_of(&histogram, &point);
        (void)snapshot;
        assert_int_equal(point->bound_count, count);
        assert_true(point->bounds[i] == expected[i]);
        assert_int_equal(point->bucket_counts[i], 2);
        assert_int_equal(point->bucket_counts[i + 1], 1);
        histogram_deinit(&histogram, &budget);
    }
}

static void bounds_belong_to_the_bucket_below(void **state)
{
    static const double seconds[] = {0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.01,
                                     0.05,   0.1,     0.5,    1,     5,     10};
    static const double rows[] = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000};
    (void)state;

    expect_bounds(BOUNDS_SECONDS, seconds, 12);
    expect_bounds(BOUNDS_ROWS, rows, 13);
}

static void a_point_is_exact_where_it_fits(void **state)
{
    const struct histogram_point *point;
    struct histogram histogram;
    (void)state;

    histogram_init(&histogram, BOUNDS_ROWS);
    assert_true(histogram_record(&histogram, &budget, 1));
    assert_true(histogram_record(&histogram, &budget, 1));
    assert_true(histogram_record(&histogram, &budget, 2));
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = point_of(&histogram, &point);
    (void)snapshot;
    assert_int_equal(point->scale, EXPONENTIAL_SCALE_MAX);
    assert_int_equal(point->offset, -1); /* 1 = 2^0 closes the bucket before */
    assert_int_equal(point->exponential_count, 65);
    assert_int_equal(point->exponential_counts[0], 2);
    assert_int_equal(point->exponential_counts[64], 1);
    assert_int_equal(point->zero_count, 0);
    histogram_deinit(&histogram, &budget);
}

static void nothing_and_zeros_have_no_buckets(void **state)
{
    const struct histogram_point *point;
    struct histogram histogram;
    (void)state;

    histogram_init(&histogram, BOUNDS_SECONDS);
    const struct snapshot *CLEANUP(snapshot_unrefp) none = point_of(&histogram, &point);
    (void)none;
    assert_int_equal(point->count, 0);
    assert_int_equal(point->exponential_count, 0);
    assert_true(histogram_record(&histogram, &budget, 0));
    const struct snapshot *CLEANUP(snapshot_unrefp) zero = point_of(&histogram, &point);
    (void)zero;
    assert_int_equal(point->count, 1);
    assert_int_equal(point->zero_count, 1);
    assert_int_equal(point->exponential_count, 0);
    assert_int_equal(point->bucket_counts[0], 1);
    histogram_deinit(&histogram, &budget);
}

static void disk_gives_back_the_same(void **state)
{
    struct histogram histogram, back;
    struct buffer CLEANUP(buffer_deinit) value, CLEANUP(buffer_deinit) again;
    (void)state;

    buffer_init(&value, 1 << 20);
    buffer_init(&again, 1 << 20);
    histogram_init(&histogram, BOUNDS_SECONDS);
    for (int i = 0; i < 1000; i++)
        assert_true(histogram_record(&histogram, &budget, i * 0.001));
    histogram_write(&histogram, &value);
    struct row_reader reader = {.bytes = {value.bytes, value.length}};
    assert_true(histogram_read(&back, BOUNDS_SECONDS, &budget, &reader));
    assert_int_equal(reader.offset, value.length);
    assert_int_equal(back.count, 1000);
    assert_true(back.sum == histogram.sum);
    assert_true(back.min == histogram.min);
    assert_true(back.max == histogram.max);
    assert_memory_equal(back.buckets, histogram.buckets, sizeof(back.buckets));
    assert_true(histogram_record(&back, &budget, 0.5));
    assert_true(histogram_record(&histogram, &budget, 0.5));
    buffer_clear(&value);
    histogram_write(&histogram, &value);
    histogram_write(&back, &again);
    const struct histogram_point *one, *two;
    const struct snapshot *CLEANUP(snapshot_unrefp) first = point_of(&histogram, &one);
    (void)first;
    const struct snapshot *CLEANUP(snapshot_unrefp) second = point_of(&back, &two);
    (void)second;
    assert_int_equal(one->offset, two->offset);
    assert_int_equal(one->exponential_count, two->exponential_count);
    assert_memory_equal(one->exponential_counts, two->exponential_counts,
                        one->exponential_count * sizeof(uint64_t));
    histogram_deinit(&histogram, &budget);
    histogram_deinit(&back, &budget);
}

/* What cannot be read leaves an empty histogram: its two forms never disagree. */
static void unreadable_ones_are_empty(void **state)
{
    struct histogram histogram, back;
    struct buffer CLEANUP(buffer_deinit) value;
    (void)state;

    buffer_init(&value, 1 << 20);
    histogram_init(&histogram, BOUNDS_SECONDS);
    assert_true(histogram_record(&histogram, &budget, 0.25));
    histogram_write(&histogram, &value);
    for (size_t length = 0; length < value.length; length++) {
        struct row_reader reader = {.bytes = {value.bytes, length}};
        assert_false(histogram_read(&back, BOUNDS_SECONDS, &budget, &reader));
        assert_int_equal(back.count, 0);
        assert_int_equal(back.exponential.length, 0);
        assert_int_equal(back.exponential.zero_count, 0);
    }
    struct row_reader reader = {.bytes = {value.bytes, value.length}};
    assert_false(histogram_read(&back, BOUNDS_ROWS, &budget, &reader)); /* of other bounds */
    histogram_deinit(&histogram, &budget);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(both_forms_agree),
        TEST(bounds_belong_to_the_bucket_below),
        TEST(a_point_is_exact_where_it_fits),
        TEST(nothing_and_zeros_have_no_buckets),
        TEST(disk_gives_back_the_same),
        TEST(unreadable_ones_are_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
