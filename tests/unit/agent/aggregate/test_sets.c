/* Statement sets: who has a place, what ends, what overflows, and what a restart gives back. */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

#define KEY_FINGERPRINT "weir.statement.fingerprint"

static struct world world;
static struct process *shop, *till;

static int setup(void **state)
{
    (void)state;
    world_init(&world, &(struct aggregate_opts){.sets_per_service_max = 3, .sets_max = 4});
    shop = process_of("shop", 1);
    till = process_of("till", 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    shop = process_free(shop);
    till = process_free(till);
    world_deinit(&world);
    return 0;
}

static void call(const struct process *process, uint64_t fingerprint, uint64_t duration_ns)
{
    call_observe(&world, process,
                 &(struct call){.fingerprint = fingerprint, .duration_ns = duration_ns, .rows = 1});
}

static const struct metric_points *durations(const struct snapshot *snapshot,
                                             const struct process *process)
{
    return metric_in(resource_in(snapshot, process->resource), METRIC_OPERATION_DURATION);
}

static const char *hex(uint64_t fingerprint)
{
    static char text[17];

    (void)snprintf(text, sizeof(text), "%016llx", (unsigned long long)fingerprint);
    return text;
}

static const struct metric_point *series(const struct snapshot *snapshot,
                                         const struct process *process, uint64_t fingerprint)
{
    return point_in(durations(snapshot, process), KEY_FINGERPRINT, hex(fingerprint));
}

static uint64_t count_of(const struct snapshot *snapshot, const struct process *process,
                         uint64_t fingerprint)
{
    const struct metric_point *point = series(snapshot, process, fingerprint);

    return point ? point->value.histogram->count : 0;
}

static uint64_t overflow_of(const struct snapshot *snapshot, const struct process *process)
{
    const struct metric_point *point =
        point_in(durations(snapshot, process), KEY_FINGERPRINT, NULL);

    assert_true(!point || is_overflow(point));
    return point ? point->value.histogram->count : 0;
}

static void admission_is_at_the_first_call(void **state)
{
    (void)state;
    call(shop, 1, SECOND);
    call(shop, 2, SECOND / 2);
    call(shop, 1, SECOND);
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = world_commit(&world);
    assert_int_equal(count_of(snapshot, shop, 1), 2);
    assert_int_equal(count_of(snapshot, shop, 2), 1);
    assert_true(series(snapshot, shop, 1)->value.histogram->sum == 2);
    assert_int_equal(series(snapshot, shop, 1)->start_unix_ns, world.now_ns);
    assert_int_equal(overflow_of(snapshot, shop), 0);
    assert_int_equal(aggregate_stats(world.aggregate).sets, 2);
}

static void limits_are_by_service_and_in_all(void **state)
{
    (void)state;
    for (uint64_t fingerprint = 1; fingerprint <= 5; fingerprint++)
        call(shop, fingerprint, SECOND);
    for (uint64_t fingerprint = 1; fingerprint <= 3; fingerprint++)
        call(till, fingerprint, SECOND);
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = world_commit(&world);
    for (uint64_t fingerprint = 1; fingerprint <= 5; fingerprint++)
        assert_int_equal(count_of(snapshot, shop, fingerprint), fingerprint <= 3);
    assert_int_equal(overflow_of(snapshot, shop), 2);
    assert_int_equal(count_of(snapshot, till, 1), 1); /* the fourth of all */
    assert_int_equal(count_of(snapshot, till, 2), 0);
    assert_int_equal(overflow_of(snapshot, till), 2);
    assert_int_equal(aggregate_stats(world.aggregate).sets, 4);
    assert_int_equal(aggregate_stats(world.aggregate).overflow_calls, 4);
    /* What it costs is shown. */
    const struct resource_metrics *metrics = resource_in(snapshot, shop->resource);
    assert_int_equal(metric_in(metrics, METRIC_AGENT_SERIES)->points[0].value.integer, 3);
    assert_int_equal(metric_in(metrics, METRIC_AGENT_SERIES_REFUSED)->points[0].value.integer, 2);
    assert_int_equal(point_in(metric_in(metrics, METRIC_RETURNED_ROWS), KEY_FINGERPRINT, NULL)
                         ->value.histogram->count,
                     2);
}

/* Fills the three places of the shop with one second each. */
static void fill(void)
{
    for (uint64_t fingerprint = 1; fingerprint <= 3; fingerprint++)
        call(shop, fingerprint, SECOND);
}

static void twice_the_time_is_not_enough(void **state)
{
    (void)state;
    fill();
    call(shop, 9, 2 * SECOND);
    world_tick(&world, MINUTE);
    assert_int_equal(aggregate_stats(world.aggregate).displaced_sets, 0);
    call(shop, 9, 1);
    world_tick(&world, MINUTE);
    assert_int_equal(aggregate_stats(world.aggregate).displaced_sets, 1);
}

static void displacement_waits_for_the_minute(void **state)
{
    (void)state;
    world_tick(&world, MINUTE);
    fill();
    call(shop, 9, 5 * SECOND);
    world_tick(&world, 59 * SECOND);
    assert_int_equal(aggregate_stats(world.aggregate).displaced_sets, 0);
    world_tick(&world, SECOND);
    assert_int_equal(aggregate_stats(world.aggregate).displaced_sets, 1);
}

static void a_displaced_series_ends_and_the_new_one_starts_at_zero(void **state)
{
    uint64_t admitted_ns;
    (void)state;

    call(shop, 1, SECOND / 2);
    call(shop, 2, SECOND);
    call(shop, 3, SECOND);
    for (int i = 0; i < 7; i++)
        call(shop, 9, SECOND);
    const struct snapshot *CLEANUP(snapshot_unrefp) before = world_commit(&world);
    assert_int_equal(overflow_of(before, shop), 7);
    assert_int_equal(store_count(&world.store, ROWS_SERIES), 3);
    world_tick(&world, MINUTE);
    admitted_ns = world.now_ns;
    const struct snapshot *CLEANUP(snapshot_unrefp) between = world_commit(&world);
    assert_null(series(between, shop, 1)); /* the weakest */
    assert_null(series(between, shop, 9)); /* no call yet */
    assert_int_equal(store_count(&world.store, ROWS_SERIES), 2);
    world.now_ns += SECOND;
    call(shop, 9, SECOND);
    call(shop, 1, SECOND); /* has no place any more */
    const struct snapshot *CLEANUP(snapshot_unrefp) after = world_commit(&world);
    assert_int_equal(count_of(after, shop, 9), 1); /* nothing counted moved */
    assert_int_equal(series(after, shop, 9)->start_unix_ns, admitted_ns);
    assert_int_equal(overflow_of(after, shop), 8);
    assert_int_equal(point_in(durations(after, shop), KEY_FINGERPRINT, NULL)->start_unix_ns,
                     series(after, shop, 2)->start_unix_ns);
    /* Coming back, it is another series with a start of its own. */
    world_tick(&world, MINUTE);
    for (int i = 0; i < 30; i++)
        call(shop, 1, SECOND);
    world_tick(&world, MINUTE);
    call(shop, 1, SECOND);
    const struct snapshot *CLEANUP(snapshot_unrefp) last = world_commit(&world);
    assert_int_equal(count_of(last, shop, 1), 1);
    assert_true(series(last, shop, 1)->start_unix_ns > admitted_ns);
}

static void old_time_does_not_count(void **state)
{
    (void)state;
    for (uint64_t fingerprint = 1; fingerprint <= 3; fingerprint++)
        call(shop, fingerprint, 100 * SECOND);
    for (int minute = 0; minute < 9; minute++) {
        world_tick(&world, MINUTE);
        call(shop, 9, SECOND);
    }
    assert_int_equal(aggregate_stats(world.aggregate).displaced_sets, 0);
    world_tick(&world, MINUTE); /* the hundred seconds have left the window of ten minutes */
    assert_int_equal(aggregate_stats(world.aggregate).displaced_sets, 1);
}

static void an_idle_one_gives_its_place(void **state)
{
    (void)state;
    fill();
    for (int minute = 0; minute < 29; minute++)
        world_tick(&world, MINUTE);
    for (uint64_t fingerprint = 1; fingerprint <= 3; fingerprint++)
        call(shop, fingerprint, fingerprint == 2 ? 0 : 10 * SECOND);
    call(shop, 9, 1);
    world_tick(&world, MINUTE); /* the second was used a minute ago, without time: displaced */
    assert_int_equal(aggregate_stats(world.aggregate).displaced_sets, 1);
    for (int minute = 0; minute < 30; minute++) {
        world_tick(&world, MINUTE);
        call(shop, 1, SECOND);
        call(shop, 3, SECOND);
    }
    call(shop, 8, 1);
    world_tick(&world, MINUTE);
    assert_int_equal(aggregate_stats(world.aggregate).expired_sets, 1);
    call(shop, 8, 1);
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = world_commit(&world);
    assert_int_equal(count_of(snapshot, shop, 8), 1);
    assert_int_equal(count_of(snapshot, shop, 9), 0);
}

static void idle_places_stay_while_nobody_wants_them(void **state)
{
    (void)state;
    fill();
    for (int minute = 0; minute < 100; minute++)
        world_tick(&world, MINUTE);
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = world_commit(&world);
    assert_int_equal(count_of(snapshot, shop, 1), 1);
    assert_int_equal(aggregate_stats(world.aggregate).expired_sets, 0);
}

/* The wall clock is set back: nobody has been idle for that. */
static void a_clock_set_back_displaces_nobody(void **state)
{
    (void)state;
    fill();
    call(shop, 9, SECOND);
    world.now_ns -= 5 * MINUTE;
    for (int minute = 0; minute < 10; minute++)
        world_tick(&world, minute ? MINUTE : 0);
    assert_int_equal(aggregate_stats(world.aggregate).expired_sets, 0);
    assert_int_equal(aggregate_stats(world.aggregate).displaced_sets, 0);
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = world_commit(&world);
    for (uint64_t fingerprint = 1; fingerprint <= 3; fingerprint++)
        assert_int_equal(count_of(snapshot, shop, fingerprint), 1);
}

static void services_past_the_limit_share_one(void **state)
{
    struct world narrow;
    struct process *processes[4];
    (void)state;

    world_init(&narrow, &(struct aggregate_opts){.services_max = 2});
    for (uint32_t i = 0; i < 4; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "service-%u", i);
        processes[i] = process_of(name, i);
        call_observe(&narrow, processes[i], &(struct call){.fingerprint = 1, .duration_ns = 1});
    }
    for (int round = 0; round < 2; round++) {
        const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = world_commit(&narrow);
        assert_int_equal(snapshot->resource_count, 3);
        const struct resource_metrics *other = &snapshot->resources[0];
        for (uint32_t i = 1; i < 3; i++) { /* after a restart in another order */
            if (attributes_find(snapshot->resources[i].resource,
                                VIEW_LITERAL("otel.metric.overflow")))
                other = &snapshot->resources[i];
        }
        assert_non_null(attributes_find(other->resource, VIEW_LITERAL("otel.metric.overflow")));
        assert_int_equal(
            metric_in(other, METRIC_OPERATION_DURATION)->points[0].value.histogram->count, 2);
        world_restart(&narrow);
    }
    call_observe(&narrow, processes[3], &(struct call){.fingerprint = 1, .duration_ns = 1});
    assert_int_equal(aggregate_stats(narrow.aggregate).services, 3);
    for (uint32_t i = 0; i < 4; i++)
        process_free(processes[i]);
    world_deinit(&narrow);
}

/* ---- attributes ------------------------------------------------------------------------------ */

static const struct attributes *only_attributes(const struct snapshot *snapshot)
{
    const struct metric_points *points = durations(snapshot, shop);

    assert_int_equal(points->point_count, 1);
    return points->points[0].attributes;
}

static bool has(const struct attributes *attributes, const char *key, const char *value)
{
    const struct attribute *found = attributes_find(attributes, view_from(key));

    if (!value)
        return found == NULL;
    return found && found->type == ATTRIBUTE_STRING &&
           view_equal(found->value.string, view_from(value));
}

static void series_say_where_and_what(void **state)
{
    uint64_t target = target_add(&world, "main\nshopdb\ndb.example\n6432");
    (void)state;

    assert_int_equal(
        names_add(world.names, NAME_STATEMENT, 0xabc, 0, VIEW_LITERAL("SELECT * FROM orders")), 0);
    call_observe(&world, shop,
                 &(struct call){.target = target, .fingerprint = 0xabc, .duration_ns = 1});
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = world_commit(&world);
    const struct attributes *attributes = only_attributes(snapshot);
    assert_true(has(attributes, "db.system.name", "postgresql"));
    assert_true(has(attributes, KEY_FINGERPRINT, "0000000000000abc"));
    assert_true(has(attributes, "db.query.summary", "SELECT"));
    assert_true(has(attributes, "db.namespace", "shopdb"));
    assert_true(has(attributes, "server.address", "db.example"));
    assert_int_equal(attributes_find(attributes, VIEW_LITERAL("server.port"))->value.integer, 6432);
    assert_true(has(attributes, "db.client.connection.pool.name", "main"));
    assert_true(has(attributes, "error.type", NULL));
    assert_true(has(attributes, "db.response.status_code", NULL));
    const struct metric_point *info =
        point_in(metric_in(resource_in(snapshot, shop->resource), METRIC_STATEMENT_INFO),
                 KEY_FINGERPRINT, "0000000000000abc");
    assert_true(has(info->attributes, "db.query.text", "SELECT * FROM orders"));
    assert_int_equal(info->value.integer, 1);
}

/* The port ends where its text ends, whatever memory comes behind it. */
static void ports_end_with_their_text(void **state)
{
    (void)state;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_int_equal(mallopt(M_PERTURB, 0xff ^ '1'), 1); /* memory comes full of ones */
#endif
    for (int i = 0; i < 3; i++) {
        char text[3000];
        memset(text, 'p', 2000); /* longer than what malloc keeps at hand, untouched */
        (void)snprintf(text + 2000, 1000, "%.*smain\nd\ndb\n643", i * 3, "padding");
        call_observe(
            &world, shop,
            &(struct call){.target = target_add(&world, text), .fingerprint = 1, .duration_ns = 1});
    }
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = world_commit(&world);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_int_equal(mallopt(M_PERTURB, 0), 1);
#endif
    const struct metric_points *points = durations(snapshot, shop);
    assert_int_equal(points->point_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        const struct attribute *port =
            attributes_find(points->points[i].attributes, VIEW_LITERAL("server.port"));
        assert_int_equal(port->value.integer, 643);
    }
}

static void the_usual_port_and_unknown_parts_are_left_out(void **state)
{
    (void)state;
    call_observe(&world, shop,
                 &(struct call){.target = target_add(&world, "\n\ndb.example\n5432"),
                                .fingerprint = 1,
                                .duration_ns = 1});
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = world_commit(&world);
    const struct attributes *attributes = only_attributes(snapshot);
    assert_true(has(attributes, "server.address", "db.example"));
    assert_true(has(attributes, "server.port", NULL));
    assert_true(has(attributes, "db.namespace", NULL));
    assert_true(has(attributes, "db.client.connection.pool.name", NULL));
}

static void outcomes_are_series_of_their_own(void **state)
{
    static const struct {
        uint8_t failure;
        char sqlstate[6];
        const char *status_code, *error_type; /* NULL: none */
    } outcomes[] = {
        {FAILURE_NONE, "", NULL, NULL},
        {FAILURE_NONE, "01000", "01000", NULL}, /* a warning */
        {FAILURE_SQLSTATE, "23505", "23505", "23505"},
        {FAILURE_SQLSTATE, "57014", "57014", "57014"},
        {FAILURE_SQLSTATE, "00000", "00000", NULL},
        {FAILURE_SQLSTATE, "01004", "01004", NULL},
        {FAILURE_SQLSTATE, "02000", "02000", "02000"},
        {FAILURE_CONNECTION_LOST, "", NULL, "connection_lost"},
        {FAILURE_TIMEOUT, "", NULL, "timeout"},
        {FAILURE_CANCELLED, "57014", "57014", "57014"},
        {200, "", NULL, "_OTHER"},
    };
    enum { COUNT = sizeof(outcomes) / sizeof(outcomes[0]) };
    struct world wide;
    (void)state;

    world_init(&wide, &(struct aggregate_opts){.sets_max = 200});
    for (size_t i = 0; i < COUNT; i++) {
        struct call one = {.fingerprint = i + 1, .duration_ns = 1, .failure = outcomes[i].failure};
        memcpy(one.sqlstate, outcomes[i].sqlstate, 6);
        call_observe(&wide, shop, &one);
        one.fingerprint = 100; /* all of them of one statement */
        call_observe(&wide, shop, &one);
    }
    /* Success with 00000 is success. */
    call_observe(&wide, shop,
                 &(struct call){.fingerprint = 1, .duration_ns = 1, .sqlstate = "00000"});
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = world_commit(&wide);
    assert_int_equal(count_of(snapshot, shop, 1), 2);
    for (size_t i = 0; i < COUNT; i++) {
        const struct attributes *attributes = series(snapshot, shop, i + 1)->attributes;
        assert_true(has(attributes, "db.response.status_code", outcomes[i].status_code));
        assert_true(has(attributes, "error.type", outcomes[i].error_type));
    }
    /* Two ways to say 57014 look the same, and so are one. */
    assert_int_equal(durations(snapshot, shop)->point_count, 2 * COUNT - 1);
    world_deinit(&wide);
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

static void expect_same_points(const struct metric_points *a, const struct metric_points *b)
{
    assert_int_equal(a->point_count, b->point_count);
    for (uint32_t i = 0; i < a->point_count; i++) {
        const struct metric_point *one = &a->points[i], *other = NULL;
        for (uint32_t k = 0; k < b->point_count; k++) {
            if (attributes_equal(b->points[k].attributes, one->attributes))
                other = &b->points[k];
        }
        assert_non_null(other);
        assert_int_equal(one->start_unix_ns, other->start_unix_ns);
        const struct histogram_point *x = one->value.histogram, *y = other->value.histogram;
        assert_int_equal(x->count, y->count);
        assert_true(x->sum == y->sum && x->min == y->min && x->max == y->max);
        assert_memory_equal(x->bucket_counts, y->bucket_counts,
                            (x->bound_count + 1) * sizeof(uint64_t));
        assert_int_equal(x->scale, y->scale);
        assert_int_equal(x->offset, y->offset);
        assert_int_equal(x->zero_count, y->zero_count);
        assert_int_equal(x->exponential_count, y->exponential_count);
        assert_memory_equal(x->exponential_counts, y->exponential_counts,
                            x->exponential_count * sizeof(uint64_t));
    }
}

static void a_restart_gives_the_same_points(void **state)
{
    unsigned seed = 7;
    (void)state;

    for (int i = 0; i < 2000; i++) {
        const struct process *process = rand_r(&seed) % 3 ? shop : till;
        call(process, 1 + (uint64_t)rand_r(&seed) % 5, (uint64_t)rand_r(&seed) % (5 * SECOND));
    }
    const struct snapshot *CLEANUP(snapshot_unrefp) before = world_commit(&world);
    world.now_ns += MINUTE;
    world_restart(&world);
    const struct snapshot *CLEANUP(snapshot_unrefp) after = world_commit(&world);
    assert_int_equal(world.rows_written, 0); /* nothing changed */
    for (int i = 0; i < 2; i++) {
        const struct resource_metrics *one = resource_in(before, (i ? shop : till)->resource);
        const struct resource_metrics *other = resource_in(after, (i ? shop : till)->resource);
        expect_same_points(metric_in(one, METRIC_OPERATION_DURATION),
                           metric_in(other, METRIC_OPERATION_DURATION));
        expect_same_points(metric_in(one, METRIC_RETURNED_ROWS),
                           metric_in(other, METRIC_RETURNED_ROWS));
    }
    assert_int_equal(aggregate_stats(world.aggregate).sets, 4);
    /* And counting goes on in the same series. */
    uint64_t count = count_of(after, shop, 1);
    call(shop, 1, 1);
    const struct snapshot *CLEANUP(snapshot_unrefp) later = world_commit(&world);
    if (series(before, shop, 1))
        assert_int_equal(count_of(later, shop, 1), count + 1);
}

static void freezes_write_what_changed(void **state)
{
    (void)state;
    fill();
    snapshot_unref(world_commit(&world));
    assert_int_equal(world.rows_written, 7); /* a resource, three series, three statements */
    snapshot_unref(world_commit(&world));
    assert_int_equal(world.rows_written, 0);
    call(shop, 2, SECOND);
    snapshot_unref(world_commit(&world));
    assert_int_equal(world.rows_written, 2);
    call(shop, 8, SECOND); /* overflow, which is with the resource */
    snapshot_unref(world_commit(&world));
    assert_int_equal(world.rows_written, 2);
    aggregate_mark_unsaved(world.aggregate);
    snapshot_unref(world_commit(&world));
    assert_int_equal(world.rows_written, 8);
}

/* A target whose text has left the names is still known, and stays on disk. */
static void targets_outlive_their_names(void **state)
{
    uint64_t target = target_add(&world, "main\nshopdb\ndb.example\n6432");
    struct names *CLEANUP(names_freep) small = NULL;
    (void)state;

    assert_int_equal(names_new(&(struct names_opts){1, 1000}, &small), 0);
    struct world tiny = world;
    tiny.opts.names = small;
    tiny.aggregate = NULL;
    tiny.store = (struct store){0};
    assert_int_equal(aggregate_new(&tiny.opts, tiny.now_ns, &tiny.aggregate), 0);
    assert_int_equal(
        names_add(small, NAME_TARGET, target, 0, VIEW_LITERAL("main\nshopdb\ndb.example\n6432")),
        0);
    call_observe(&tiny, shop, &(struct call){.target = target, .fingerprint = 1});
    snapshot_unref(world_commit(&tiny));
    assert_int_equal(store_count(&tiny.store, ROWS_NAMES), 1);
    assert_int_equal(names_add(small, NAME_STATEMENT, 77, 0, VIEW_LITERAL("SELECT $1")), 0);
    aggregate_mark_unsaved(tiny.aggregate);
    snapshot_unref(world_commit(&tiny));
    assert_int_equal(store_count(&tiny.store, ROWS_NAMES), 1);
    tiny.aggregate = aggregate_free(tiny.aggregate);
    store_clear(&tiny.store);
}

static void unreadable_rows_are_skipped(void **state)
{
    unsigned seed = 29;
    int refused = 0;
    (void)state;

    for (int i = 0; i < 200; i++)
        call(shop, 1 + (uint64_t)rand_r(&seed) % 5, (uint64_t)rand_r(&seed));
    call_observe(&world, shop,
                 &(struct call){.target = target_add(&world, "main\nd\nh\n1"), .fingerprint = 1});
    snapshot_unref(world_commit(&world));
    for (int round = 0; round < 400; round++) {
        struct aggregate *CLEANUP(aggregate_freep) aggregate = NULL;
        assert_int_equal(aggregate_new(&world.opts, world.now_ns, &aggregate), 0);
        for (const struct store_row *row = world.store.first; row; row = row->next) {
            struct row broken = {row->table, row->key, row->value};
            char *CLEANUP(freep) bytes = malloc(row->value.length);
            memcpy(bytes, row->value.bytes, row->value.length);
            broken.value.bytes = bytes;
            if (rand_r(&seed) % 2)
                bytes[(size_t)rand_r(&seed) % row->value.length] = (char)rand_r(&seed);
            if (rand_r(&seed) % 4 == 0)
                broken.value.length = 1 + (size_t)rand_r(&seed) % row->value.length;
            if (rand_r(&seed) % 20 == 0)
                broken.key.length = (size_t)rand_r(&seed) % row->key.length;
            int r = aggregate_restore(aggregate, &broken);
            assert_true(r == 0 || r == -EBADMSG);
            refused += r != 0;
        }
        struct world broken_world = world;
        broken_world.aggregate = aggregate;
        broken_world.store = (struct store){0};
        call_observe(&broken_world, shop, &(struct call){.fingerprint = 1, .duration_ns = 5});
        snapshot_unref(world_commit(&broken_world));
        store_clear(&broken_world.store);
    }
    assert_true(refused > 100);
}

static void foreign_tables_are_refused(void **state)
{
    (void)state;
    assert_int_equal(
        aggregate_restore(world.aggregate,
                          &(struct row){ROWS_LEDGER, VIEW_LITERAL("k"), VIEW_LITERAL("v")}),
        -EBADMSG);
}

/* ---- a long run ------------------------------------------------------------------------------ */

enum { RUN_SERVICES = 3, RUN_FINGERPRINTS = 25, RUN_MINUTES = 300 };

/* The calls that were made: how many of each in which of the run's minutes. */
static uint32_t calls[RUN_MINUTES][RUN_SERVICES][RUN_FINGERPRINTS];
static uint64_t times_ns[RUN_MINUTES];

static uint64_t calls_since(size_t service, size_t fingerprint, uint64_t start_ns)
{
    uint64_t count = 0;

    for (size_t i = 0; i < RUN_MINUTES; i++)
        count += times_ns[i] >= start_ns ? calls[i][service][fingerprint] : 0;
    return count;
}

struct shown {
    uint64_t count, start_ns; /* 0: no series */
};

/* What one service shows: of each fingerprint, and its overflow. Checks each against the calls. */
static void look(const struct snapshot *snapshot, const struct process *process, size_t service,
                 struct shown shown[RUN_FINGERPRINTS], uint64_t *ret_overflow, uint32_t *ret_places)
{
    memset(shown, 0, RUN_FINGERPRINTS * sizeof(*shown));
    *ret_overflow = overflow_of(snapshot, process);
    for (size_t f = 0; f < RUN_FINGERPRINTS; f++) {
        const struct metric_point *point = series(snapshot, process, f + 1);
        if (!point)
            continue;
        shown[f] = (struct shown){point->value.histogram->count, point->start_unix_ns};
        assert_int_equal(shown[f].count, calls_since(service, f, shown[f].start_ns));
        (*ret_places)++;
    }
}

/* admitted + ended + overflow = all, at every minute of hours with kills in them; each series
 * counts every call since its start and no other. */
static void nothing_counted_moves_or_is_lost(void **state)
{
    struct world run;
    struct process *processes[RUN_SERVICES] = {process_of("a", 1), process_of("b", 2),
                                               process_of("c", 3)};
    static struct shown before[RUN_SERVICES][RUN_FINGERPRINTS];
    uint64_t ended[RUN_SERVICES] = {0};
    uint64_t call_count = 0;
    unsigned seed = 41;
    (void)state;

    world_init(&run, &(struct aggregate_opts){.sets_per_service_max = 6, .sets_max = 14});
    for (size_t minute = 0; minute < RUN_MINUTES; minute++) {
        uint64_t hot = minute / 40; /* what is called much changes in time */
        uint32_t places = 0;
        world_tick(&run, rand_r(&seed) % 50 == 0 ? 31 * MINUTE : MINUTE);
        times_ns[minute] = run.now_ns;
        for (int i = rand_r(&seed) % 200; i > 0; i--) {
            size_t service = (size_t)rand_r(&seed) % RUN_SERVICES;
            size_t fingerprint =
                (hot + (size_t)rand_r(&seed) % (rand_r(&seed) % 4 ? 7 : 25)) % RUN_FINGERPRINTS;
            calls[minute][service][fingerprint]++;
            call_count++;
            call_observe(&run, processes[service],
                         &(struct call){.fingerprint = fingerprint + 1,
                                        .duration_ns = (uint64_t)rand_r(&seed) % SECOND});
        }
        const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = world_commit(&run);
        for (size_t s = 0; s < RUN_SERVICES; s++) {
            struct shown now[RUN_FINGERPRINTS];
            uint64_t all = 0, admitted = 0, overflow;
            uint32_t own_places = 0;
            look(snapshot, processes[s], s, now, &overflow, &own_places);
            for (size_t f = 0; f < RUN_FINGERPRINTS; f++) {
                /* Displacement is at ticks alone, so what was last seen was all. */
                if (before[s][f].start_ns && before[s][f].start_ns != now[f].start_ns)
                    ended[s] += before[s][f].count;
                admitted += now[f].count;
                all += calls_since(s, f, 0);
            }
            assert_int_equal(admitted + ended[s] + overflow, all);
            assert_true(own_places <= 6);
            places += own_places;
            memcpy(before[s], now, sizeof(now));
        }
        assert_true(places <= 14);
        if (rand_r(&seed) % 10 == 0)
            world_restart(&run);
    }
    assert_true(call_count > 20000);
    assert_true(ended[0] + ended[1] + ended[2] > 0);
    for (size_t s = 0; s < RUN_SERVICES; s++)
        process_free(processes[s]);
    world_deinit(&run);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(admission_is_at_the_first_call),
        TEST(limits_are_by_service_and_in_all),
        TEST(twice_the_time_is_not_enough),
        TEST(displacement_waits_for_the_minute),
        TEST(a_displaced_series_ends_and_the_new_one_starts_at_zero),
        TEST(old_time_does_not_count),
        TEST(an_idle_one_gives_its_place),
        TEST(idle_places_stay_while_nobody_wants_them),
        TEST(a_clock_set_back_displaces_nobody),
        TEST(services_past_the_limit_share_one),
        TEST(series_say_where_and_what),
        TEST(ports_end_with_their_text),
        TEST(the_usual_port_and_unknown_parts_are_left_out),
        TEST(outcomes_are_series_of_their_own),
        TEST(a_restart_gives_the_same_points),
        TEST(freezes_write_what_changed),
        TEST(targets_outlive_their_names),
        TEST(unreadable_rows_are_skipped),
        TEST(foreign_tables_are_refused),
        TEST(nothing_counted_moves_or_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
