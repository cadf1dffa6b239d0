/* A family's metrics are packed one by one behind its head, which protobuf allows (fields of one
 * message may be concatenated), so that only one metric's messages exist at a time. */
#include "agent/serve/exposition_protobuf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/serve/native_histogram.h"
#include "base/clock.h"
#include "proto/prometheus/metrics.pb-c.h"

enum { METRIC_TAG = 4 << 3 | 2, VARINT_MAX = 10, EXEMPLARS_MAX = 32 };

#define MESSAGE(type) Io__Prometheus__Client__##type

struct exemplar_message {
    MESSAGE(Exemplar) exemplar;
    MESSAGE(LabelPair) pairs[2];
    MESSAGE(LabelPair) * pair_pointers[2];
    MESSAGE(Timestamp) timestamp;
    char trace_id[33], span_id[17];
};

struct protobuf_space {
    MESSAGE(LabelPair) pairs[LABELS_MAX];
    MESSAGE(LabelPair) * pair_pointers[LABELS_MAX];
    MESSAGE(Timestamp) start;
    struct exemplar_message exemplars[EXEMPLARS_MAX];
    MESSAGE(Exemplar) * exemplar_pointers[EXEMPLARS_MAX];
    struct exemplar_message *bucket_exemplars; /* bucket_max each */
    MESSAGE(Bucket) * buckets;
    MESSAGE(Bucket) * *bucket_pointers;
    MESSAGE(BucketSpan) * spans; /* span_max each */
    MESSAGE(BucketSpan) * *span_pointers;
    size_t bucket_max, span_max;
    struct native_histogram native;
};

void protobuf_writer_init(struct protobuf_writer *writer, struct buffer *out)
{
    *writer = (struct protobuf_writer){.out = out};
    buffer_init(&writer->family, EXPOSITION_BYTES_MAX);
    writer->space = calloc(1, sizeof(*writer->space));
    writer->has_failed = !writer->space;
}

void protobuf_writer_deinit(struct protobuf_writer *writer)
{
    buffer_deinit(&writer->family);
    if (writer->space) {
        native_histogram_deinit(&writer->space->native);
        free(writer->space->bucket_exemplars);
        free(writer->space->buckets);
        free(writer->space->bucket_pointers);
        free(writer->space->spans);
        free(writer->space->span_pointers);
        free(writer->space);
    }
    writer->space = NULL;
}

static void varint_append(struct buffer *out, uint64_t value)
{
    uint8_t bytes[VARINT_MAX];
    size_t length = 0;

    for (; value >= 0x80; value >>= 7)
        bytes[length++] = (uint8_t)(value | 0x80);
    bytes[length++] = (uint8_t)value;
    buffer_append(out, bytes, length);
}

/* Appends what protobuf-c packs of @message to @out. */
static void message_append(struct buffer *out, const ProtobufCMessage *message, uint8_t *space)
{
    size_t length = protobuf_c_message_pack(message, space);
    buffer_append(out, space, length);
}

static void family_begin(void *userdata, const struct exposition_family *family)
{
    struct protobuf_writer *writer = userdata;
    MESSAGE(MetricFamily) head = IO__PROMETHEUS__CLIENT__METRIC_FAMILY__INIT;
    char name[512];
    uint8_t space[2048];

    writer->current = family;
    (void)snprintf(name, sizeof(name), "%s%s", family->name,
                   family->kind == METRIC_COUNTER ? "_total" : "");
    head.name = name;
    head.help = (char *)family->help;
    head.has_type = 1;
    head.type = family->kind == METRIC_COUNTER     ? IO__PROMETHEUS__CLIENT__METRIC_TYPE__COUNTER
                : family->kind == METRIC_HISTOGRAM ? IO__PROMETHEUS__CLIENT__METRIC_TYPE__HISTOGRAM
                                                   : IO__PROMETHEUS__CLIENT__METRIC_TYPE__GAUGE;
    head.unit = family->unit[0] ? (char *)family->unit : NULL;
    buffer_clear(&writer->family);
    if (protobuf_c_message_get_packed_size(&head.base) > sizeof(space)) {
        writer->has_failed = true; /* a description of our own that long */
        return;
    }
    message_append(&writer->family, &head.base, space);
}

static void timestamp_fill(MESSAGE(Timestamp) * timestamp, uint64_t unix_ns)
{
    io__prometheus__client__timestamp__init(timestamp);
    timestamp->has_seconds = timestamp->has_nanos = 1;
    timestamp->seconds = (int64_t)(unix_ns / NS_PER_S);
    timestamp->nanos = (int32_t)(unix_ns % NS_PER_S);
}

static void hex_write(const uint8_t *bytes, size_t length, char *ret)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < length; i++) {
        *ret++ = digits[bytes[i] >> 4];
        *ret++ = digits[bytes[i] & 0xf];
    }
    *ret = '\0';
}

static MESSAGE(Exemplar) *
    exemplar_fill(struct exemplar_message *message, const struct exemplar_point *point)
{
    hex_write(point->trace_id, sizeof(point->trace_id), message->trace_id);
    hex_write(point->span_id, sizeof(point->span_id), message->span_id);
    for (size_t i = 0; i < 2; i++) {
        io__prometheus__client__label_pair__init(&message->pairs[i]);
        message->pair_pointers[i] = &message->pairs[i];
    }
    message->pairs[0].name = "trace_id";
    message->pairs[0].value = message->trace_id;
    message->pairs[1].name = "span_id";
    message->pairs[1].value = message->span_id;
    timestamp_fill(&message->timestamp, point->time_unix_ns);
    io__prometheus__client__exemplar__init(&message->exemplar);
    message->exemplar.n_label = 2;
    message->exemplar.label = message->pair_pointers;
    message->exemplar.has_value = 1;
    message->exemplar.value = point->value;
    message->exemplar.timestamp = &message->timestamp;
    return &message->exemplar;
}

static bool buckets_reserve(struct protobuf_space *space, size_t count)
{
    if (count <= space->bucket_max)
        return true;
    free(space->bucket_exemplars);
    free(space->buckets);
    free(space->bucket_pointers);
    space->bucket_exemplars = calloc(count, sizeof(*space->bucket_exemplars));
    space->buckets = calloc(count, sizeof(*space->buckets));
    space->bucket_pointers = calloc(count, sizeof(MESSAGE(Bucket) *));
    bool has_all = space->bucket_exemplars && space->buckets && space->bucket_pointers;
    space->bucket_max = has_all ? count : 0;
    return has_all;
}

static bool classic_fill(struct protobuf_space *space, const struct metric_point *point,
                         MESSAGE(Histogram) * message)
{
    const struct histogram_point *histogram = point->value.histogram;
    uint64_t cumulative = 0;
    double lower = -INFINITY;

    if (!buckets_reserve(space, histogram->bound_count + 1u))
        return false;
    for (uint32_t i = 0; i <= histogram->bound_count; i++) {
        MESSAGE(Bucket) *bucket = &space->buckets[i];
        bool is_last = i == histogram->bound_count;
        cumulative = is_last ? histogram->count : cumulative + histogram->bucket_counts[i];
        io__prometheus__client__bucket__init(bucket);
        bucket->has_cumulative_count = bucket->has_upper_bound = 1;
        bucket->cumulative_count = cumulative;
        bucket->upper_bound = is_last ? INFINITY : histogram->bounds[i];
        const struct exemplar_point *exemplar =
            exposition_exemplar(point, lower, bucket->upper_bound);
        if (exemplar)
            bucket->exemplar = exemplar_fill(&space->bucket_exemplars[i], exemplar);
        lower = bucket->upper_bound;
        space->bucket_pointers[i] = bucket;
    }
    message->n_bucket = histogram->bound_count + 1u;
    message->bucket = space->bucket_pointers;
    return true;
}

static bool spans_reserve(struct protobuf_space *space, size_t count)
{
    if (count <= space->span_max)
        return true;
    free(space->spans);
    free(space->span_pointers);
    space->spans = calloc(count, sizeof(*space->spans));
    space->span_pointers = calloc(count, sizeof(MESSAGE(BucketSpan) *));
    bool has_all = space->spans && space->span_pointers;
    space->span_max = has_all ? count : 0;
    return has_all;
}

static bool native_fill(struct protobuf_space *space, const struct metric_point *point,
                        MESSAGE(Histogram) * message)
{
    int r = native_histogram_make(&space->native, point->value.histogram);
    if (r != 0)
        return r == NATIVE_HISTOGRAM_E_NONE;
    if (!spans_reserve(space, space->native.span_count))
        return false;
    for (size_t i = 0; i < space->native.span_count; i++) {
        io__prometheus__client__bucket_span__init(&space->spans[i]);
        space->spans[i].has_offset = space->spans[i].has_length = 1;
        space->spans[i].offset = space->native.spans[i].offset;
        space->spans[i].length = space->native.spans[i].length;
        space->span_pointers[i] = &space->spans[i];
    }
    message->has_schema = message->has_zero_threshold = message->has_zero_count = 1;
    message->schema = space->native.schema;
    message->zero_threshold = space->native.zero_threshold;
    message->zero_count = space->native.zero_count;
    message->n_positive_span = space->native.span_count;
    message->positive_span = space->span_pointers;
    message->n_positive_delta = space->native.delta_count;
    message->positive_delta = space->native.deltas;

    size_t count = point->exemplar_count < EXEMPLARS_MAX ? point->exemplar_count : EXEMPLARS_MAX;
    for (size_t i = 0; i < count; i++)
        space->exemplar_pointers[i] = exemplar_fill(&space->exemplars[i], &point->exemplars[i]);
    message->n_exemplars = count;
    message->exemplars = space->exemplar_pointers;
    return true;
}

static void metric_append(struct protobuf_writer *writer, const MESSAGE(Metric) * metric)
{
    size_t length = io__prometheus__client__metric__get_packed_size(metric);
    uint8_t *packed = malloc(length > 0 ? length : 1);

    if (!packed) {
        writer->has_failed = true;
        return;
    }
    varint_append(&writer->family, METRIC_TAG);
    varint_append(&writer->family, length);
    message_append(&writer->family, &metric->base, packed);
    free(packed);
}

static void labels_fill(struct protobuf_space *space, const struct labels *labels,
                        MESSAGE(Metric) * metric)
{
    for (size_t i = 0; i < labels->count; i++) {
        io__prometheus__client__label_pair__init(&space->pairs[i]);
        space->pairs[i].name = (char *)label_name(labels, i);
        space->pairs[i].value = (char *)label_value(labels, i);
        space->pair_pointers[i] = &space->pairs[i];
    }
    metric->n_label = labels->count;
    metric->label = space->pair_pointers;
}

static void histogram_append(struct protobuf_writer *writer, const struct metric_point *point,
                             MESSAGE(Metric) * metric)
{
    MESSAGE(Histogram) histogram = IO__PROMETHEUS__CLIENT__HISTOGRAM__INIT;

    histogram.has_sample_count = histogram.has_sample_sum = 1;
    histogram.sample_count = point->value.histogram->count;
    histogram.sample_sum = point->value.histogram->sum;
    if (point->start_unix_ns > 0)
        histogram.start_timestamp = &writer->space->start;
    metric->histogram = &histogram;
    if (classic_fill(writer->space, point, &histogram) &&
        native_fill(writer->space, point, &histogram))
        metric_append(writer, metric);
    else
        writer->has_failed = true;
    metric->histogram = NULL;
}

static void number_append(struct protobuf_writer *writer, const struct metric_point *point,
                          MESSAGE(Metric) * metric)
{
    MESSAGE(Counter) counter = IO__PROMETHEUS__CLIENT__COUNTER__INIT;
    MESSAGE(Gauge) gauge = IO__PROMETHEUS__CLIENT__GAUGE__INIT;
    double value =
        writer->current->value == METRIC_INT ? (double)point->value.integer : point->value.number;

    if (writer->current->kind == METRIC_COUNTER) {
        const struct exemplar_point *exemplar = exposition_exemplar(point, -INFINITY, INFINITY);
        counter.has_value = 1;
        counter.value = value;
        if (point->start_unix_ns > 0)
            counter.start_timestamp = &writer->space->start;
        if (exemplar)
            counter.exemplar = exemplar_fill(&writer->space->exemplars[0], exemplar);
        metric->counter = &counter;
    } else {
        gauge.has_value = 1;
        gauge.value = value;
        metric->gauge = &gauge;
    }
    metric_append(writer, metric);
    metric->counter = NULL;
    metric->gauge = NULL;
}

static void family_point(void *userdata, const struct labels *labels,
                         const struct metric_point *point)
{
    struct protobuf_writer *writer = userdata;
    MESSAGE(Metric) metric = IO__PROMETHEUS__CLIENT__METRIC__INIT;

    if (writer->has_failed)
        return;
    labels_fill(writer->space, labels, &metric);
    timestamp_fill(&writer->space->start, point->start_unix_ns);
    if (writer->current->kind == METRIC_HISTOGRAM)
        histogram_append(writer, point, &metric);
    else
        number_append(writer, point, &metric);
}

static void family_end(void *userdata)
{
    struct protobuf_writer *writer = userdata;

    writer->has_failed = writer->has_failed || writer->family.failed;
    varint_append(writer->out, writer->family.length);
    buffer_append(writer->out, writer->family.bytes, writer->family.length);
    writer->current = NULL;
}

static void family_finish(void *userdata)
{
    (void)userdata; /* families stand for themselves */
}

const struct exposition_writer protobuf_writer_ops = {family_begin, family_point, family_end,
                                                      family_finish};
