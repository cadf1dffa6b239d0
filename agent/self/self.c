#include "agent/self/self.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "agent/aggregate/histogram.h"

enum { HISTOGRAM_BYTES_MAX = 64 << 10 };

struct self {
    const struct attributes *resource, *none;
    uint64_t start_ns;
    uint64_t committed, failed;
    struct histogram durations;
    struct exponential_budget budget;
};

/* A random UUID: this agent process, since its own counters begin with it. */
static int make_instance_id(char ret[37])
{
    uint8_t b[16];

    if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
        return -EIO;
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    (void)snprintf(ret, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                   b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
                   b[13], b[14], b[15]);
    return 0;
}

int self_new(uint64_t now_unix_ns, const struct attributes *environment, struct self **ret)
{
    struct self *CLEANUP(self_freep) self = calloc(1, sizeof(*self));
    struct attribute items[ATTRIBUTES_MAX];
    size_t count = 0;
    char instance[37];
    int r;

    if (!self)
        return -ENOMEM;
    r = make_instance_id(instance);
    if (r < 0)
        return r;
    for (size_t i = 0; environment && i < environment->count && i < ATTRIBUTES_MAX - 6; i++)
        items[count++] = environment->items[i];
    items[count++] = attribute_string("service.name", VIEW_LITERAL("weir-agent"));
    items[count++] = attribute_string("service.version", VIEW_LITERAL(WEIR_VERSION));
    items[count++] = attribute_string("service.instance.id", view_from(instance));
    items[count++] = attribute_string("telemetry.sdk.name", VIEW_LITERAL("weir"));
    items[count++] = attribute_string("telemetry.sdk.language", VIEW_LITERAL("c"));
    items[count++] = attribute_string("telemetry.sdk.version", VIEW_LITERAL(WEIR_VERSION));
    self->resource = attributes_new(items, count);
    self->none = attributes_new(NULL, 0);
    if (!self->resource || !self->none)
        return -ENOMEM;
    self->start_ns = now_unix_ns;
    self->budget.bytes_max = HISTOGRAM_BYTES_MAX;
    exponential_prepare();
    histogram_init(&self->durations, BOUNDS_SECONDS);
    *ret = STEAL(self);
    return 0;
}

struct self *self_free(struct self *self)
{
    if (!self)
        return NULL;
    histogram_deinit(&self->durations, &self->budget);
    attributes_unref(self->resource);
    attributes_unref(self->none);
    free(self);
    return NULL;
}

void self_checkpoint(struct self *self, bool is_committed, uint64_t duration_ns)
{
    self->committed += is_committed;
    self->failed += !is_committed;
    if (is_committed)
        (void)histogram_record(&self->durations, &self->budget,
                               (double)duration_ns / 1e9); /* one more or less tells nothing */
}

static void counts_points(const struct self *self, enum metric_id metric, const char *key,
                          const char *second_key, const struct self_counts *counts,
                          struct snapshot_builder *builder)
{
    for (uint32_t i = 0; i < counts->count; i++) {
        struct attribute items[2];
        size_t count = 0;
        items[count++] = attribute_string(key, view_from(counts->items[i].value));
        if (second_key)
            items[count++] = attribute_string(second_key, view_from(counts->items[i].second));
        const struct attributes *CLEANUP(attributes_unrefp) attributes =
            attributes_new(items, count);
        if (attributes)
            snapshot_builder_point(
                builder, metric,
                &(struct metric_point){.attributes = attributes,
                                       .start_unix_ns = self->start_ns,
                                       .value.integer = (int64_t)counts->items[i].count});
    }
}

static void plain_point(const struct self *self, enum metric_id metric, uint64_t count,
                        struct snapshot_builder *builder)
{
    snapshot_builder_point(builder, metric,
                           &(struct metric_point){.attributes = self->none,
                                                  .start_unix_ns = self->start_ns,
                                                  .value.integer = (int64_t)count});
}

void self_points(struct self *self, uint64_t now_unix_ns, const struct self_facts *facts,
                 struct snapshot_builder *builder)
{
    struct metric_point point = {.attributes = self->none, .start_unix_ns = self->start_ns};
    struct self_counts checkpoints = {.count = 0};
    uint64_t up_ns = now_unix_ns > self->start_ns ? now_unix_ns - self->start_ns : 0;

    snapshot_builder_resource(builder, self->resource, true);
    counts_points(self, METRIC_AGENT_CLIENTS, "weir.shim.version", NULL, &facts->clients, builder);
    counts_points(self, METRIC_AGENT_CLIENTS_REFUSED, "weir.agent.reason", NULL,
                  &facts->clients_refused, builder);
    counts_points(self, METRIC_AGENT_RECORDS_BAD, "weir.agent.reason", NULL, &facts->records_bad,
                  builder);
    plain_point(self, METRIC_AGENT_NAMES, facts->names, builder);
    plain_point(self, METRIC_AGENT_NAMES_EVICTED, facts->names_evicted, builder);
    self_counts_add(&checkpoints, "committed", NULL, self->committed);
    self_counts_add(&checkpoints, "failed", NULL, self->failed);
    counts_points(self, METRIC_AGENT_CHECKPOINTS, "weir.agent.outcome", NULL, &checkpoints,
                  builder);
    if (self->durations.count) {
        point.value.histogram = histogram_point(&self->durations, builder);
        if (point.value.histogram)
            snapshot_builder_point(builder, METRIC_AGENT_CHECKPOINT_DURATION, &point);
    }
    counts_points(self, METRIC_AGENT_EXPORTS, "weir.agent.signal", "weir.agent.outcome",
                  &facts->exports, builder);
    counts_points(self, METRIC_AGENT_SPANS, "weir.agent.outcome", NULL, &facts->spans, builder);
    point.start_unix_ns = 0;
    point.value.number = (double)up_ns / 1e9;
    snapshot_builder_point(builder, METRIC_AGENT_UPTIME, &point);
}
