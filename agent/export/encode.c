/* A request is built as protobuf-c's messages in an arena, then packed. What it will weigh is
 * summed up on the way, item by item, so that it can be closed in time. */
#include "agent/export/encode.h"

#include <errno.h>
#include <string.h>

#include "agent/model/catalog.h"
#include "proto/opentelemetry/metrics_service.pb-c.h"
#include "proto/opentelemetry/trace_service.pb-c.h"

#define COMMON(type)   Opentelemetry__Proto__Common__V1__##type
#define RESOURCE(type) Opentelemetry__Proto__Resource__V1__##type
#define METRICS(type)  Opentelemetry__Proto__Metrics__V1__##type
#define TRACE(type)    Opentelemetry__Proto__Trace__V1__##type

enum {
    FIELD_OVERHEAD = 12,    /* tag and length of a message inside another, at most */
    ENVELOPE_OVERHEAD = 96, /* scope and lengths around one resource's items */
};

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

void encoder_deinit(struct encoder *encoder)
{
    arena_deinit(&encoder->arena);
}

/* Takes one message of @type out of the arena, initialized; NULL: out of memory. */
#define TAKE_MESSAGE(arena, type, init)                                                            \
    __extension__({                                                                                \
        type *message_taken = arena_take((arena), 1, sizeof(type));                                \
        if (message_taken)                                                                         \
            init(message_taken);                                                                   \
        message_taken;                                                                             \
    })

/* ---- text and attributes -------------------------------------------------------------------- */

static size_t sequence_length(const uint8_t *bytes, size_t available)
{
    uint8_t lead = bytes[0];
    size_t length = lead < 0x80   ? lead > 0
                    : lead < 0xc2 ? 0
                    : lead < 0xe0 ? 2
                    : lead < 0xf0 ? 3
                                  : 4;

    if (lead > 0xf4 || length > available)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    }
    bool is_overlong = (lead == 0xe0 && bytes[1] < 0xa0) || (lead == 0xf0 && bytes[1] < 0x90);
    bool is_surrogate = lead == 0xed && bytes[1] > 0x9f;
    bool is_too_large = lead == 0xf4 && bytes[1] > 0x8f;
    return is_overlong || is_surrogate || is_too_large ? 0 : length;
}

/* A receiver refuses a whole request for one byte that is no UTF-8, and protobuf-c ends a text at
 * its first NUL: both become U+FFFD. */
static char *text_copy(struct arena *arena, struct view text)
{
    const uint8_t *bytes = (const uint8_t *)text.bytes;
    size_t bad = 0, length = 0;

    for (size_t i = 0, step; i < text.length; i += step ? step : 1) {
        step = sequence_length(bytes + i, text.length - i);
        bad += step == 0;
    }
    char *copy = arena_take(arena, text.length + 2 * bad + 1, 1);
    if (!copy)
        return NULL;
    if (bad == 0) {
        if (text.length)
            memcpy(copy, text.bytes, text.length);
        return copy;
    }
    for (size_t i = 0, step; i < text.length; i += step ? step : 1) {
        step = sequence_length(bytes + i, text.length - i);
        if (step)
            memcpy(copy + length, text.bytes + i, step);
        else
            memcpy(copy + length, replacement, 3);
        length += step ? step : 3;
    }
    return copy;
}

static void value_fill(struct arena *arena, const struct attribute *item, COMMON(AnyValue) * value)
{
    switch (item->type) {
    case ATTRIBUTE_STRING:
        value->value_case = OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_STRING_VALUE;
        value->string_value = text_copy(arena, item->value.string);
        break;
    case ATTRIBUTE_INT:
        value->value_case = OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_INT_VALUE;
        value->int_value = item->value.integer;
        break;
    case ATTRIBUTE_BOOL:
        value->value_case = OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_BOOL_VALUE;
        value->bool_value = item->value.boolean;
        break;
    case ATTRIBUTE_DOUBLE:
        value->value_case = OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_DOUBLE_VALUE;
        value->double_value = item->value.number;
        break;
    }
}

/* The caller looks at arena->failed once, at the end. */
static size_t attributes_fill(struct arena *arena, const struct attributes *attributes,
                              COMMON(KeyValue) * **ret)
{
    size_t count = attributes ? attributes->count : 0;
    COMMON(KeyValue) **pointers = arena_take(arena, count, sizeof(*pointers));
    COMMON(KeyValue) *pairs = arena_take(arena, count, sizeof(*pairs));
    COMMON(AnyValue) *values = arena_take(arena, count, sizeof(*values));

    if (!pointers || !pairs || !values)
        return 0;
    for (size_t i = 0; i < count; i++) {
        opentelemetry__proto__common__v1__key_value__init(&pairs[i]);
        opentelemetry__proto__common__v1__any_value__init(&values[i]);
        pairs[i].key = text_copy(arena, attributes->items[i].key);
        pairs[i].value = &values[i];
        value_fill(arena, &attributes->items[i], &values[i]);
        pointers[i] = &pairs[i];
    }
    *ret = pointers;
    return arena->failed ? 0 : count;
}

static RESOURCE(Resource) * resource_make(struct arena *arena, const struct attributes *attributes)
{
    RESOURCE(Resource) *resource =
        TAKE_MESSAGE(arena, RESOURCE(Resource), opentelemetry__proto__resource__v1__resource__init);

    if (resource)
        resource->n_attributes = attributes_fill(arena, attributes, &resource->attributes);
    return resource;
}

static COMMON(InstrumentationScope) * scope_make(struct arena *arena)
{
    COMMON(InstrumentationScope) *scope =
        TAKE_MESSAGE(arena, COMMON(InstrumentationScope),
                     opentelemetry__proto__common__v1__instrumentation_scope__init);

    if (scope) {
        scope->name = (char *)CATALOG_SCOPE;
        scope->version = (char *)WEIR_VERSION;
    }
    return scope;
}

/* ---- points --------------------------------------------------------------------------------- */

static size_t exemplars_fill(struct arena *arena, const struct metric_point *point,
                             METRICS(Exemplar) * **ret)
{
    size_t count = point->exemplar_count;
    METRICS(Exemplar) **pointers = arena_take(arena, count, sizeof(*pointers));
    METRICS(Exemplar) *exemplars = arena_take(arena, count, sizeof(*exemplars));

    if (!pointers || !exemplars)
        return 0;
    for (size_t i = 0; i < count; i++) {
        const struct exemplar_point *from = &point->exemplars[i];
        METRICS(Exemplar) *exemplar = &exemplars[i];
        opentelemetry__proto__metrics__v1__exemplar__init(exemplar);
        exemplar->time_unix_nano = from->time_unix_ns;
        exemplar->value_case = OPENTELEMETRY__PROTO__METRICS__V1__EXEMPLAR__VALUE_AS_DOUBLE;
        exemplar->as_double = from->value;
        exemplar->span_id =
            (ProtobufCBinaryData){sizeof(from->span_id), (uint8_t *)(uintptr_t)from->span_id};
        exemplar->trace_id =
            (ProtobufCBinaryData){sizeof(from->trace_id), (uint8_t *)(uintptr_t)from->trace_id};
        pointers[i] = exemplar;
    }
    *ret = pointers;
    return count;
}

static ProtobufCMessage *number_make(struct arena *arena, const struct metric_spec *spec,
                                     const struct metric_point *from, uint64_t time_ns)
{
    METRICS(NumberDataPoint) *point =
        TAKE_MESSAGE(arena, METRICS(NumberDataPoint),
                     opentelemetry__proto__metrics__v1__number_data_point__init);

    if (!point)
        return NULL;
    point->start_time_unix_nano = from->start_unix_ns;
    point->time_unix_nano = time_ns;
    if (spec->value == METRIC_INT) {
        point->value_case = OPENTELEMETRY__PROTO__METRICS__V1__NUMBER_DATA_POINT__VALUE_AS_INT;
        point->as_int = from->value.integer;
    } else {
        point->value_case = OPENTELEMETRY__PROTO__METRICS__V1__NUMBER_DATA_POINT__VALUE_AS_DOUBLE;
        point->as_double = from->value.number;
    }
    point->n_attributes = attributes_fill(arena, from->attributes, &point->attributes);
    point->n_exemplars = exemplars_fill(arena, from, &point->exemplars);
    return &point->base;
}

static ProtobufCMessage *explicit_make(struct arena *arena, const struct metric_point *from,
                                       uint64_t time_ns)
{
    const struct histogram_point *histogram = from->value.histogram;
    METRICS(HistogramDataPoint) *point =
        TAKE_MESSAGE(arena, METRICS(HistogramDataPoint),
                     opentelemetry__proto__metrics__v1__histogram_data_point__init);

    if (!point)
        return NULL;
    point->start_time_unix_nano = from->start_unix_ns;
    point->time_unix_nano = time_ns;
    point->count = histogram->count;
    point->has_sum_case = OPENTELEMETRY__PROTO__METRICS__V1__HISTOGRAM_DATA_POINT__HAS_SUM_SUM;
    point->sum = histogram->sum;
    if (histogram->count > 0) {
        point->has_min_case = OPENTELEMETRY__PROTO__METRICS__V1__HISTOGRAM_DATA_POINT__HAS_MIN_MIN;
        point->has_max_case = OPENTELEMETRY__PROTO__METRICS__V1__HISTOGRAM_DATA_POINT__HAS_MAX_MAX;
        point->min = histogram->min;
        point->max = histogram->max;
    }
    if (histogram->bucket_counts) {
        point->n_explicit_bounds = histogram->bound_count;
        point->explicit_bounds = (double *)(uintptr_t)histogram->bounds;
        point->n_bucket_counts = histogram->bound_count + 1u;
        point->bucket_counts = (uint64_t *)(uintptr_t)histogram->bucket_counts;
    }
    point->n_attributes = attributes_fill(arena, from->attributes, &point->attributes);
    point->n_exemplars = exemplars_fill(arena, from, &point->exemplars);
    return &point->base;
}

static ProtobufCMessage *exponential_make(struct arena *arena, const struct metric_point *from,
                                          uint64_t time_ns)
{
    const struct histogram_point *histogram = from->value.histogram;
    METRICS(ExponentialHistogramDataPoint) *point =
        TAKE_MESSAGE(arena, METRICS(ExponentialHistogramDataPoint),
                     opentelemetry__proto__metrics__v1__exponential_histogram_data_point__init);
    METRICS(ExponentialHistogramDataPoint__Buckets) *buckets = TAKE_MESSAGE(
        arena, METRICS(ExponentialHistogramDataPoint__Buckets),
        opentelemetry__proto__metrics__v1__exponential_histogram_data_point__buckets__init);

    if (!point || !buckets)
        return NULL;
    point->start_time_unix_nano = from->start_unix_ns;
    point->time_unix_nano = time_ns;
    point->count = histogram->count;
    point->has_sum_case =
        OPENTELEMETRY__PROTO__METRICS__V1__EXPONENTIAL_HISTOGRAM_DATA_POINT__HAS_SUM_SUM;
    point->sum = histogram->sum;
    if (histogram->count > 0) {
        point->has_min_case =
            OPENTELEMETRY__PROTO__METRICS__V1__EXPONENTIAL_HISTOGRAM_DATA_POINT__HAS_MIN_MIN;
        point->has_max_case =
            OPENTELEMETRY__PROTO__METRICS__V1__EXPONENTIAL_HISTOGRAM_DATA_POINT__HAS_MAX_MAX;
        point->min = histogram->min;
        point->max = histogram->max;
    }
    point->scale = histogram->scale;
    point->zero_count = histogram->zero_count;
    if (histogram->exponential_count > 0) {
        buckets->offset = histogram->offset;
        buckets->n_bucket_counts = histogram->exponential_count;
        buckets->bucket_counts = (uint64_t *)(uintptr_t)histogram->exponential_counts;
        point->positive = buckets;
    }
    point->n_attributes = attributes_fill(arena, from->attributes, &point->attributes);
    point->n_exemplars = exemplars_fill(arena, from, &point->exemplars);
    return &point->base;
}

/* ---- metrics -------------------------------------------------------------------------------- */

/* One request in the making. */
struct draft {
    struct arena *arena;
    const struct encode_opts *opts;
    uint64_t time_ns;
    size_t bytes; /* that it weighs so far, never too few */
    size_t items;
};

/* Without exponential buckets (a metric of few values) the explicit form is the only one. */
static bool points_are_exponential(const struct draft *draft, const struct metric_points *points)
{
    if (!draft->opts->exponential)
        return false;
    for (uint32_t i = 0; i < points->point_count; i++) {
        const struct histogram_point *histogram = points->points[i].value.histogram;
        if (histogram->count > histogram->zero_count && histogram->exponential_count == 0)
            return false;
    }
    return true;
}

static ProtobufCMessage *point_make(const struct draft *draft, const struct metric_spec *spec,
                                    const struct metric_point *from, bool is_exponential)
{
    if (spec->kind != METRIC_HISTOGRAM)
        return number_make(draft->arena, spec, from, draft->time_ns);
    return is_exponential ? exponential_make(draft->arena, from, draft->time_ns)
                          : explicit_make(draft->arena, from, draft->time_ns);
}

/* Puts @count points, whose type is what @spec asks for, into @metric. */
static bool data_fill(struct arena *arena, const struct metric_spec *spec, bool is_exponential,
                      ProtobufCMessage **points, size_t count, METRICS(Metric) * metric)
{
    if (spec->kind == METRIC_GAUGE) {
        METRICS(Gauge) *gauge =
            TAKE_MESSAGE(arena, METRICS(Gauge), opentelemetry__proto__metrics__v1__gauge__init);
        if (!gauge)
            return false;
        gauge->n_data_points = count;
        gauge->data_points = (METRICS(NumberDataPoint) **)(void *)points;
        metric->data_case = OPENTELEMETRY__PROTO__METRICS__V1__METRIC__DATA_GAUGE;
        metric->gauge = gauge;
    } else if (spec->kind != METRIC_HISTOGRAM) {
        METRICS(Sum) *sum =
            TAKE_MESSAGE(arena, METRICS(Sum), opentelemetry__proto__metrics__v1__sum__init);
        if (!sum)
            return false;
        sum->n_data_points = count;
        sum->data_points = (METRICS(NumberDataPoint) **)(void *)points;
        sum->aggregation_temporality =
            OPENTELEMETRY__PROTO__METRICS__V1__AGGREGATION_TEMPORALITY__AGGREGATION_TEMPORALITY_CUMULATIVE;
        sum->is_monotonic = spec->kind == METRIC_COUNTER;
        metric->data_case = OPENTELEMETRY__PROTO__METRICS__V1__METRIC__DATA_SUM;
        metric->sum = sum;
    } else if (is_exponential) {
        METRICS(ExponentialHistogram) *histogram =
            TAKE_MESSAGE(arena, METRICS(ExponentialHistogram),
                         opentelemetry__proto__metrics__v1__exponential_histogram__init);
        if (!histogram)
            return false;
        histogram->n_data_points = count;
        histogram->data_points = (METRICS(ExponentialHistogramDataPoint) **)(void *)points;
        histogram->aggregation_temporality =
            OPENTELEMETRY__PROTO__METRICS__V1__AGGREGATION_TEMPORALITY__AGGREGATION_TEMPORALITY_CUMULATIVE;
        metric->data_case = OPENTELEMETRY__PROTO__METRICS__V1__METRIC__DATA_EXPONENTIAL_HISTOGRAM;
        metric->exponential_histogram = histogram;
    } else {
        METRICS(Histogram) *histogram = TAKE_MESSAGE(
            arena, METRICS(Histogram), opentelemetry__proto__metrics__v1__histogram__init);
        if (!histogram)
            return false;
        histogram->n_data_points = count;
        histogram->data_points = (METRICS(HistogramDataPoint) **)(void *)points;
        histogram->aggregation_temporality =
            OPENTELEMETRY__PROTO__METRICS__V1__AGGREGATION_TEMPORALITY__AGGREGATION_TEMPORALITY_CUMULATIVE;
        metric->data_case = OPENTELEMETRY__PROTO__METRICS__V1__METRIC__DATA_HISTOGRAM;
        metric->histogram = histogram;
    }
    return true;
}

/* One metric from point @first on; *ret_next is behind the last that fit. NULL: none did, or out of
 * memory. */
static METRICS(Metric) * metric_make(struct draft *draft, const struct metric_points *from,
                                     uint32_t first, uint32_t *ret_next)
{
    const struct metric_spec *spec = &metric_catalog[from->metric];
    bool is_exponential = spec->kind == METRIC_HISTOGRAM && points_are_exponential(draft, from);
    size_t head = strlen(spec->name) + strlen(spec->unit) + strlen(spec->description) +
                  (size_t)4 * FIELD_OVERHEAD;
    ProtobufCMessage **points =
        arena_take(draft->arena, from->point_count - first, sizeof(*points));
    METRICS(Metric) *metric = TAKE_MESSAGE(draft->arena, METRICS(Metric),
                                           opentelemetry__proto__metrics__v1__metric__init);
    size_t count = 0;

    *ret_next = first;
    if (!points || !metric)
        return NULL;
    for (; *ret_next < from->point_count; (*ret_next)++) {
        ProtobufCMessage *point = point_make(draft, spec, &from->points[*ret_next], is_exponential);
        if (!point || draft->arena->failed)
            return NULL;
        size_t bytes = protobuf_c_message_get_packed_size(point) + FIELD_OVERHEAD + head;
        if (draft->items > 0 && draft->bytes + bytes > draft->opts->request_bytes_max)
            break;
        points[count++] = point;
        draft->items++;
        draft->bytes += bytes;
        head = 0;
    }
    metric->name = (char *)spec->name;
    metric->description = (char *)spec->description;
    metric->unit = (char *)spec->unit;
    if (count == 0 || !data_fill(draft->arena, spec, is_exponential, points, count, metric))
        return NULL;
    return metric;
}

/* One resource from @cursor on, which moves behind what fit. */
static METRICS(ResourceMetrics) * resource_metrics_make(struct draft *draft,
                                                        const struct resource_metrics *from,
                                                        struct encode_cursor *cursor)
{
    METRICS(ResourceMetrics) *resource =
        TAKE_MESSAGE(draft->arena, METRICS(ResourceMetrics),
                     opentelemetry__proto__metrics__v1__resource_metrics__init);
    METRICS(ScopeMetrics) *scope =
        TAKE_MESSAGE(draft->arena, METRICS(ScopeMetrics),
                     opentelemetry__proto__metrics__v1__scope_metrics__init);
    METRICS(ScopeMetrics) **scopes = arena_take(draft->arena, 1, sizeof(METRICS(ScopeMetrics) *));
    METRICS(Metric) **metrics =
        arena_take(draft->arena, from->metric_count - cursor->metric, sizeof(METRICS(Metric) *));

    if (!resource || !scope || !scopes || !metrics)
        return NULL;
    resource->resource = resource_make(draft->arena, from->resource);
    scope->scope = scope_make(draft->arena);
    if (!resource->resource || !scope->scope)
        return NULL;
    draft->bytes +=
        protobuf_c_message_get_packed_size(&resource->resource->base) + ENVELOPE_OVERHEAD;
    scope->metrics = metrics;
    resource->n_scope_metrics = 1;
    resource->scope_metrics = scopes;
    scopes[0] = scope;
    for (; cursor->metric < from->metric_count; cursor->metric++, cursor->point = 0) {
        const struct metric_points *points = &from->metrics[cursor->metric];
        uint32_t next = cursor->point;
        METRICS(Metric) *metric = metric_make(draft, points, cursor->point, &next);
        if (draft->arena->failed)
            return NULL;
        if (metric)
            metrics[scope->n_metrics++] = metric;
        cursor->point = next;
        if (next < points->point_count)
            break;
    }
    return resource;
}

struct packed {
    ProtobufCBuffer base; /* first: what protobuf-c holds */
    struct buffer *out;
};

static void packed_append(ProtobufCBuffer *base, size_t length, const uint8_t *bytes)
{
    buffer_append(((struct packed *)base)->out, bytes, length);
}

static int pack(const ProtobufCMessage *request, struct buffer *out)
{
    struct packed packed = {{packed_append}, out};

    buffer_clear(out);
    (void)protobuf_c_message_pack_to_buffer(request, &packed.base);
    return out->failed ? -ENOMEM : 0;
}

int encode_metrics(struct encoder *encoder, const struct snapshot *snapshot,
                   const struct encode_opts *opts, struct encode_cursor *cursor, struct buffer *out,
                   size_t *ret_points)
{
    Opentelemetry__Proto__Collector__Metrics__V1__ExportMetricsServiceRequest request =
        OPENTELEMETRY__PROTO__COLLECTOR__METRICS__V1__EXPORT_METRICS_SERVICE_REQUEST__INIT;
    struct draft draft = {&encoder->arena, opts, snapshot->time_unix_ns, 0, 0};
    bool is_full = false;

    *ret_points = 0;
    arena_clear(&encoder->arena);
    if (cursor->resource < snapshot->resource_count)
        request.resource_metrics =
            arena_take(&encoder->arena, snapshot->resource_count - cursor->resource,
                       sizeof(METRICS(ResourceMetrics) *));
    while (!encoder->arena.failed && cursor->resource < snapshot->resource_count && !is_full) {
        const struct resource_metrics *from = &snapshot->resources[cursor->resource];
        size_t items_before = draft.items;
        METRICS(ResourceMetrics) *resource = resource_metrics_make(&draft, from, cursor);
        if (!resource)
            return -ENOMEM;
        if (draft.items > items_before)
            request.resource_metrics[request.n_resource_metrics++] = resource;
        is_full = cursor->metric < from->metric_count;
        if (!is_full)
            *cursor = (struct encode_cursor){.resource = cursor->resource + 1};
    }
    if (encoder->arena.failed || pack(&request.base, out) < 0)
        return -ENOMEM;
    *ret_points = draft.items;
    return cursor->resource < snapshot->resource_count ? ENCODE_E_MORE : 0;
}

/* ---- spans ---------------------------------------------------------------------------------- */

static ProtobufCBinaryData id_of(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i])
            return (ProtobufCBinaryData){length, (uint8_t *)(uintptr_t)bytes};
    }
    return (ProtobufCBinaryData){0, NULL}; /* none, as the parent of a root */
}

static TRACE(Span) * span_make(struct arena *arena, const struct span *from)
{
    TRACE(Span) *span =
        TAKE_MESSAGE(arena, TRACE(Span), opentelemetry__proto__trace__v1__span__init);
    TRACE(Status) *status =
        TAKE_MESSAGE(arena, TRACE(Status), opentelemetry__proto__trace__v1__status__init);

    if (!span || !status)
        return NULL;
    span->trace_id = id_of(from->trace_id, sizeof(from->trace_id));
    span->span_id = id_of(from->span_id, sizeof(from->span_id));
    span->parent_span_id = id_of(from->parent_span_id, sizeof(from->parent_span_id));
    span->flags = from->flags;
    span->trace_state = text_copy(arena, view_from(from->tracestate));
    span->name = text_copy(arena, view_from(from->name));
    span->kind = OPENTELEMETRY__PROTO__TRACE__V1__SPAN__SPAN_KIND__SPAN_KIND_CLIENT;
    span->start_time_unix_nano = from->start_unix_ns;
    span->end_time_unix_nano = from->end_unix_ns;
    span->n_attributes = attributes_fill(arena, from->attributes, &span->attributes);
    if (from->status == SPAN_ERROR) {
        status->code = OPENTELEMETRY__PROTO__TRACE__V1__STATUS__STATUS_CODE__STATUS_CODE_ERROR;
        span->status = status;
    }
    return arena->failed ? NULL : span;
}

/* The group of @span's resource in @request, made if it is new; NULL: out of memory. Resources are
 * few, so they are looked through. */
static TRACE(ScopeSpans) * group_of(struct draft *draft, TRACE(ResourceSpans) * *groups,
                                    size_t *group_count, const struct attributes **resources,
                                    const struct span *span, size_t spans_max)
{
    for (size_t i = 0; i < *group_count; i++) {
        if (resources[i] == span->resource || attributes_equal(resources[i], span->resource))
            return groups[i]->scope_spans[0];
    }
    TRACE(ResourceSpans) *group = TAKE_MESSAGE(
        draft->arena, TRACE(ResourceSpans), opentelemetry__proto__trace__v1__resource_spans__init);
    TRACE(ScopeSpans) *scope = TAKE_MESSAGE(draft->arena, TRACE(ScopeSpans),
                                            opentelemetry__proto__trace__v1__scope_spans__init);
    TRACE(ScopeSpans) **scopes = arena_take(draft->arena, 1, sizeof(TRACE(ScopeSpans) *));
    if (!group || !scope || !scopes)
        return NULL;
    group->resource = resource_make(draft->arena, span->resource);
    scope->scope = scope_make(draft->arena);
    scope->spans = arena_take(draft->arena, spans_max, sizeof(TRACE(Span) *));
    if (!group->resource || !scope->scope || !scope->spans)
        return NULL;
    group->n_scope_spans = 1;
    group->scope_spans = scopes;
    scopes[0] = scope;
    draft->bytes += protobuf_c_message_get_packed_size(&group->resource->base) + ENVELOPE_OVERHEAD;
    resources[*group_count] = span->resource;
    groups[(*group_count)++] = group;
    return scope;
}

int encode_spans(struct encoder *encoder, const struct span *const *spans, size_t count,
                 const struct encode_opts *opts, struct buffer *out, size_t *ret_spans)
{
    Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest request =
        OPENTELEMETRY__PROTO__COLLECTOR__TRACE__V1__EXPORT_TRACE_SERVICE_REQUEST__INIT;
    struct draft draft = {&encoder->arena, opts, 0, 0, 0};

    *ret_spans = 0;
    arena_clear(&encoder->arena);
    request.resource_spans = arena_take(&encoder->arena, count, sizeof(TRACE(ResourceSpans) *));
    const struct attributes **resources = arena_take(&encoder->arena, count, sizeof(*resources));
    if (!request.resource_spans || !resources)
        return -ENOMEM;
    for (; draft.items < count; draft.items++) {
        TRACE(Span) *span = span_make(&encoder->arena, spans[draft.items]);
        if (!span)
            return -ENOMEM;
        size_t bytes = protobuf_c_message_get_packed_size(&span->base) + FIELD_OVERHEAD;
        if (draft.items > 0 && draft.bytes + bytes > opts->request_bytes_max)
            break;
        TRACE(ScopeSpans) *group =
            group_of(&draft, request.resource_spans, &request.n_resource_spans, resources,
                     spans[draft.items], count - draft.items);
        if (!group)
            return -ENOMEM;
        group->spans[group->n_spans++] = span;
        draft.bytes += bytes;
    }
    if (pack(&request.base, out) < 0)
        return -ENOMEM;
    *ret_spans = draft.items;
    return draft.items < count ? ENCODE_E_MORE : 0;
}
