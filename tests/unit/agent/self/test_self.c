/* What the agent says of itself: a resource of its own, counts by outcome. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "agent/self/self.h"

#define SECOND UINT64_C(1000000000)

static const struct resource_metrics *own(const struct snapshot *snapshot)
{
    assert_int_equal(snapshot->resource_count, 1);
    assert_true(snapshot->resources[0].is_agent);
    return &snapshot->resources[0];
}

static const struct metric_points *metric(const struct snapshot *snapshot, enum metric_id id)
{
    const struct resource_metrics *resource = own(snapshot);

    for (uint32_t i = 0; i < resource->metric_count; i++) {
        if (resource->metrics[i].metric == id)
            return &resource->metrics[i];
    }
    return NULL;
}

static const struct metric_point *point(const struct snapshot *snapshot, enum metric_id id,
                                        const char *key, const char *value)
{
    const struct metric_points *points = metric(snapshot, id);

    for (uint32_t i = 0; points && i < points->point_count; i++) {
        const struct attribute *found =
            attributes_find(points->points[i].attributes, view_from(key));
        if (found && view_equal(found->value.string, view_from(value)))
            return &points->points[i];
    }
    return NULL;
}

static const struct snapshot *snapshot_of(struct self *self, uint64_t now_ns,
                                          const struct self_facts *facts)
{
    struct snapshot_builder *builder = snapshot_builder_new();

    self_points(self, now_ns, facts, builder);
    return snapshot_builder_finish(builder, now_ns, 1);
}

static struct view text(const struct attributes *set, const char *key)
{
    const struct attribute *found = attributes_find(set, view_from(key));

    assert_non_null(found);
    return found->value.string;
}

static void the_resource_is_the_agents(void **state)
{
    const struct attribute items[] = {attribute_string("k8s.pod.name", VIEW_LITERAL("pod")),
                                      attribute_string("service.name", VIEW_LITERAL("not me"))};
    const struct attributes *CLEANUP(attributes_unrefp) environment = attributes_new(items, 2);
    struct self *CLEANUP(self_freep) self = NULL, *CLEANUP(self_freep) other = NULL;
    struct self_facts facts = {.names = 1};
    (void)state;

    assert_int_equal(self_new(SECOND, environment, &self), 0);
    assert_int_equal(self_new(SECOND, NULL, &other), 0);
    const struct snapshot *CLEANUP(snapshot_unrefp) one = snapshot_of(self, 2 * SECOND, &facts);
    const struct snapshot *CLEANUP(snapshot_unrefp) two = snapshot_of(other, 2 * SECOND, &facts);
    const struct attributes *resource = own(one)->resource;
    assert_true(view_equal(text(resource, "service.name"), VIEW_LITERAL("weir-agent")));
    assert_true(view_equal(text(resource, "service.version"), VIEW_LITERAL(WEIR_VERSION)));
    assert_true(view_equal(text(resource, "k8s.pod.name"), VIEW_LITERAL("pod")));
    struct view id = text(resource, "service.instance.id");
    assert_int_equal(id.length, 36);
    assert_int_equal(id.bytes[14], '4');
    assert_non_null(memchr("89ab", id.bytes[19], 4));
    assert_false(view_equal(id, text(own(two)->resource, "service.instance.id")));
}

static void counts_are_by_outcome(void **state)
{
    struct self *CLEANUP(self_freep) self = NULL;
    struct self_facts facts = {.names = 10, .names_evicted = 2};
    (void)state;

    assert_int_equal(self_new(SECOND, NULL, &self), 0);
    self_counts_add(&facts.clients, "1.0", NULL, 3);
    self_counts_add(&facts.clients, "1.1", NULL, 4);
    self_counts_add(&facts.exports, "metrics", "ok", 5);
    self_counts_add(&facts.spans, "exported", NULL, 6);
    const struct snapshot *CLEANUP(snapshot_unrefp) before =
        snapshot_of(self, 3 * SECOND / 2, &facts);
    assert_null(metric(before, METRIC_AGENT_CHECKPOINT_DURATION)); /* there was none */
    self_checkpoint(self, true, SECOND / 1000);
    self_checkpoint(self, true, SECOND / 500);
    self_checkpoint(self, false, 100 * SECOND);
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot =
        snapshot_of(self, 3 * SECOND, &facts);
    assert_int_equal(
        point(snapshot, METRIC_AGENT_CLIENTS, "weir.shim.version", "1.1")->value.integer, 4);
    const struct metric_point *exports =
        point(snapshot, METRIC_AGENT_EXPORTS, "weir.agent.signal", "metrics");
    assert_int_equal(exports->value.integer, 5);
    assert_true(view_equal(text(exports->attributes, "weir.agent.outcome"), VIEW_LITERAL("ok")));
    assert_int_equal(exports->start_unix_ns, SECOND);
    assert_int_equal(
        point(snapshot, METRIC_AGENT_SPANS, "weir.agent.outcome", "exported")->value.integer, 6);
    assert_int_equal(
        point(snapshot, METRIC_AGENT_CHECKPOINTS, "weir.agent.outcome", "committed")->value.integer,
        2);
    assert_int_equal(
        point(snapshot, METRIC_AGENT_CHECKPOINTS, "weir.agent.outcome", "failed")->value.integer,
        1);
    const struct histogram_point *durations =
        metric(snapshot, METRIC_AGENT_CHECKPOINT_DURATION)->points[0].value.histogram;
    assert_int_equal(durations->count, 2); /* failures tell nothing of durations */
    assert_true(fabs(durations->sum - 0.003) < 1e-9);
    assert_int_equal(metric(snapshot, METRIC_AGENT_NAMES)->points[0].value.integer, 10);
    assert_int_equal(metric(snapshot, METRIC_AGENT_NAMES_EVICTED)->points[0].value.integer, 2);
    assert_null(metric(snapshot, METRIC_AGENT_CLIENTS_REFUSED));
    assert_true(metric(snapshot, METRIC_AGENT_UPTIME)->points[0].value.number == 2);
    assert_int_equal(metric(snapshot, METRIC_AGENT_UPTIME)->points[0].start_unix_ns, 0);
}

static void a_clock_set_back_gives_no_negative_uptime(void **state)
{
    struct self *CLEANUP(self_freep) self = NULL;
    struct self_facts facts = {.names = 0};
    (void)state;

    assert_int_equal(self_new(5 * SECOND, NULL, &self), 0);
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = snapshot_of(self, SECOND, &facts);
    assert_true(metric(snapshot, METRIC_AGENT_UPTIME)->points[0].value.number == 0);
}

static void counts_are_bounded(void **state)
{
    struct self_counts counts = {.count = 0};
    (void)state;

    for (int i = 0; i < 2 * SELF_COUNTS_MAX; i++)
        self_counts_add(&counts, "x", NULL, 1);
    assert_int_equal(counts.count, SELF_COUNTS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_resource_is_the_agents),
        cmocka_unit_test(counts_are_by_outcome),
        cmocka_unit_test(a_clock_set_back_gives_no_negative_uptime),
        cmocka_unit_test(counts_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
