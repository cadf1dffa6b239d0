/* Places of services: who shares, and who gives his back. */
#include "world.h"

static bool is_shown(const struct snapshot *snapshot, const struct process *process)
{
    const struct resource_metrics *resource = resource_in(snapshot, process->resource);

    return resource && metric_in(resource, METRIC_OPERATION_DURATION);
}

static bool is_shown_now(struct world *world, const struct process *process)
{
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = world_commit(world);

    return is_shown(snapshot, process);
}

static void call(struct world *world, const struct process *process)
{
    struct call one = {.target = target_add(world, "pool\nshop\ndb\n"),
                       .fingerprint = 7,
                       .duration_ns = 1000,
                       .rows = ROWS_UNKNOWN};

    call_observe(world, process, &one);
}

static uint64_t calls_listed;

static void add_calls(void *userdata, const struct statement_row *row)
{
    (void)userdata;
    calls_listed += row->calls;
}

static void idle_services_give_their_places(void **state)
{
    struct process *CLEANUP(process_freep) a = process_of("a", 1);
    struct process *CLEANUP(process_freep) b = process_of("b", 2);
    struct process *CLEANUP(process_freep) late = process_of("late", 3);
    struct world world;
    (void)state;

    world_init(&world, &(struct aggregate_opts){.services_max = 2});
    call(&world, a);
    call(&world, b);
    call(&world, late);
    assert_true(is_shown_now(&world, a));
    assert_false(is_shown_now(&world, late)); /* counted under `other` */

    world_tick(&world, 20 * MINUTE);
    call(&world, b);
    world_tick(&world, 11 * MINUTE); /* a is idle for 31 minutes, b for 11 */
    call(&world, late);
    assert_false(is_shown_now(&world, a));
    assert_true(is_shown_now(&world, b));
    assert_true(is_shown_now(&world, late));

    /* What a counted is in the row `other`, and not on disk any more. */
    calls_listed = 0;
    aggregate_statements(world.aggregate, add_calls, NULL);
    assert_int_equal(calls_listed, 5);
    world_restart(&world);
    assert_false(is_shown_now(&world, a));
    assert_true(is_shown_now(&world, b));
    assert_true(is_shown_now(&world, late));
    calls_listed = 0;
    aggregate_statements(world.aggregate, add_calls, NULL);
    assert_int_equal(calls_listed, 5);

    /* Who comes back begins anew. */
    world_tick(&world, 32 * MINUTE);
    call(&world, a);
    assert_true(is_shown_now(&world, a));
    world_deinit(&world);
}

static void living_processes_keep_theirs(void **state)
{
    struct process *CLEANUP(process_freep) a = process_of("a", 1);
    struct process *CLEANUP(process_freep) late = process_of("late", 3);
    struct live_pool pool = {.process = a, .idle = 1};
    struct live_board board = {.process = a, .pools = &pool, .pool_count = 1};
    struct world world;
    (void)state;

    world_init(&world, &(struct aggregate_opts){.services_max = 1});
    call(&world, a);
    pool.target = target_add(&world, "pool\nshop\ndb\n");
    aggregate_look(world.aggregate, &board, world.now_ns);
    world_tick(&world, 40 * MINUTE);
    call(&world, late);
    assert_true(is_shown_now(&world, a));
    assert_false(is_shown_now(&world, late));
    aggregate_process_ended(world.aggregate, a);
    world_tick(&world, 2 * MINUTE);
    call(&world, late);
    assert_false(is_shown_now(&world, a));
    assert_true(is_shown_now(&world, late));
    world_deinit(&world);
}

static void sets_wait_for_their_targets_name(void **state)
{
    struct process *CLEANUP(process_freep) a = process_of("a", 1);
    struct call one = {.target = 0, .fingerprint = 7, .duration_ns = 1000, .rows = ROWS_UNKNOWN};
    struct world world;
    (void)state;

    world_init(&world, &(struct aggregate_opts){.sets_max = 10});
    one.target = 12345; /* nobody said what that is */
    call_observe(&world, a, &one);
    one.target = 54321;
    call_observe(&world, a, &one);
    const struct snapshot *CLEANUP(snapshot_unrefp) before = world_commit(&world);
    const struct metric_points *points =
        metric_in(resource_in(before, a->resource), METRIC_OPERATION_DURATION);
    assert_int_equal(points->point_count, 1); /* the overflow series, with both */
    assert_int_equal(points->points[0].value.histogram->count, 2);

    one.target = target_add(&world, "pool\nshop\ndb\n");
    call_observe(&world, a, &one);
    const struct snapshot *CLEANUP(snapshot_unrefp) after = world_commit(&world);
    points = metric_in(resource_in(after, a->resource), METRIC_OPERATION_DURATION);
    assert_int_equal(points->point_count, 2);
    world_deinit(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_services_give_their_places),
        cmocka_unit_test(living_processes_keep_theirs),
        cmocka_unit_test(sets_wait_for_their_targets_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
