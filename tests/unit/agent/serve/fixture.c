#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

#define START_NS UINT64_C(1700000000000000000)

static const double bounds[] = {0.001, 0.01, 0.1, 1, 10};

static void add(struct snapshot_builder *builder, enum metric_id metric,
                const struct attribute *items, size_t count, struct metric_point point)
{
    CLEANUP(attributes_unrefp) const struct attributes *attributes = attributes_new(items, count);

    assert_non_null(attributes);
    point.attributes = attributes;
    snapshot_builder_point(builder, metric, &point);
}

static void resource(struct snapshot_builder *builder, const struct attribute *items, size_t count,
                     bool is_agent)
{
    CLEANUP(attributes_unrefp) const struct attributes *attributes = attributes_new(items, count);

    assert_non_null(attributes);
    snapshot_builder_resource(builder, attributes, is_agent);
}

/* 2 in (2^-9, 2^-8.5], none, 1 in the third: scale 1 has sqrt(2) between its buckets. */
static const struct histogram_point *histogram(struct snapshot_builder *builder, uint64_t calls)
{
    struct histogram_point *point = snapshot_builder_alloc(builder, sizeof(*point));
    uint64_t *classic = snapshot_builder_alloc(builder, 6 * sizeof(*classic));
    uint64_t *exponential = snapshot_builder_alloc(builder, 4 * sizeof(*exponential));

    assert_true(point && classic && exponential);
    memcpy(classic, (uint64_t[]){0, calls, 0, 0, 0, 1}, 6 * sizeof(*classic));
    memcpy(exponential, (uint64_t[]){calls, 0, 0, 1}, 4 * sizeof(*exponential));
    *point = (struct histogram_point){.count = calls + 1,
                                      .sum = 0.25 * (double)calls,
                                      .bounds = bounds,
                                      .bound_count = 5,
                                      .bucket_counts = classic,
                                      .scale = 1,
                                      .offset = -18,
                                      .exponential_count = 4,
                                      .exponential_counts = exponential};
    return point;
}

static struct exemplar_point *exemplar(struct snapshot_builder *builder)
{
    struct exemplar_point *point = snapshot_builder_alloc(builder, sizeof(*point));

    assert_non_null(point);
    *point = (struct exemplar_point){.time_unix_ns = START_NS + 1500000000, .value = 0.002};
    memset(point->trace_id, 0xab, sizeof(point->trace_id));
    memset(point->span_id, 0xcd, sizeof(point->span_id));
    return point;
}

static void shop_add(struct snapshot_builder *builder, uint64_t calls)
{
    const struct attribute statement[] = {
        attribute_string("db.system.name", VIEW_LITERAL("postgresql")),
        attribute_string("weir.statement.fingerprint", VIEW_LITERAL("00000000000000ff")),
        attribute_string("db.query.summary", VIEW_LITERAL("SELECT \"odd\\table\"\n")),
    };
    const struct attribute failed[] = {
        attribute_string("error.type", VIEW_LITERAL("40001")),
        attribute_string("bad\xff.utf8", VIEW_LITERAL("a\xc3(\xed\xa0\x80z")),
    };
    const struct attribute used[] = {
        attribute_string("db.client.connection.pool.name", VIEW_LITERAL("main")),
        attribute_string("db.client.connection.state", VIEW_LITERAL("used")),
    };

    add(builder, METRIC_OPERATION_DURATION, statement, 3,
        (struct metric_point){.start_unix_ns = START_NS,
                              .value.histogram = histogram(builder, calls),
                              .exemplars = exemplar(builder),
                              .exemplar_count = 1});
    add(builder, METRIC_OPERATION_DURATION, failed, 2,
        (struct metric_point){.start_unix_ns = START_NS, .value.histogram = histogram(builder, 2)});
    add(builder, METRIC_CONNECTION_COUNT, used, 2, (struct metric_point){.value.integer = 3});
    add(builder, METRIC_CONNECTION_TIMEOUTS, used, 1,
        (struct metric_point){.start_unix_ns = START_NS, .value.integer = INT64_C(1) << 53});
    add(builder, METRIC_POOL_CONNECTION_TIME, used, 2,
        (struct metric_point){.start_unix_ns = START_NS, .value.number = 0.1});
}

const struct snapshot *fixture_snapshot_of(uint64_t calls)
{
    const struct attribute shop[] = {
        attribute_string("service.namespace", VIEW_LITERAL("retail")),
        attribute_string("service.name", VIEW_LITERAL("shop")),
        attribute_string("service.instance.id", VIEW_LITERAL("shop-1")),
        attribute_string("k8s.namespace.name", VIEW_LITERAL("prod")),
        attribute_string("k8s.pod.name", VIEW_LITERAL("shop-abc")),
        attribute_string("service.version", VIEW_LITERAL("1.2")),
        attribute_int("host.cpus", 4),
    };
    const struct attribute billing[] = {
        attribute_string("service.name", VIEW_LITERAL("billing")),
        attribute_string("service.instance.id", VIEW_LITERAL("billing-1")),
    };
    const struct attribute agent[] = {
        attribute_string("service.name", VIEW_LITERAL("weir-agent")),
        attribute_string("service.instance.id", VIEW_LITERAL("agent-1")),
    };
    /* Two keys that become one label, and one that every series has already. */
    const struct attribute colliding[] = {
        attribute_string("a.b", VIEW_LITERAL("one")),
        attribute_string("a_b", VIEW_LITERAL("two")),
        attribute_string("job", VIEW_LITERAL("mine")),
        attribute_string("le", VIEW_LITERAL("x")),
        attribute_bool("9lives", true),
    };
    struct snapshot_builder *builder = snapshot_builder_new();

    assert_non_null(builder);
    resource(builder, shop, 7, false);
    shop_add(builder, calls);
    resource(builder, billing, 2, false);
    add(builder, METRIC_CONNECTION_COUNT, colliding, 5, (struct metric_point){.value.integer = -1});
    resource(builder, agent, 2, true);
    add(builder, METRIC_AGENT_UPTIME, NULL, 0, (struct metric_point){.value.number = 12.5});
    const struct snapshot *snapshot =
        snapshot_builder_finish(builder, START_NS + 2000000000, calls);
    assert_non_null(snapshot);
    return snapshot;
}

const struct snapshot *fixture_snapshot(void)
{
    return fixture_snapshot_of(2);
}
