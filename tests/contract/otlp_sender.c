/* Sends a made-up snapshot and spans as the standard variables say, for the tests that receive them
 * with a real Collector and with servers that refuse. Prints what the exporter logs and
 * acknowledges; obeys lines on standard input:
 *   metrics N    offer a snapshot in which every count is N
 *   spans N      offer N spans
 *   flush MS     flush; prints "flushed" or "timeout"
 *   stats        print the statistics as one JSON object
 *   (end of input) stop
 * The arguments are the first and the longest wait between attempts and when to give up, in ms, the
 * largest request and the memory for waiting spans in bytes. */
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/export/exporter.h"

#define START_NS UINT64_C(1700000000000000000)

enum { SPANS_MAX = 4096, STATEMENTS = 20 };

static const double bounds[] = {0.001, 0.01, 0.1, 1, 10};

/* The exporter's thread and this one both print. */
static pthread_mutex_t print_lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((format(printf, 1, 2))) static void print(const char *format, ...)
{
    va_list arguments;

    (void)pthread_mutex_lock(&print_lock);
    va_start(arguments, format);
    (void)vprintf(format, arguments);
    va_end(arguments);
    (void)fflush(stdout);
    (void)pthread_mutex_unlock(&print_lock);
}

static void acknowledged(void *userdata, uint64_t generation, uint64_t rejected)
{
    (void)userdata;
    print("acknowledged %" PRIu64 " rejected %" PRIu64 "\n", generation, rejected);
}

static void say(void *userdata, enum exporter_level level, const char *message)
{
    (void)userdata;
    print("log %s %s\n", level == EXPORTER_WARNING ? "warning" : "info", message);
}

static void noted(void *userdata, const char *message)
{
    (void)userdata;
    print("note %s\n", message);
}

/* ---- the snapshot --------------------------------------------------------------------------- */

static void resource_add(struct snapshot_builder *builder, const char *name, bool is_agent)
{
    const struct attribute items[] = {
        attribute_string("service.name", view_from(name)),
        attribute_string("service.instance.id", VIEW_LITERAL("one")),
        attribute_int("host.cpus", 4),
    };
    const struct attributes *CLEANUP(attributes_unrefp) resource = attributes_new(items, 3);

    snapshot_builder_resource(builder, resource, is_agent);
}

static void point_add(struct snapshot_builder *builder, enum metric_id metric,
                      const struct attribute *items, size_t count, struct metric_point point)
{
    const struct attributes *CLEANUP(attributes_unrefp) attributes = attributes_new(items, count);

    point.attributes = attributes;
    snapshot_builder_point(builder, metric, &point);
}

/* @calls values of 2^-6 and one of 4. */
static const struct histogram_point *histogram_make(struct snapshot_builder *builder,
                                                    uint64_t calls)
{
    struct histogram_point *point = snapshot_builder_alloc(builder, sizeof(*point));
    uint64_t *buckets = snapshot_builder_alloc(builder, 6 * sizeof(*buckets));
    uint64_t *exponential = snapshot_builder_alloc(builder, 9 * sizeof(*exponential));

    memset(exponential, 0, 9 * sizeof(*exponential));
    memcpy(buckets, (uint64_t[]){0, 0, calls, 0, 1, 0}, 6 * sizeof(*buckets));
    exponential[0] = calls;
    exponential[8] = 1;
    *point = (struct histogram_point){.count = calls + 1,
                                      .sum = (double)calls / 64 + 4,
                                      .min = 1.0 / 64,
                                      .max = 4,
                                      .bounds = bounds,
                                      .bound_count = 5,
                                      .bucket_counts = buckets,
                                      .scale = 0,
                                      .offset = -7,
                                      .exponential_count = 9,
                                      .exponential_counts = exponential};
    return point;
}

static const struct exemplar_point *exemplar_make(struct snapshot_builder *builder)
{
    struct exemplar_point *point = snapshot_builder_alloc(builder, sizeof(*point));

    *point = (struct exemplar_point){.time_unix_ns = START_NS + 7, .value = 4};
    memset(point->trace_id, 0xab, sizeof(point->trace_id));
    memset(point->span_id, 0xcd, sizeof(point->span_id));
    return point;
}

static const struct snapshot *snapshot_make(uint64_t calls, uint64_t generation)
{
    struct snapshot_builder *builder = snapshot_builder_new();
    const struct attribute used[] = {
        attribute_string("db.client.connection.pool.name", VIEW_LITERAL("main")),
        attribute_string("db.client.connection.state", VIEW_LITERAL("used")),
    };

    resource_add(builder, "shop", false);
    for (int i = 0; i < STATEMENTS; i++) {
        char fingerprint[17];
        (void)snprintf(fingerprint, sizeof(fingerprint), "%016x", i);
        const struct attribute items[] = {
            attribute_string("db.system.name", VIEW_LITERAL("postgresql")),
            attribute_string("weir.statement.fingerprint", view_from(fingerprint)),
            attribute_string("db.query.summary", VIEW_LITERAL("SELECT \xc3\xa4 \xff.")),
            attribute_bool("flag", true),
        };
        point_add(builder, METRIC_OPERATION_DURATION, items, 4,
                  (struct metric_point){.start_unix_ns = START_NS,
                                        .value.histogram = histogram_make(builder, calls),
                                        .exemplars = exemplar_make(builder),
                                        .exemplar_count = 1});
    }
    point_add(builder, METRIC_CONNECTION_COUNT, used, 2,
              (struct metric_point){.start_unix_ns = START_NS, .value.integer = -3});
    point_add(builder, METRIC_CONNECTION_TIMEOUTS, used, 1,
              (struct metric_point){.start_unix_ns = START_NS, .value.integer = INT64_MAX});
    point_add(builder, METRIC_POOL_CONNECTION_TIME, used, 2,
              (struct metric_point){.start_unix_ns = START_NS, .value.number = 0.25});
    point_add(builder, METRIC_POOL_USED_PEAK, used, 1, (struct metric_point){.value.integer = 9});
    resource_add(builder, "weir-agent", true);
    point_add(builder, METRIC_AGENT_UPTIME, NULL, 0, (struct metric_point){.value.number = 12.5});
    return snapshot_builder_finish(builder, START_NS + generation * 1000000000, generation);
}

/* ---- spans ---------------------------------------------------------------------------------- */

static const struct span *span_make(const struct attributes *resource, uint64_t number)
{
    const struct attribute items[] = {
        attribute_string("db.system.name", VIEW_LITERAL("postgresql")),
        attribute_int("process.pid", (int64_t)number),
    };
    const struct attributes *CLEANUP(attributes_unrefp) attributes = attributes_new(items, 2);
    struct span span = {
        .flags = 0x101,
        .tracestate = "vendor=value",
        .name = "SELECT orders",
        .start_unix_ns = START_NS + number,
        .end_unix_ns = START_NS + number + 1000,
        .status = number % 2 ? SPAN_ERROR : SPAN_UNSET,
        .resource = resource,
        .attributes = attributes,
    };

    memset(span.trace_id, 0x11, sizeof(span.trace_id));
    memcpy(span.span_id, &number, sizeof(number));
    span.span_id[7] = 0x22;
    if (number % 3)
        memset(span.parent_span_id, 0x33, sizeof(span.parent_span_id));
    return span_new(&span);
}

static void spans_offer(struct exporter *exporter, uint64_t count)
{
    static const struct span *spans[SPANS_MAX];
    const struct attribute items[] = {attribute_string("service.name", VIEW_LITERAL("shop"))};
    const struct attributes *CLEANUP(attributes_unrefp) resource = attributes_new(items, 1);
    static uint64_t number;

    for (uint64_t i = 0; i < count; i++)
        spans[i] = span_make(resource, number++);
    exporter_offer_spans(exporter, spans, count);
    for (uint64_t i = 0; i < count; i++)
        (void)span_unref(spans[i]);
}

/* ---- lines ---------------------------------------------------------------------------------- */

static void signal_stats_print(const char *name, const struct exporter_signal_stats *stats)
{
    print("\"%s\": {\"requests\": %" PRIu64 ", \"arrived\": %" PRIu64 ", \"retries\": %" PRIu64
          ", \"failures\": %" PRIu64 ", \"exported\": %" PRIu64 ", \"rejected\": %" PRIu64
          ", \"refused\": %" PRIu64 ", \"expired\": %" PRIu64 ", \"error\": \"%s\"}, ",
          name, stats->requests, stats->arrived, stats->retries, stats->failures, stats->exported,
          stats->rejected, stats->refused, stats->expired, stats->error);
}

static void stats_print(struct exporter *exporter)
{
    struct exporter_stats stats;

    exporter_stats(exporter, &stats);
    print("stats {");
    signal_stats_print("metrics", &stats.signals[EXPORT_METRICS]);
    signal_stats_print("traces", &stats.signals[EXPORT_TRACES]);
    print("\"offered\": %" PRIu64 ", \"acknowledged\": %" PRIu64 ", \"superseded\": %" PRIu64
          ", \"generation\": %" PRIu64 ", \"spans_offered\": %" PRIu64 ", \"queue_full\": %" PRIu64
          ", \"queue_bytes\": %" PRIu64 ", \"spans_waiting\": %" PRIu64 "}\n",
          stats.snapshots_offered, stats.snapshots_acknowledged, stats.snapshots_superseded,
          stats.generation_acknowledged, stats.spans_offered, stats.spans_queue_full,
          stats.spans_queue_bytes, stats.spans_waiting);
}

static void obey(struct exporter *exporter, const char *line)
{
    static uint64_t generation;
    uint64_t number;

    if (sscanf(line, "metrics %" SCNu64, &number) == 1) {
        const struct snapshot *CLEANUP(snapshot_unrefp) snapshot =
            snapshot_make(number, ++generation);
        exporter_offer_snapshot(exporter, snapshot);
        print("offered %" PRIu64 "\n", generation);
    } else if (sscanf(line, "spans %" SCNu64, &number) == 1 && number <= SPANS_MAX) {
        spans_offer(exporter, number);
        print("offered\n");
    } else if (sscanf(line, "flush %" SCNu64, &number) == 1) {
        print(exporter_flush(exporter, number) == 0 ? "flushed\n" : "timeout\n");
    } else if (strcmp(line, "stats\n") == 0) {
        stats_print(exporter);
    } else {
        print("unknown %s", line);
    }
}

static const char *environment(const char *name)
{
    return getenv(name);
}

int main(int argc, char **argv)
{
    struct export_opts opts = {
        .spans_max = 64, .span_bytes_max = 1 << 20, .getenv_fn = environment, .note = noted};
    struct exporter_ops ops = {acknowledged, say};
    struct export_settings *CLEANUP(export_settings_freep) settings = NULL;
    struct exporter *CLEANUP(exporter_freep) exporter = NULL;
    char error[300] = "", line[200];
    int r = export_settings_load(&opts, &settings, error, sizeof(error));

    if (r == 0 && argc == 6) {
        settings->retry.first_ms = (uint32_t)strtoul(argv[1], NULL, 10);
        settings->retry.most_ms = (uint32_t)strtoul(argv[2], NULL, 10);
        settings->retry.give_up_ms = (uint32_t)strtoul(argv[3], NULL, 10);
        settings->request_bytes_max = strtoul(argv[4], NULL, 10);
        settings->span_bytes_max = strtoul(argv[5], NULL, 10);
    }
    if (r == 0)
        r = exporter_new(settings, &ops, NULL, &exporter, error, sizeof(error));
    if (r != 0) {
        print("wrong %d %s\n", r, error);
        return 2;
    }
    print("ready\n");
    while (fgets(line, sizeof(line), stdin))
        obey(exporter, line);
    return 0;
}
