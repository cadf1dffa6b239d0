/* Snapshots: resources merged, metrics in catalog order, references given back on any thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/model/snapshot.h"

static const struct attributes *named(const char *name)
{
    const struct attribute item = attribute_string("name", view_from(name));
    const struct attributes *set = attributes_new(&item, 1);

    assert_non_null(set);
    return set;
}

static void point(struct snapshot_builder *builder, enum metric_id metric, const char *name,
                  int64_t value)
{
    const struct attributes *CLEANUP(attributes_unrefp) attributes = named(name);

    snapshot_builder_point(builder, metric,
                           &(struct metric_point){.attributes = attributes,
                                                  .start_unix_ns = 7,
                                                  .value.integer = value});
}

/* Equal resources, each given as a set of its own. */
static void resource(struct snapshot_builder *builder, const char *name, bool is_agent)
{
    const struct attributes *CLEANUP(attributes_unrefp) attributes = named(name);

    snapshot_builder_resource(builder, attributes, is_agent);
}

static void resources_are_merged_and_metrics_ordered(void **state)
{
    struct snapshot_builder *builder = snapshot_builder_new();
    (void)state;

    resource(builder, "shop", false);
    point(builder, METRIC_LEDGER_RECORDED, "x", 1);
    point(builder, METRIC_CONNECTION_COUNT, "a", 2);
    resource(builder, "agent", true);
    point(builder, METRIC_AGENT_UPTIME, "", 3);
    resource(builder, "shop", false); /* goes on */
    point(builder, METRIC_CONNECTION_COUNT, "b", 4);
    point(builder, METRIC_CONNECTION_TIMEOUTS, "a", 5);
    resource(builder, "silent", false);
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot =
        snapshot_builder_finish(builder, 100, 8);

    assert_non_null(snapshot);
    assert_int_equal(snapshot->time_unix_ns, 100);
    assert_int_equal(snapshot->generation, 8);
    assert_int_equal(snapshot->resource_count, 3);
    const struct resource_metrics *shop = &snapshot->resources[0];
    assert_false(shop->is_agent);
    assert_true(view_equal(shop->resource->items[0].value.string, VIEW_LITERAL("shop")));
    assert_int_equal(shop->metric_count, 3);
    assert_int_equal(shop->metrics[0].metric, METRIC_CONNECTION_COUNT);
    assert_int_equal(shop->metrics[1].metric, METRIC_CONNECTION_TIMEOUTS);
    assert_int_equal(shop->metrics[2].metric, METRIC_LEDGER_RECORDED);
    assert_int_equal(shop->metrics[0].point_count, 2);
    assert_int_equal(shop->metrics[0].points[0].value.integer, 2);
    assert_int_equal(shop->metrics[0].points[1].value.integer, 4);
    assert_int_equal(shop->metrics[0].points[1].start_unix_ns, 7);
    assert_true(snapshot->resources[1].is_agent);
    assert_int_equal(snapshot->resources[2].metric_count, 0);
}

static void an_empty_one_is_one(void **state)
{
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot =
        snapshot_builder_finish(snapshot_builder_new(), 1, 2);
    (void)state;

    assert_non_null(snapshot);
    assert_int_equal(snapshot->resource_count, 0);
    assert_null(snapshot_ref(NULL));
    assert_null(snapshot_unref(NULL));
}

static void points_without_resource_are_left_out(void **state)
{
    struct snapshot_builder *builder = snapshot_builder_new();
    (void)state;

    point(builder, METRIC_CONNECTION_COUNT, "a", 1);
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot =
        snapshot_builder_finish(builder, 1, 1);
    assert_int_equal(snapshot->resource_count, 0);
}

/* Pieces of all sizes, aligned for anything, none over another. */
static void pieces_do_not_overlap(void **state)
{
    enum { COUNT = 2000 };
    struct snapshot_builder *builder = snapshot_builder_new();
    unsigned char *pieces[COUNT];
    size_t sizes[COUNT];
    unsigned seed = 3;
    (void)state;

    for (size_t i = 0; i < COUNT; i++) {
        sizes[i] = i % 100 == 0 ? 100000 : (size_t)rand_r(&seed) % 300;
        pieces[i] = snapshot_builder_alloc(builder, sizes[i]);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)(i & 0xff), sizes[i]);
    }
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t k = 0; k < sizes[i]; k++) {
            if (pieces[i][k] != (i & 0xff))
                fail();
        }
    }
    const struct snapshot *snapshot = snapshot_builder_finish(builder, 1, 1);
    assert_non_null(snapshot);
    assert_null(snapshot_unref(snapshot));
}

static void many_points_and_resources(void **state)
{
    struct snapshot_builder *builder = snapshot_builder_new();
    (void)state;

    for (int r = 0; r < 100; r++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "service-%d", r);
        resource(builder, name, false);
        for (int p = 0; p < 100; p++)
            point(builder, METRIC_CONNECTION_COUNT, "a", r * 100 + p);
    }
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot =
        snapshot_builder_finish(builder, 1, 1);
    assert_int_equal(snapshot->resource_count, 100);
    for (uint32_t r = 0; r < 100; r++) {
        assert_int_equal(snapshot->resources[r].metrics[0].point_count, 100);
        for (uint32_t p = 0; p < 100; p++)
            assert_int_equal(snapshot->resources[r].metrics[0].points[p].value.integer,
                             r * 100 + p);
    }
}

static void *read_and_unref(void *userdata)
{
    const struct snapshot *snapshot = userdata;
    const struct metric_points *metric = &snapshot->resources[0].metrics[0];
    int64_t sum = 0;

    for (uint32_t p = 0; p < metric->point_count; p++)
        sum += metric->points[p].value.integer + (int64_t)metric->points[p].attributes->count;
    snapshot_unref(snapshot);
    return (void *)(intptr_t)sum;
}

/* Made here, read and given back there, while the sets in it are also used here. */
static void references_go_on_any_thread(void **state)
{
    const struct attributes *CLEANUP(attributes_unrefp) shared = named("shared");
    (void)state;

    for (int round = 0; round < 50; round++) {
        struct snapshot_builder *builder = snapshot_builder_new();
        pthread_t threads[3];
        resource(builder, "shop", false);
        for (int p = 0; p < 10; p++)
            snapshot_builder_point(
                builder, METRIC_CONNECTION_COUNT,
                &(struct metric_point){.attributes = shared, .value.integer = 1});
        const struct snapshot *snapshot = snapshot_builder_finish(builder, 1, 1);
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, read_and_unref,
                                            (void *)(uintptr_t)snapshot_ref(snapshot)),
                             0);
        snapshot_unref(snapshot);
        attributes_unref(attributes_ref(shared));
        for (size_t i = 0; i < 3; i++) {
            void *sum;
            assert_int_equal(pthread_join(threads[i], &sum), 0);
            assert_int_equal((intptr_t)sum, 20);
        }
    }
    assert_true(view_equal(shared->items[0].value.string, VIEW_LITERAL("shared")));
}

static void the_catalog_is_complete(void **state)
{
    (void)state;
    for (size_t id = 0; id < METRIC_ID_END; id++) {
        assert_non_null(metric_catalog[id].name);
        assert_non_null(metric_catalog[id].unit);
        assert_true(strlen(metric_catalog[id].description) > 0);
        for (size_t other = 0; other < id; other++)
            assert_string_not_equal(metric_catalog[id].name, metric_catalog[other].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resources_are_merged_and_metrics_ordered),
        cmocka_unit_test(an_empty_one_is_one),
        cmocka_unit_test(points_without_resource_are_left_out),
        cmocka_unit_test(pieces_do_not_overlap),
        cmocka_unit_test(many_points_and_resources),
        cmocka_unit_test(references_go_on_any_thread),
        cmocka_unit_test(the_catalog_is_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
