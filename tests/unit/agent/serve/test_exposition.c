/* The three formats of a scrape, byte for byte where they are text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/serve/exposition.h"
#include "agent/serve/native_histogram.h"
#include "agent/serve/number.h"
#include "agent/serve/translate.h"
#include "fixture.h"
#include "proto/prometheus/metrics.pb-c.h"

static char *written(enum exposition_format format, size_t *ret_length)
{
    CLEANUP(snapshot_unrefp) const struct snapshot *snapshot = fixture_snapshot();
    struct buffer out;
    size_t length;

    buffer_init(&out, EXPOSITION_BYTES_MAX);
    assert_int_equal(exposition_write(snapshot, format, &out), 0);
    char *bytes = buffer_take(&out, ret_length ? ret_length : &length);
    assert_non_null(bytes);
    return bytes;
}

/* Puts the version in the place of the word VERSION; the caller frees the text. */
static char *with_version(const char *golden)
{
    static const char word[] = "VERSION";
    struct buffer text;
    size_t length;

    buffer_init(&text, EXPOSITION_BYTES_MAX);
    for (const char *at; (at = strstr(golden, word)); golden = at + strlen(word)) {
        buffer_append(&text, golden, (size_t)(at - golden));
        buffer_append_text(&text, WEIR_VERSION);
    }
    buffer_append_text(&text, golden);
    return buffer_take(&text, &length);
}

static void is_golden(enum exposition_format format, const char *name)
{
    CLEANUP(freep) char *text = written(format, NULL);
    CLEANUP(freep) char *golden = NULL;
    size_t size = 0;
    char path[1024];

    (void)snprintf(path, sizeof(path), "%s/%s", WEIR_GOLDEN, name);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_true(getdelim(&golden, &size, '\0', file) > 0);
    (void)fclose(file);
    CLEANUP(freep) char *expected = with_version(golden);
    assert_non_null(expected);
    if (strcmp(text, expected) != 0)
        print_message("%s\n", text);
    assert_string_equal(text, expected);
}

static void text_is_golden(void **state)
{
    (void)state;
    is_golden(EXPOSITION_TEXT, "exposition.txt");
}

static void openmetrics_is_golden(void **state)
{
    (void)state;
    is_golden(EXPOSITION_OPENMETRICS, "exposition.openmetrics");
}

static void nothing_is_shown_before_the_first_snapshot(void **state)
{
    struct buffer out;

    (void)state;
    buffer_init(&out, EXPOSITION_BYTES_MAX);
    assert_int_equal(exposition_write(NULL, EXPOSITION_TEXT, &out), 0);
    assert_int_equal(out.length, 0);
    assert_int_equal(exposition_write(NULL, EXPOSITION_OPENMETRICS, &out), 0);
    assert_memory_equal(out.bytes, "# EOF\n", 6);
    buffer_deinit(&out);
}

static void a_full_buffer_is_an_error(void **state)
{
    CLEANUP(snapshot_unrefp) const struct snapshot *snapshot = fixture_snapshot();
    static const enum exposition_format formats[] = {EXPOSITION_TEXT, EXPOSITION_OPENMETRICS,
                                                     EXPOSITION_PROTOBUF};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct buffer out;
        buffer_init(&out, 100);
        assert_true(exposition_write(snapshot, formats[i], &out) < 0);
        buffer_deinit(&out);
    }
}

/* The family @name of a delimited stream; freed by the caller. */
static Io__Prometheus__Client__MetricFamily *family_find(const char *bytes, size_t length,
                                                         const char *name)
{
    Io__Prometheus__Client__MetricFamily *found = NULL;

    for (size_t at = 0; at < length;) {
        size_t size = 0;
        for (unsigned shift = 0;; shift += 7) {
            assert_true(at < length && shift < 35);
            uint8_t byte = (uint8_t)bytes[at++];
            size |= (size_t)(byte & 0x7f) << shift;
            if (byte < 0x80)
                break;
        }
        assert_true(size <= length - at);
        Io__Prometheus__Client__MetricFamily *family =
            io__prometheus__client__metric_family__unpack(NULL, size, (const uint8_t *)bytes + at);
        assert_non_null(family);
        at += size;
        if (strcmp(family->name, name) == 0) {
            assert_null(found); /* each family once */
            found = family;
        } else {
            io__prometheus__client__metric_family__free_unpacked(family, NULL);
        }
    }
    assert_non_null(found);
    return found;
}

static void protobuf_has_both_histograms(void **state)
{
    size_t length;
    CLEANUP(freep) char *bytes = written(EXPOSITION_PROTOBUF, &length);

    (void)state;
    Io__Prometheus__Client__MetricFamily *family =
        family_find(bytes, length, "db_client_operation_duration_seconds");
    assert_int_equal(family->type, IO__PROMETHEUS__CLIENT__METRIC_TYPE__HISTOGRAM);
    assert_string_equal(family->unit, "seconds");
    assert_int_equal(family->n_metric, 2);
    const Io__Prometheus__Client__Histogram *histogram = family->metric[0]->histogram;
    assert_int_equal(histogram->sample_count, 3);
    assert_true(histogram->sample_sum == 0.5);
    assert_int_equal(histogram->n_bucket, 6);
    assert_int_equal(histogram->bucket[1]->cumulative_count, 2);
    assert_int_equal(histogram->bucket[5]->cumulative_count, 3);
    assert_true(isinf(histogram->bucket[5]->upper_bound));
    assert_int_equal(histogram->schema, 1);
    assert_int_equal(histogram->n_positive_span, 2);
    assert_int_equal(histogram->positive_span[0]->offset, -17);
    assert_int_equal(histogram->positive_span[0]->length, 1);
    assert_int_equal(histogram->positive_span[1]->offset, 2);
    assert_int_equal(histogram->n_positive_delta, 2);
    assert_int_equal(histogram->positive_delta[0], 2);
    assert_int_equal(histogram->positive_delta[1], -1);
    assert_int_equal(histogram->start_timestamp->seconds, 1700000000);
    assert_string_equal(histogram->bucket[1]->exemplar->label[0]->value,
                        "abababababababababababababababab");
    assert_int_equal(histogram->bucket[1]->exemplar->timestamp->nanos, 500000000);
    assert_int_equal(histogram->n_exemplars, 1);
    io__prometheus__client__metric_family__free_unpacked(family, NULL);

    family = family_find(bytes, length, "db_client_connection_timeouts_total");
    assert_int_equal(family->type, IO__PROMETHEUS__CLIENT__METRIC_TYPE__COUNTER);
    assert_true(family->metric[0]->counter->value == 9007199254740992.0);
    io__prometheus__client__metric_family__free_unpacked(family, NULL);

    family = family_find(bytes, length, "target_info");
    assert_int_equal(family->n_metric, 3);
    assert_true(family->metric[0]->gauge->value == 1);
    io__prometheus__client__metric_family__free_unpacked(family, NULL);
}

static struct histogram_point exponential(int32_t scale, int32_t offset, const uint64_t *counts,
                                          uint32_t count)
{
    struct histogram_point point = {
        .scale = scale, .offset = offset, .exponential_count = count, .exponential_counts = counts};
    for (uint32_t i = 0; i < count; i++)
        point.count += counts[i];
    return point;
}

static void native_spans_are_sparse(void **state)
{
    const uint64_t counts[] = {10, 0, 0, 20, 5, 2};
    struct histogram_point point = exponential(3, 3, counts, 6);
    struct native_histogram native = {0};

    (void)state;
    assert_int_equal(native_histogram_make(&native, &point), 0);
    assert_int_equal(native.schema, 3);
    assert_true(native.zero_threshold == 1e-128);
    assert_int_equal(native.span_count, 2);
    assert_int_equal(native.spans[0].offset, 4);
    assert_int_equal(native.spans[0].length, 1);
    assert_int_equal(native.spans[1].offset, 2);
    assert_int_equal(native.spans[1].length, 3);
    assert_int_equal(native.delta_count, 4);
    assert_memory_equal(native.deltas, ((int64_t[]){10, 10, -15, -3}), 4 * sizeof(int64_t));

    /* Used again for a smaller and for an empty one. */
    point = exponential(0, 0, counts, 1);
    assert_int_equal(native_histogram_make(&native, &point), 0);
    assert_int_equal(native.span_count, 1);
    assert_int_equal(native.delta_count, 1);
    point = exponential(0, 0, NULL, 0);
    assert_int_equal(native_histogram_make(&native, &point), 0);
    assert_int_equal(native.span_count, 1);
    assert_int_equal(native.spans[0].length, 0);
    assert_int_equal(native.delta_count, 0);
    native_histogram_deinit(&native);
}

static void native_scales_are_kept_legal(void **state)
{
    const uint64_t counts[] = {1, 2, 4, 8, 16};
    struct histogram_point point = exponential(10, -7, counts, 5); /* -7..-3, by 4: -2, -1 */
    struct native_histogram native = {0};

    (void)state;
    assert_int_equal(native_histogram_make(&native, &point), 0);
    assert_int_equal(native.schema, 8);
    assert_int_equal(native.span_count, 1);
    assert_int_equal(native.spans[0].offset, -1);
    assert_int_equal(native.spans[0].length, 2);
    assert_memory_equal(native.deltas, ((int64_t[]){7 + 0, 24 - 7}), 2 * sizeof(int64_t));
    point = exponential(-5, 0, counts, 5);
    assert_int_equal(native_histogram_make(&native, &point), NATIVE_HISTOGRAM_E_NONE);
    point = exponential(3, 0, NULL, 0);
    point.count = 5; /* classic only */
    assert_int_equal(native_histogram_make(&native, &point), NATIVE_HISTOGRAM_E_NONE);
    native_histogram_deinit(&native);
}

static void names_follow_the_translation(void **state)
{
    static const struct {
        struct metric_spec spec;
        const char *name;
    } examples[] = {
        {{"foo.bar", "By", METRIC_COUNTER, METRIC_INT, ""}, "foo_bar_bytes"},
        {{"foo.bar_total", "s", METRIC_COUNTER, METRIC_INT, ""}, "foo_bar_seconds"},
        {{"foo.seconds.bar", "s", METRIC_GAUGE, METRIC_INT, ""}, "foo_seconds_bar"},
        {{"foo..bar--x", "{thing}", METRIC_GAUGE, METRIC_INT, ""}, "foo_bar_x"},
        {{"9foo", "1", METRIC_GAUGE, METRIC_INT, ""}, "_9foo_ratio"},
        {{"foo", "1", METRIC_COUNTER, METRIC_INT, ""}, "foo"},
        {{"foo", "By/s", METRIC_GAUGE, METRIC_INT, ""}, "foo_bytes_per_second"},
        {{"foo", "{x}/m", METRIC_GAUGE, METRIC_INT, ""}, "foo_per_minute"},
        {{"foo", "%", METRIC_GAUGE, METRIC_INT, ""}, "foo_percent"},
        {{"foo:bar", "", METRIC_GAUGE, METRIC_INT, ""}, "foo:bar"},
        {{"f\xc3\xb6o", "furlong", METRIC_GAUGE, METRIC_INT, ""}, "f_o_furlong"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        char name[PROMETHEUS_NAME_MAX];
        prometheus_family_name(&examples[i].spec, name);
        assert_string_equal(name, examples[i].name);
    }
}

/* Every metric of the catalog has a name of its own that Prometheus takes. */
static void the_catalog_translates(void **state)
{
    char names[METRIC_ID_END][PROMETHEUS_NAME_MAX];

    (void)state;
    for (int id = 0; id < METRIC_ID_END; id++) {
        prometheus_family_name(&metric_catalog[id], names[id]);
        assert_int_equal(strspn(names[id], "abcdefghijklmnopqrstuvwxyz0123456789_"),
                         strlen(names[id]));
        for (int other = 0; other < id; other++)
            assert_string_not_equal(names[id], names[other]);
    }
    assert_string_equal(names[METRIC_POOL_CONNECTION_TIME], "weir_pool_connection_time_seconds");
    assert_string_equal(names[METRIC_STATEMENT_INFO], "weir_statement_info");
}

static void numbers_read_back(void **state)
{
    static const struct {
        double value;
        const char *text, *canonical;
    } examples[] = {
        {1, "1", "1.0"},
        {0.1, "0.1", "0.1"},
        {1e21, "1e+21", "1e+21"},
        {-0.00025, "-0.00025", "-0.00025"},
        {INFINITY, "+Inf", "+Inf"},
        {-INFINITY, "-Inf", "-Inf"},
        {NAN, "NaN", "NaN"},
        {10000, "10000", "10000.0"},
    };
    char text[32];

    (void)state;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        number_format(examples[i].value, text, sizeof(text));
        assert_string_equal(text, examples[i].text);
        number_format_canonical(examples[i].value, text, sizeof(text));
        assert_string_equal(text, examples[i].canonical);
    }
    srand(1);
    for (int i = 0; i < 10000; i++) {
        double value = (double)rand() / (double)(rand() + 1) * pow(10, rand() % 40 - 20);
        number_format(value, text, sizeof(text));
        assert_true(strtod(text, NULL) == value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_golden),
        cmocka_unit_test(openmetrics_is_golden),
        cmocka_unit_test(nothing_is_shown_before_the_first_snapshot),
        cmocka_unit_test(a_full_buffer_is_an_error),
        cmocka_unit_test(protobuf_has_both_histograms),
        cmocka_unit_test(native_spans_are_sparse),
        cmocka_unit_test(native_scales_are_kept_legal),
        cmocka_unit_test(names_follow_the_translation),
        cmocka_unit_test(the_catalog_translates),
        cmocka_unit_test(numbers_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
