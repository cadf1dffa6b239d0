/* Exponential buckets against a reference in long double: index, counters, scale, budget, disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agent/aggregate/exponential.h"
#include "base/cleanup.h"

static struct exponential_budget plenty(void)
{
    return (struct exponential_budget){.bytes_max = UINT64_C(1) << 40};
}

static int setup(void **state)
{
    (void)state;
    exponential_prepare();
    return 0;
}

static double uniform(unsigned *seed)
{
    return ((double)rand_r(seed) + 0.5) / ((double)RAND_MAX + 1);
}

static uint64_t total(const struct exponential *exponential)
{
    uint64_t sum = exponential->zero_count;

    for (uint32_t i = 0; i < exponential->length; i++)
        sum += exponential_count_at(exponential, i);
    return sum;
}

static int32_t only_index(const struct exponential *exponential)
{
    int32_t found = INT32_MIN;

    for (uint32_t i = 0; i < exponential->length; i++) {
        if (exponential_count_at(exponential, i)) {
            assert_int_equal(found, INT32_MIN);
            found = exponential->offset + (int32_t)i;
        }
    }
    return found;
}

static int32_t index_of_value(double value)
{
    struct exponential_budget budget = plenty();
    struct exponential exponential;
    int32_t index;

    exponential_init(&exponential);
    assert_true(exponential_record(&exponential, &budget, value, 1));
    assert_int_equal(exponential.zero_count, 0);
    index = only_index(&exponential);
    exponential_deinit(&exponential, &budget);
    assert_int_equal(budget.bytes, 0);
    assert_null(budget.newest);
    assert_null(budget.oldest);
    return index;
}

/* The bucket (base^i, base^(i+1)] that holds @value; near a bound either side is right. */
static void expect_index(double value)
{
    long double exact = log2l((long double)value) * 64;
    int32_t expected = (int32_t)ceill(exact) - 1, index = index_of_value(value);
    long double off = fabsl(exact - roundl(exact));

    if (index != expected && !(off < 1e-12L && labs((long)index - expected) == 1)) {
        print_error("%a: %d, not %d\n", value, index, expected);
        fail();
    }
}

static void indexes_agree_with_the_reference(void **state)
{
    unsigned seed = 5;
    (void)state;

    for (int i = 0; i < 30000; i++)
        expect_index(exp2((uniform(&seed) - 0.5) * 2040));
    for (int i = 0; i < 30000; i++) /* durations */
        expect_index(exp(log(1e-9) + uniform(&seed) * log(1e13)));
    for (int k = 0; k < 64; k++) { /* just around every bound */
        double bound = (double)exp2l((long double)k / 64);
        expect_index(bound);
        expect_index(nextafter(bound, 0));
        expect_index(nextafter(bound, 4));
        expect_index(ldexp(nextafter(bound, 4), -20));
    }
}

static void powers_of_two_are_exact(void **state)
{
    (void)state;
    for (int e = -1022; e <= 1023; e++) {
        double power = ldexp(1, e);
        assert_int_equal(index_of_value(power), e * 64 - 1);
        assert_int_equal(index_of_value(nextafter(power, INFINITY)), e * 64);
        if (e > -1022)
            assert_int_equal(index_of_value(nextafter(power, 0)), e * 64 - 1);
    }
    assert_int_equal(index_of_value(DBL_MAX), 1024 * 64 - 1);
}

/* Subnormals are as good as the smallest normal number, never more than it. */
static void subnormals_are_the_smallest(void **state)
{
    (void)state;
    assert_int_equal(index_of_value(DBL_TRUE_MIN), -1022 * 64 - 1);
    assert_int_equal(index_of_value(nextafter(DBL_MIN, 0)), -1022 * 64 - 1);
    assert_int_equal(index_of_value(DBL_MIN), -1022 * 64 - 1);
}

static void what_has_no_bucket_counts_as_zero(void **state)
{
    static const double values[] = {0, -0.0, -1, INFINITY, -INFINITY, NAN};
    struct exponential_budget budget = plenty();
    struct exponential exponential;
    (void)state;

    exponential_init(&exponential);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        assert_true(exponential_record(&exponential, &budget, values[i], 2));
    assert_int_equal(exponential.zero_count, 12);
    assert_int_equal(exponential.length, 0);
    assert_true(exponential_quantile(&exponential, 12, 0.99) == 0);
    exponential_deinit(&exponential, &budget);
}

static void counters_widen(void **state)
{
    static const struct {
        uint64_t count;
        uint8_t width;
    } steps[] = {
        {UINT8_MAX, 1},  {UINT8_MAX + 1, 2},     {UINT16_MAX, 2},        {UINT16_MAX + 1, 4},
        {UINT32_MAX, 4}, {UINT64_C(1) << 32, 8}, {UINT64_C(1) << 62, 8},
    };
    struct exponential_budget budget = plenty();
    struct exponential exponential;
    uint64_t counted = 0;
    (void)state;

    exponential_init(&exponential);
    assert_true(exponential_record(&exponential, &budget, 2, 200)); /* a neighbour keeps its own */
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        assert_true(exponential_record(&exponential, &budget, 1, steps[i].count - counted));
        counted = steps[i].count;
        assert_int_equal(exponential.width, steps[i].width);
        assert_true(exponential_count_at(&exponential, (uint32_t)(-1 - exponential.offset)) ==
                    counted);
        assert_int_equal(exponential_count_at(&exponential, (uint32_t)(63 - exponential.offset)),
                         200);
        assert_int_equal(budget.bytes, exponential.length * exponential.width);
    }
    exponential_deinit(&exponential, &budget);
    assert_int_equal(budget.bytes, 0);
}

/* Counts of every bucket at a coarser scale are sums of those at the finer one. */
static void expect_shifted(const struct exponential *coarse, const struct exponential *fine)
{
    int shift = fine->scale - coarse->scale;
    uint64_t *CLEANUP(freep) sums = calloc(coarse->length, sizeof(*sums));

    assert_true(shift >= 0);
    for (uint32_t i = 0; i < fine->length; i++) {
        int32_t to = ((fine->offset + (int32_t)i) >> shift) - coarse->offset;
        if (!exponential_count_at(fine, i))
            continue;
        assert_true(to >= 0 && to < coarse->length);
        sums[to] += exponential_count_at(fine, i);
    }
    for (uint32_t i = 0; i < coarse->length; i++)
        assert_int_equal(exponential_count_at(coarse, i), sums[i]);
    assert_int_equal(coarse->zero_count, fine->zero_count);
}

static void long_windows_are_downscaled(void **state)
{
    struct exponential_budget budget = plenty();
    struct exponential exponential;
    unsigned seed = 9;
    (void)state;

    exponential_init(&exponential);
    for (uint64_t i = 1; i <= 5000; i++) {
        assert_true(exponential_record(&exponential, &budget,
                                       exp2((uniform(&seed) - 0.5) * 0.4 * (double)i), 1));
        if (i % 100 == 0)
            assert_int_equal(total(&exponential), i);
        assert_true(exponential.length <= EXPONENTIAL_LENGTH_MAX);
    }
    assert_true(exponential.scale < EXPONENTIAL_SCALE_MAX);
    assert_true(exponential.scale >= EXPONENTIAL_SCALE_MIN);
    assert_true(exponential_record(&exponential, &budget, DBL_MAX, 1));
    assert_true(exponential_record(&exponential, &budget, DBL_TRUE_MIN, 1));
    assert_true(exponential.scale >= EXPONENTIAL_SCALE_MIN);
    assert_int_equal(total(&exponential), 5002);
    exponential_deinit(&exponential, &budget);
}

/* Many random histograms: budget says what they take, downscaling by it keeps every count. */
static void the_budget_holds(void **state)
{
    enum { COUNT = 40 };
    struct exponential_budget tight = {.bytes_max = 6000}, free_budget = plenty();
    struct exponential coarse[COUNT], fine[COUNT];
    unsigned seed = 11;
    (void)state;

    for (size_t i = 0; i < COUNT; i++) {
        exponential_init(&coarse[i]);
        exponential_init(&fine[i]);
    }
    for (int i = 0; i < 15000; i++) {
        size_t which = (size_t)rand_r(&seed) % COUNT;
        double value = exp(log(1e-6) + uniform(&seed) * log(1e7));
        uint64_t count = rand_r(&seed) % 50 == 0 ? 300 : 1, bytes = 0;
        assert_true(exponential_record(&coarse[which], &tight, value, count));
        assert_true(exponential_record(&fine[which], &free_budget, value, count));
        assert_true(tight.bytes <= tight.bytes_max);
        for (size_t k = 0; k < COUNT && i % 100 == 0; k++)
            bytes += (uint64_t)coarse[k].length * coarse[k].width;
        if (i % 100 == 0)
            assert_int_equal(bytes, tight.bytes);
    }
    assert_true(tight.downscaled > 0);
    assert_int_equal(free_budget.downscaled, 0);
    for (size_t i = 0; i < COUNT; i++) {
        expect_shifted(&coarse[i], &fine[i]);
        exponential_deinit(&coarse[i], &tight);
        exponential_deinit(&fine[i], &free_budget);
    }
    assert_int_equal(tight.bytes, 0);
    assert_null(tight.oldest);
}

static void widening_passes_the_budget_too(void **state)
{
    struct exponential_budget budget = {.bytes_max = 300};
    struct exponential one, two;
    (void)state;

    exponential_init(&one);
    exponential_init(&two);
    for (int i = 0; i < 100; i++)
        assert_true(exponential_record(&one, &budget, exp2(i / 64.0 + 0.001), 1));
    assert_true(exponential_record(&two, &budget, 1, 1));
    assert_int_equal(budget.downscaled, 0);
    assert_true(exponential_record(&one, &budget, 1.1, UINT64_C(1) << 33)); /* 8 bytes each */
    assert_true(budget.bytes <= budget.bytes_max);
    assert_true(one.scale < EXPONENTIAL_SCALE_MAX);
    assert_true(total(&one) == (UINT64_C(1) << 33) + 100);
    exponential_deinit(&one, &budget);
    exponential_deinit(&two, &budget);
}

static void the_coldest_is_made_coarser(void **state)
{
    struct exponential_budget budget = {.bytes_max = 400};
    struct exponential cold, warm, hot;
    (void)state;

    exponential_init(&cold);
    exponential_init(&warm);
    exponential_init(&hot);
    for (int i = 0; i < 100; i += 10)
        assert_true(exponential_record(&cold, &budget, exp2(i / 64.0 + 0.001), 1));
    for (int i = 0; i < 100; i += 10)
        assert_true(exponential_record(&warm, &budget, exp2(i / 64.0 + 0.001), 1));
    for (int i = 0; budget.downscaled == 0; i += 10)
        assert_true(exponential_record(&hot, &budget, exp2(i / 64.0 + 0.001), 1));
    assert_int_equal(budget.downscaled, 1);
    assert_int_equal(cold.scale, EXPONENTIAL_SCALE_MAX - 1);
    assert_int_equal(warm.scale, EXPONENTIAL_SCALE_MAX);
    assert_int_equal(hot.scale, EXPONENTIAL_SCALE_MAX);
    assert_int_equal(total(&cold), 10);
    exponential_deinit(&cold, &budget);
    exponential_deinit(&warm, &budget);
    exponential_deinit(&hot, &budget);
}

static void fill(struct exponential *exponential, struct exponential_budget *budget, unsigned seed,
                 double low, double high, int count)
{
    for (int i = 0; i < count; i++)
        assert_true(exponential_record(exponential, budget,
                                       exp(log(low) + uniform(&seed) * (log(high) - log(low))), 1));
}

/* Merging gives what recording all values into one had given, whatever the scales. */
static void merging_adds_up(void **state)
{
    static const struct {
        double low, high;
    } ranges[] = {{1e-6, 1e-5}, {1e-3, 10}, {1e-30, 1e30}, {0.5, 0.6}, {1e-200, 1e200}};
    enum { COUNT = sizeof(ranges) / sizeof(ranges[0]) };
    (void)state;

    for (unsigned a = 0; a < COUNT; a++) {
        for (unsigned b = 0; b < COUNT; b++) {
            struct exponential_budget budget = plenty();
            struct exponential into, from, all;
            exponential_init(&into);
            exponential_init(&from);
            exponential_init(&all);
            fill(&into, &budget, 1, ranges[a].low, ranges[a].high, 500);
            fill(&from, &budget, 2, ranges[b].low, ranges[b].high, 700);
            from.zero_count = 3;
            fill(&all, &budget, 1, ranges[a].low, ranges[a].high, 500);
            fill(&all, &budget, 2, ranges[b].low, ranges[b].high, 700);
            all.zero_count = 3;
            assert_true(exponential_merge(&into, &budget, &from));
            assert_int_equal(total(&into), 1203);
            if (into.scale <= all.scale)
                expect_shifted(&into, &all);
            else
                expect_shifted(&all, &into);
            exponential_deinit(&into, &budget);
            exponential_deinit(&from, &budget);
            exponential_deinit(&all, &budget);
            assert_int_equal(budget.bytes, 0);
        }
    }
}

/* The one merged is usually the coldest, and so the first that the budget would make coarser. */
static void merging_under_pressure_loses_nothing(void **state)
{
    (void)state;
    for (uint64_t bytes_max = 100; bytes_max < 3000; bytes_max += 50) {
        struct exponential_budget budget = {.bytes_max = bytes_max};
        struct exponential cold, into;
        exponential_init(&cold);
        exponential_init(&into);
        fill(&cold, &budget, 3, 1e-4, 1, 400);
        assert_true(exponential_record(&cold, &budget, 0.01, 250));
        fill(&into, &budget, 4, 1e-2, 10, 300);
        assert_true(exponential_merge(&into, &budget, &cold));
        assert_int_equal(total(&into), 950);
        assert_int_equal(total(&cold), 650);
        assert_true(budget.bytes <= budget.bytes_max);
        exponential_deinit(&cold, &budget);
        exponential_deinit(&into, &budget);
    }
}

enum shape { UNIFORM, LOG_UNIFORM, EXPONENTIAL, LOG_NORMAL, TWO_PEAKS, CONSTANT, SHAPES };

static double sample(enum shape shape, unsigned *seed)
{
    double u = uniform(seed), value = 0;

    switch (shape) {
    case UNIFORM:
        value = 10 * u;
        break;
    case LOG_UNIFORM:
        value = exp(log(1e-6) + u * log(1e7));
        break;
    case EXPONENTIAL:
        value = -0.005 * log(u);
        break;
    case LOG_NORMAL:
        value = 0.002 * exp(1.5 * sqrt(-2 * log(u)) * cos(6.283185307179586 * uniform(seed)));
        break;
    case TWO_PEAKS:
        value = u < 0.9 ? 0.0003 + 0.0001 * uniform(seed) : 2 + uniform(seed);
        break;
    case CONSTANT:
        value = 0.0123;
        break;
    case SHAPES:
        break;
    }
    return value < 1e-6 ? 1e-6 : value > 10 ? 10 : value;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void quantiles_err_by_one_percent_at_most(void **state)
{
    enum { COUNT = 20000 };
    static const double quantiles[] = {0, 0.001, 0.01, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1};
    static double values[COUNT];
    unsigned seed = 17;
    (void)state;

    for (enum shape shape = UNIFORM; shape < SHAPES; shape++) {
        struct exponential_budget budget = plenty();
        struct exponential exponential;
        exponential_init(&exponential);
        for (size_t i = 0; i < COUNT; i++) {
            values[i] = sample(shape, &seed);
            assert_true(exponential_record(&exponential, &budget, values[i], 1));
        }
        assert_int_equal(exponential.scale, EXPONENTIAL_SCALE_MAX);
        qsort(values, COUNT, sizeof(values[0]), compare);
        for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
            size_t rank = (size_t)ceil(quantiles[i] * COUNT);
            double exact = values[rank ? rank - 1 : 0];
            double shown = exponential_quantile(&exponential, COUNT, quantiles[i]);
            assert_true(fabs(shown - exact) <= 0.01 * exact);
        }
        exponential_deinit(&exponential, &budget);
    }
}

static void expect_same(const struct exponential *a, const struct exponential *b)
{
    assert_int_equal(a->scale, b->scale);
    expect_shifted(a, b);
    expect_shifted(b, a);
}

static bool read_from(struct exponential *exponential, struct exponential_budget *budget,
                      struct view bytes)
{
    struct row_reader reader = {.bytes = bytes};

    return exponential_read(exponential, budget, &reader) && reader.offset == bytes.length;
}

static void disk_gives_back_the_same(void **state)
{
    struct exponential_budget budget = plenty();
    (void)state;

    for (unsigned round = 0; round < 60; round++) {
        struct buffer CLEANUP(buffer_deinit) value;
        struct exponential written, back;
        buffer_init(&value, 1 << 20);
        exponential_init(&written);
        written.zero_count = round * 100;
        fill(&written, &budget, round, pow(10, -(double)(round % 30)), 1 + round, (int)round * 20);
        assert_true(exponential_record(&written, &budget, 0.5, UINT64_C(1) << (round % 63)));
        exponential_write(&written, &value);
        assert_true(read_from(&back, &budget, (struct view){value.bytes, value.length}));
        expect_same(&written, &back);
        exponential_deinit(&written, &budget);
        exponential_deinit(&back, &budget);
    }
    assert_int_equal(budget.bytes, 0);
}

/* A window as long as it may get leaves no room beside it. */
static void full_windows_come_back(void **state)
{
    struct exponential_budget budget = plenty();
    struct buffer CLEANUP(buffer_deinit) value;
    struct exponential back;
    (void)state;

    buffer_init(&value, 1 << 20);
    row_write_u8(&value, 6);
    row_write_u32(&value, (uint32_t)-2048);
    row_write_u8(&value, 0);
    row_write_u8(&value, 0x80);
    row_write_u8(&value, 0x20); /* 4096 */
    for (int i = 0; i < 4096; i++)
        row_write_u8(&value, i % 2 == 0);
    assert_true(read_from(&back, &budget, (struct view){value.bytes, value.length}));
    assert_int_equal(total(&back), 2048);
    for (uint32_t i = 0; i < back.length; i++)
        assert_true(exponential_count_at(&back, i) <= 1);
    exponential_deinit(&back, &budget);
}

static void reading_keeps_the_budget(void **state)
{
    struct exponential_budget budget = plenty(), tight = {.bytes_max = 100};
    struct buffer CLEANUP(buffer_deinit) value;
    struct exponential written, back;
    (void)state;

    buffer_init(&value, 1 << 20);
    exponential_init(&written);
    fill(&written, &budget, 1, 1e-6, 10, 5000);
    exponential_write(&written, &value);
    assert_true(read_from(&back, &tight, (struct view){value.bytes, value.length}));
    assert_true(tight.bytes <= 100);
    expect_shifted(&back, &written);
    exponential_deinit(&written, &budget);
    exponential_deinit(&back, &tight);
}

/* Cut and scribbled-over bytes are refused, or read as some histogram that can be used. */
static void corrupted_bytes_do_no_harm(void **state)
{
    struct exponential_budget budget = plenty();
    struct buffer CLEANUP(buffer_deinit) value;
    struct exponential written, back;
    unsigned seed = 23;
    int refused = 0;
    (void)state;

    buffer_init(&value, 1 << 20);
    exponential_init(&written);
    fill(&written, &budget, 1, 1e-3, 1, 300);
    exponential_write(&written, &value);
    exponential_deinit(&written, &budget);
    for (size_t length = 0; length < value.length; length++) {
        assert_false(read_from(&back, &budget, (struct view){value.bytes, length}));
        assert_int_equal(back.length, 0);
        assert_int_equal(budget.bytes, 0);
    }
    for (int i = 0; i < 3000; i++) {
        char *CLEANUP(freep) copy = malloc(value.length);
        struct row_reader reader = {.bytes = {copy, value.length}};
        memcpy(copy, value.bytes, value.length);
        for (int k = rand_r(&seed) % 4; k >= 0; k--) {
            size_t at = rand_r(&seed) % 2 ? (size_t)rand_r(&seed) % 10
                                          : (size_t)rand_r(&seed) % value.length;
            copy[at] = (char)rand_r(&seed);
        }
        if (!exponential_read(&back, &budget, &reader)) {
            refused++;
            assert_int_equal(back.length, 0);
            assert_int_equal(budget.bytes, 0);
            continue;
        }
        assert_true(exponential_record(&back, &budget, 1e-9, 1));
        assert_true(exponential_record(&back, &budget, 1e9, 1));
        assert_true(back.length <= EXPONENTIAL_LENGTH_MAX);
        assert_true(back.scale >= EXPONENTIAL_SCALE_MIN);
        (void)exponential_quantile(&back, total(&back), 0.99);
        exponential_deinit(&back, &budget);
    }
    assert_true(refused > 150);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(indexes_agree_with_the_reference),
        cmocka_unit_test(powers_of_two_are_exact),
        cmocka_unit_test(subnormals_are_the_smallest),
        cmocka_unit_test(what_has_no_bucket_counts_as_zero),
        cmocka_unit_test(counters_widen),
        cmocka_unit_test(long_windows_are_downscaled),
        cmocka_unit_test(the_budget_holds),
        cmocka_unit_test(widening_passes_the_budget_too),
        cmocka_unit_test(the_coldest_is_made_coarser),
        cmocka_unit_test(merging_adds_up),
        cmocka_unit_test(merging_under_pressure_loses_nothing),
        cmocka_unit_test(quantiles_err_by_one_percent_at_most),
        cmocka_unit_test(disk_gives_back_the_same),
        cmocka_unit_test(full_windows_come_back),
        cmocka_unit_test(reading_keeps_the_budget),
        cmocka_unit_test(corrupted_bytes_do_no_harm),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
