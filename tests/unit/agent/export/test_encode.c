#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "agent/export/encode.h"
#include "fixture.h"
#include "proto/opentelemetry/metrics_service.pb-c.h"
#include "proto/opentelemetry/trace_service.pb-c.h"

typedef Opentelemetry__Proto__Collector__Metrics__V1__ExportMetricsServiceRequest metrics_request;
typedef Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest trace_request;
typedef Opentelemetry__Proto__Metrics__V1__Metric metric_message;

static const struct encode_opts explicit_opts = {.request_bytes_max = 1 << 20};
static const struct encode_opts exponential_opts = {.exponential = true,
                                                    .request_bytes_max = 1 << 20};

static metrics_request *unpack(const struct buffer *buffer)
{
    metrics_request *request =
        opentelemetry__proto__collector__metrics__v1__export_metrics_service_request__unpack(
            NULL, buffer->length, (const uint8_t *)buffer->bytes);
    assert_non_null(request);
    return request;
}

static void unpacked_free(metrics_request *request)
{
    opentelemetry__proto__collector__metrics__v1__export_metrics_service_request__free_unpacked(
        request, NULL);
}

/* The whole snapshot in one request. */
static metrics_request *encode_whole(const struct snapshot *snapshot,
                                     const struct encode_opts *opts, size_t *ret_points)
{
    struct encoder CLEANUP(encoder_deinit) encoder = {0};
    struct buffer CLEANUP(buffer_deinit) out = {.length_max = ENCODE_REQUEST_MAX};
    struct encode_cursor cursor = {0};

    assert_int_equal(encode_metrics(&encoder, snapshot, opts, &cursor, &out, ret_points), 0);
    assert_int_equal(cursor.resource, snapshot->resource_count);
    return unpack(&out);
}

static metric_message *find(const metrics_request *request, size_t resource, const char *name)
{
    for (size_t i = 0; i < request->resource_metrics[resource]->scope_metrics[0]->n_metrics; i++) {
        metric_message *metric = request->resource_metrics[resource]->scope_metrics[0]->metrics[i];
        if (strcmp(metric->name, name) == 0)
            return metric;
    }
    fail_msg("no metric %s", name);
    return NULL;
}

static const char *attribute_of(Opentelemetry__Proto__Common__V1__KeyValue **items, size_t count,
                                const char *key)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(items[i]->key, key) == 0)
            return items[i]->value->string_value;
    }
    fail_msg("no attribute %s", key);
    return NULL;
}

static void numbers(void **state)
{
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = fixture_snapshot();
    size_t points;
    metrics_request *request = encode_whole(snapshot, &explicit_opts, &points);

    (void)state;
    assert_int_equal(points, 7);
    assert_int_equal(request->n_resource_metrics, 3);
    assert_int_equal(request->resource_metrics[0]->resource->n_attributes, 7);
    assert_string_equal(request->resource_metrics[0]->scope_metrics[0]->scope->name, "weir");
    assert_string_equal(request->resource_metrics[0]->scope_metrics[0]->scope->version,
                        WEIR_VERSION);

    metric_message *updown = find(request, 0, "db.client.connection.count");
    assert_int_equal(updown->data_case, OPENTELEMETRY__PROTO__METRICS__V1__METRIC__DATA_SUM);
    assert_false(updown->sum->is_monotonic);
    assert_int_equal(updown->sum->aggregation_temporality, 2);
    assert_int_equal(updown->sum->data_points[0]->as_int, 3);
    assert_int_equal(updown->sum->data_points[0]->time_unix_nano, snapshot->time_unix_ns);
    assert_string_equal(updown->unit, "{connection}");

    metric_message *counter = find(request, 0, "db.client.connection.timeouts");
    assert_true(counter->sum->is_monotonic);
    assert_int_equal(counter->sum->data_points[0]->as_int, INT64_C(1) << 53);
    assert_int_equal(counter->sum->data_points[0]->start_time_unix_nano,
                     UINT64_C(1700000000000000000));

    metric_message *seconds = find(request, 0, "weir.pool.connection_time");
    assert_int_equal(seconds->sum->data_points[0]->value_case,
                     OPENTELEMETRY__PROTO__METRICS__V1__NUMBER_DATA_POINT__VALUE_AS_DOUBLE);
    assert_true(seconds->sum->data_points[0]->as_double == 0.1);

    metric_message *gauge = find(request, 2, "weir.agent.uptime");
    assert_int_equal(gauge->data_case, OPENTELEMETRY__PROTO__METRICS__V1__METRIC__DATA_GAUGE);
    assert_true(gauge->gauge->data_points[0]->as_double == 12.5);
    assert_int_equal(gauge->gauge->data_points[0]->n_attributes, 0);
    unpacked_free(request);
}

static void explicit_histograms(void **state)
{
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = fixture_snapshot_of(5);
    size_t count;
    metrics_request *request = encode_whole(snapshot, &explicit_opts, &count);
    metric_message *metric = find(request, 0, "db.client.operation.duration");

    (void)state;
    assert_int_equal(metric->data_case, OPENTELEMETRY__PROTO__METRICS__V1__METRIC__DATA_HISTOGRAM);
    assert_int_equal(metric->histogram->aggregation_temporality, 2);
    assert_int_equal(metric->histogram->n_data_points, 2);
    const Opentelemetry__Proto__Metrics__V1__HistogramDataPoint *point =
        metric->histogram->data_points[0];
    assert_int_equal(point->count, 6);
    assert_int_equal(point->has_sum_case,
                     OPENTELEMETRY__PROTO__METRICS__V1__HISTOGRAM_DATA_POINT__HAS_SUM_SUM);
    assert_true(point->sum == 1.25);
    assert_int_not_equal(point->has_min_case, 0);
    assert_int_equal(point->n_explicit_bounds, 5);
    assert_int_equal(point->n_bucket_counts, 6);
    assert_int_equal(point->bucket_counts[1], 5);
    assert_int_equal(point->bucket_counts[5], 1);
    assert_int_equal(point->n_exemplars, 1);
    assert_int_equal(point->exemplars[0]->trace_id.len, 16);
    assert_int_equal(point->exemplars[0]->span_id.data[7], 0xcd);
    assert_string_equal(attribute_of(point->attributes, point->n_attributes, "db.query.summary"),
                        "SELECT \"odd\\table\"\n");
    /* What is no UTF-8 would have the whole request refused. */
    point = metric->histogram->data_points[1];
    assert_string_equal(
        attribute_of(point->attributes, point->n_attributes, "bad\xef\xbf\xbd.utf8"),
        "a\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz");
    unpacked_free(request);
}

static void exponential_histograms(void **state)
{
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = fixture_snapshot_of(5);
    size_t count;
    metrics_request *request = encode_whole(snapshot, &exponential_opts, &count);
    metric_message *metric = find(request, 0, "db.client.operation.duration");

    (void)state;
    assert_int_equal(metric->data_case,
                     OPENTELEMETRY__PROTO__METRICS__V1__METRIC__DATA_EXPONENTIAL_HISTOGRAM);
    const Opentelemetry__Proto__Metrics__V1__ExponentialHistogramDataPoint *point =
        metric->exponential_histogram->data_points[0];
    assert_int_equal(metric->exponential_histogram->aggregation_temporality, 2);
    assert_int_equal(point->scale, 1);
    assert_int_equal(point->count, 6);
    assert_int_equal(point->positive->offset, -18);
    assert_int_equal(point->positive->n_bucket_counts, 4);
    assert_int_equal(point->positive->bucket_counts[0], 5);
    assert_int_equal(point->positive->bucket_counts[3], 1);
    assert_null(point->negative);
    assert_int_equal(point->n_exemplars, 1);
    unpacked_free(request);
}

/* A histogram without values: sum is said to be 0, minimum and maximum are not. */
static void empty_histogram(void **state)
{
    struct snapshot_builder *builder = snapshot_builder_new();
    const struct attributes *CLEANUP(attributes_unrefp) none = attributes_new(NULL, 0);
    static const double bounds[] = {1};
    struct histogram_point *histogram;
    uint64_t *buckets;
    size_t count;

    (void)state;
    assert_non_null(builder);
    histogram = snapshot_builder_alloc(builder, sizeof(*histogram));
    buckets = snapshot_builder_alloc(builder, 2 * sizeof(*buckets));
    buckets[0] = buckets[1] = 0;
    *histogram = (struct histogram_point){
        .bounds = bounds, .bound_count = 1, .bucket_counts = buckets, .scale = 6};
    snapshot_builder_resource(builder, none, false);
    snapshot_builder_point(builder, METRIC_OPERATION_DURATION,
                           &(struct metric_point){.attributes = none,
                                                  .start_unix_ns = 1,
                                                  .value.histogram = histogram});
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot =
        snapshot_builder_finish(builder, 2, 1);
    for (int form = 0; form < 2; form++) {
        metrics_request *request =
            encode_whole(snapshot, form ? &exponential_opts : &explicit_opts, &count);
        metric_message *metric = find(request, 0, "db.client.operation.duration");
        if (form) {
            Opentelemetry__Proto__Metrics__V1__ExponentialHistogramDataPoint *point =
                metric->exponential_histogram->data_points[0];
            assert_int_equal(point->has_sum_case, 5);
            assert_int_equal(point->has_min_case, 0);
            assert_null(point->positive);
            assert_int_equal(point->scale, 6);
        } else {
            Opentelemetry__Proto__Metrics__V1__HistogramDataPoint *point =
                metric->histogram->data_points[0];
            assert_int_equal(point->has_sum_case, 5);
            assert_int_equal(point->has_min_case, 0);
            assert_int_equal(point->has_max_case, 0);
            assert_int_equal(point->n_bucket_counts, 2);
        }
        unpacked_free(request);
    }
}

static size_t points_of(const metric_message *metric)
{
    return metric->data_case == OPENTELEMETRY__PROTO__METRICS__V1__METRIC__DATA_HISTOGRAM
               ? metric->histogram->n_data_points
           : metric->data_case == OPENTELEMETRY__PROTO__METRICS__V1__METRIC__DATA_SUM
               ? metric->sum->n_data_points
               : metric->gauge->n_data_points;
}

/* Whatever the cap, every point is in exactly one request, and none is empty or over the cap
 * without need. */
static void requests_are_split(void **state)
{
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = fixture_snapshot();
    size_t previous_requests = SIZE_MAX;

    (void)state;
    for (size_t cap = 1; cap < 6000; cap += 97) {
        struct encode_opts opts = {.request_bytes_max = cap};
        struct encoder CLEANUP(encoder_deinit) encoder = {0};
        struct buffer CLEANUP(buffer_deinit) out = {.length_max = ENCODE_REQUEST_MAX};
        struct encode_cursor cursor = {0};
        size_t total = 0, seen = 0, requests = 0, points;
        int r;
        do {
            r = encode_metrics(&encoder, snapshot, &opts, &cursor, &out, &points);
            assert_true(r == 0 || r == ENCODE_E_MORE);
            assert_true(points > 0);
            assert_true(points == 1 || out.length <= cap);
            metrics_request *request = unpack(&out);
            for (size_t i = 0; i < request->n_resource_metrics; i++) {
                Opentelemetry__Proto__Metrics__V1__ScopeMetrics *scope =
                    request->resource_metrics[i]->scope_metrics[0];
                assert_true(scope->n_metrics > 0);
                for (size_t m = 0; m < scope->n_metrics; m++)
                    seen += points_of(scope->metrics[m]);
            }
            unpacked_free(request);
            total += points;
            requests++;
        } while (r == ENCODE_E_MORE);
        assert_int_equal(total, 7);
        assert_int_equal(seen, 7);
        assert_true(requests <= previous_requests);
        previous_requests = requests;
    }
    assert_int_equal(previous_requests, 1);
}

static void nothing_to_say(void **state)
{
    const struct attributes *CLEANUP(attributes_unrefp) none = attributes_new(NULL, 0);
    struct snapshot_builder *builder = snapshot_builder_new();
    size_t points = 1;

    (void)state;
    snapshot_builder_resource(builder, none, false);
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot =
        snapshot_builder_finish(builder, 2, 1);
    metrics_request *request = encode_whole(snapshot, &explicit_opts, &points);
    assert_int_equal(points, 0);
    assert_int_equal(request->n_resource_metrics, 0);
    unpacked_free(request);
}

static const struct span *span_make(uint8_t number, const char *service)
{
    const struct attribute owner[] = {attribute_string("service.name", view_from(service))};
    const struct attribute items[] = {attribute_int("process.pid", number)};
    const struct attributes *CLEANUP(attributes_unrefp) resource = attributes_new(owner, 1);
    const struct attributes *CLEANUP(attributes_unrefp) attributes = attributes_new(items, 1);
    struct span span = {.trace_id = {1},
                        .span_id = {number},
                        .flags = 0x103,
                        .tracestate = "a=b",
                        .name = "SELECT \xff",
                        .start_unix_ns = 10,
                        .end_unix_ns = 20,
                        .status = number % 2 ? SPAN_ERROR : SPAN_UNSET,
                        .resource = resource,
                        .attributes = attributes};

    span.parent_span_id[3] = number > 2 ? 7 : 0;
    return span_new(&span);
}

static void spans(void **state)
{
    struct encoder CLEANUP(encoder_deinit) encoder = {0};
    struct buffer CLEANUP(buffer_deinit) out = {.length_max = ENCODE_REQUEST_MAX};
    const struct span *all[6];
    size_t count;

    (void)state;
    for (uint8_t i = 0; i < 6; i++)
        all[i] = span_make((uint8_t)(i + 1), i % 2 ? "shop" : "billing");
    assert_int_equal(encode_spans(&encoder, all, 6, &explicit_opts, &out, &count), 0);
    assert_int_equal(count, 6);
    trace_request *request =
        opentelemetry__proto__collector__trace__v1__export_trace_service_request__unpack(
            NULL, out.length, (const uint8_t *)out.bytes);
    assert_non_null(request);
    assert_int_equal(request->n_resource_spans, 2); /* equal resources, though not the same one */
    for (size_t r = 0; r < 2; r++) {
        assert_int_equal(request->resource_spans[r]->scope_spans[0]->n_spans, 3);
        for (size_t i = 0; i < 3; i++) {
            Opentelemetry__Proto__Trace__V1__Span *span =
                request->resource_spans[r]->scope_spans[0]->spans[i];
            uint8_t number = span->span_id.data[0];
            assert_int_equal(span->kind, 3);
            assert_int_equal(span->flags, 0x103);
            assert_string_equal(span->name, "SELECT \xef\xbf\xbd");
            assert_string_equal(span->trace_state, "a=b");
            assert_int_equal(span->parent_span_id.len, number > 2 ? 8 : 0);
            assert_int_equal(span->attributes[0]->value->int_value, number);
            assert_int_equal(span->status ? span->status->code : 0, number % 2 ? 2 : 0);
            assert_int_equal(span->end_time_unix_nano, 20);
        }
    }
    opentelemetry__proto__collector__trace__v1__export_trace_service_request__free_unpacked(request,
                                                                                            NULL);
    /* One at a time where the cap is small, always at least one. */
    struct encode_opts small = {.request_bytes_max = 1};
    for (size_t at = 0; at < 6; at++) {
        assert_int_equal(encode_spans(&encoder, all + at, 6 - at, &small, &out, &count),
                         at < 5 ? ENCODE_E_MORE : 0);
        assert_int_equal(count, 1);
    }
    for (size_t i = 0; i < 6; i++)
        (void)span_unref(all[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),
        cmocka_unit_test(explicit_histograms),
        cmocka_unit_test(exponential_histograms),
        cmocka_unit_test(empty_histogram),
        cmocka_unit_test(requests_are_split),
        cmocka_unit_test(nothing_to_say),
        cmocka_unit_test(spans),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
