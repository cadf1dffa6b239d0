/* The two formats differ in the name of a counter's family, units, info metrics, exemplars and the
 * end. `le` is written the same way in both, so that a target's series stay the same whichever
 * format a scrape negotiates. */
#include "agent/serve/exposition_text.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "agent/serve/number.h"

static void escaped_append(struct buffer *out, const char *text, bool has_quotes)
{
    for (;;) {
        size_t plain = strcspn(text, has_quotes ? "\\\n\"" : "\\\n");
        buffer_append(out, text, plain);
        text += plain;
        if (*text == '\0')
            return;
        buffer_append_char(out, '\\');
        buffer_append_char(out, *text == '\n' ? 'n' : *text);
        text++;
    }
}

static const char *kind_name(const struct exposition_family *family, bool is_openmetrics)
{
    if (family->is_info && is_openmetrics)
        return "info";
    switch (family->kind) {
    case METRIC_COUNTER:
        return "counter";
    case METRIC_UPDOWN:
    case METRIC_GAUGE:
        return "gauge";
    case METRIC_HISTOGRAM:
        return "histogram";
    }
    return "untyped";
}

static bool name_ends_with(const char *name, const char *unit)
{
    size_t length = strlen(name), unit_length = strlen(unit);
    return unit_length > 0 && length > unit_length + 1 && name[length - unit_length - 1] == '_' &&
           strcmp(name + length - unit_length, unit) == 0;
}

static void text_begin(void *userdata, const struct exposition_family *family)
{
    struct text_writer *writer = userdata;
    struct buffer *out = writer->out;
    const char *suffix = !writer->is_openmetrics && family->kind == METRIC_COUNTER ? "_total" : "";
    int length = (int)strlen(family->name);

    if (family->is_info && writer->is_openmetrics)
        length -= (int)strlen("_info");
    writer->family = family;
    buffer_format(out, "# HELP %.*s%s ", length, family->name, suffix);
    escaped_append(out, family->help, writer->is_openmetrics);
    buffer_format(out, "\n# TYPE %.*s%s %s\n", length, family->name, suffix,
                  kind_name(family, writer->is_openmetrics));
    if (writer->is_openmetrics && name_ends_with(family->name, family->unit))
        buffer_format(out, "# UNIT %s %s\n", family->name, family->unit);
}

/* name{labels,le="…"} and the space before the value. */
static void sample_begin(struct text_writer *writer, const char *suffix,
                         const struct labels *labels, const char *le)
{
    struct buffer *out = writer->out;
    char separator = '{';

    buffer_append_text(out, writer->family->name);
    buffer_append_text(out, suffix);
    for (size_t i = 0; i < labels->count; i++) {
        buffer_append_char(out, separator);
        buffer_append_text(out, label_name(labels, i));
        buffer_append_text(out, "=\"");
        escaped_append(out, label_value(labels, i), true);
        buffer_append_char(out, '"');
        separator = ',';
    }
    if (le) {
        buffer_append_char(out, separator);
        buffer_append_text(out, "le=\"");
        buffer_append_text(out, le);
        buffer_append_char(out, '"');
        separator = ',';
    }
    buffer_append_text(out, separator == ',' ? "} " : " ");
}

static void hex_append(struct buffer *out, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        buffer_format(out, "%02x", bytes[i]);
}

static void exemplar_append(struct text_writer *writer, const struct exemplar_point *exemplar)
{
    struct buffer *out = writer->out;
    char value[32];

    if (!writer->is_openmetrics || !exemplar)
        return;
    buffer_append_text(out, " # {trace_id=\"");
    hex_append(out, exemplar->trace_id, sizeof(exemplar->trace_id));
    buffer_append_text(out, "\",span_id=\"");
    hex_append(out, exemplar->span_id, sizeof(exemplar->span_id));
    number_format(exemplar->value, value, sizeof(value));
    buffer_format(out, "\"} %s %" PRIu64 ".%03" PRIu64, value, exemplar->time_unix_ns / 1000000000,
                  exemplar->time_unix_ns / 1000000 % 1000);
}

static void number_append(struct text_writer *writer, double number)
{
    char text[32];

    number_format(number, text, sizeof(text));
    buffer_append_text(writer->out, text);
}

static void histogram_write(struct text_writer *writer, const struct labels *labels,
                            const struct metric_point *point)
{
    const struct histogram_point *histogram = point->value.histogram;
    uint64_t cumulative = 0;
    double lower = -INFINITY;

    for (uint32_t i = 0; i < histogram->bound_count; i++) {
        char le[32];
        cumulative += histogram->bucket_counts[i];
        number_format_canonical(histogram->bounds[i], le, sizeof(le));
        sample_begin(writer, "_bucket", labels, le);
        buffer_format(writer->out, "%" PRIu64, cumulative);
        exemplar_append(writer, exposition_exemplar(point, lower, histogram->bounds[i]));
        buffer_append_char(writer->out, '\n');
        lower = histogram->bounds[i];
    }
    sample_begin(writer, "_bucket", labels, "+Inf");
    buffer_format(writer->out, "%" PRIu64, histogram->count);
    exemplar_append(writer, exposition_exemplar(point, lower, INFINITY));
    buffer_append_char(writer->out, '\n');
    sample_begin(writer, "_sum", labels, NULL);
    number_append(writer, histogram->sum);
    buffer_append_char(writer->out, '\n');
    sample_begin(writer, "_count", labels, NULL);
    buffer_format(writer->out, "%" PRIu64 "\n", histogram->count);
}

static void text_point(void *userdata, const struct labels *labels,
                       const struct metric_point *point)
{
    struct text_writer *writer = userdata;

    if (writer->family->kind == METRIC_HISTOGRAM) {
        histogram_write(writer, labels, point);
        return;
    }
    bool is_counter = writer->family->kind == METRIC_COUNTER;
    sample_begin(writer, is_counter ? "_total" : "", labels, NULL);
    if (writer->family->value == METRIC_INT)
        buffer_format(writer->out, "%" PRId64, point->value.integer);
    else
        number_append(writer, point->value.number);
    if (is_counter)
        exemplar_append(writer, exposition_exemplar(point, -INFINITY, INFINITY));
    buffer_append_char(writer->out, '\n');
}

static void text_end(void *userdata)
{
    struct text_writer *writer = userdata;
    writer->family = NULL;
}

static void text_finish(void *userdata)
{
    struct text_writer *writer = userdata;
    if (writer->is_openmetrics)
        buffer_append_text(writer->out, "# EOF\n");
}

const struct exposition_writer text_writer_ops = {text_begin, text_point, text_end, text_finish};
