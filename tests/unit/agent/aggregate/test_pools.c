/* Pools: gauges of living processes, counts that stay, connection time that never steps back. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

#define KEY_POOL  "db.client.connection.pool.name"
#define KEY_STATE "db.client.connection.state"

static struct world world;
static struct process *one, *two;
static uint64_t target;

static int setup(void **state)
{
    (void)state;
    world_init(&world, &(struct aggregate_opts){.pools_max = 4});
    one = process_of("shop", 1);
    two = process_of("shop", 2);
    target = target_add(&world, "main\nshopdb\ndb\n5432");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    one = process_free(one);
    two = process_free(two);
    world_deinit(&world);
    return 0;
}

/* What a board shows: one pool and its connections; times are the world's. */
struct board {
    struct live_pool pool;
    struct live_connection connections[4];
    struct live_waiter waiters[2];
    size_t connection_count, waiter_count;
};

static void look_at(const struct process *process, struct board *board)
{
    board->pool.process = process;
    board->pool.target = target;
    for (size_t i = 0; i < board->connection_count; i++) {
        board->connections[i].process = process;
        board->connections[i].target = target;
    }
    aggregate_look(world.aggregate,
                   &(struct live_board){.process = process,
                                        .now_ns = world.now_ns,
                                        .pools = &board->pool,
                                        .pool_count = 1,
                                        .connections = board->connections,
                                        .connection_count = board->connection_count,
                                        .waiters = board->waiters,
                                        .waiter_count = board->waiter_count},
                   world.now_ns);
}

static void connected(const struct process *process, uint64_t duration_ns)
{
    struct record_connect record = {.head.target = target, .duration_ns = duration_ns};

    event_observe(&world, process, RECORD_CONNECT, &record.head);
}

static void closed(const struct process *process, uint64_t lifetime_ns)
{
    struct record_close record = {.head.target = target, .lifetime_ns = lifetime_ns};

    event_observe(&world, process, RECORD_CLOSE, &record.head);
}

static void acquired(const struct process *process, uint64_t wait_ns, uint8_t failure)
{
    struct record_acquire record = {.head.target = target, .wait_ns = wait_ns, .failure = failure};

    event_observe(&world, process, RECORD_ACQUIRE, &record.head);
}

static void released(const struct process *process, uint64_t hold_id, uint64_t use_ns)
{
    struct record_release record = {.head = {.target = target, .hold_id = hold_id},
                                    .use_ns = use_ns};

    event_observe(&world, process, RECORD_RELEASE, &record.head);
}

/* An acquire without a wait, told by its release alone. */
static void released_with_acquire(const struct process *process, uint64_t wait_ns, uint64_t use_ns)
{
    struct record_release record = {.head = {.target = target, .flags = RELEASE_HAS_ACQUIRE},
                                    .use_ns = use_ns,
                                    .wait_ns = wait_ns};

    event_observe(&world, process, RECORD_RELEASE, &record.head);
}

static const struct metric_points *metric(const struct snapshot *snapshot, enum metric_id id)
{
    return metric_in(resource_in(snapshot, one->resource), id);
}

static int64_t value_of(const struct snapshot *snapshot, enum metric_id id)
{
    const struct metric_point *point = point_in(metric(snapshot, id), KEY_POOL, "main");

    assert_non_null(point);
    return point->value.integer;
}

static int64_t state_of(const struct snapshot *snapshot, const char *state)
{
    const struct metric_point *point =
        point_in(metric(snapshot, METRIC_CONNECTION_COUNT), KEY_STATE, state);

    assert_non_null(point);
    return point->value.integer;
}

static double seconds_of(const struct snapshot *snapshot, const char *state)
{
    const struct metric_point *point =
        point_in(metric(snapshot, METRIC_POOL_CONNECTION_TIME), KEY_STATE, state);

    assert_non_null(point);
    return point->value.number;
}

static uint64_t count_of(const struct snapshot *snapshot, enum metric_id id)
{
    const struct metric_point *point = point_in(metric(snapshot, id), KEY_POOL, "main");

    return point ? point->value.histogram->count : 0;
}

static bool near(double a, double b)
{
    return fabs(a - b) < 1e-6;
}

static void gauges_sum_the_living(void **state)
{
    struct board first = {.pool = {.flags = POOL_HAS_LIMITS | POOL_HAS_WAITERS,
                                   .connections_max = 10,
                                   .idle_max = 5,
                                   .idle_min = 1,
                                   .used = 3,
                                   .idle = 2,
                                   .waiting = 4,
                                   .used_peak = 7,
                                   .waiting_peak = 6}};
    struct board second = {.pool = {.flags = POOL_HAS_LIMITS,
                                    .connections_max = 10,
                                    .idle_max = 5,
                                    .used = 1,
                                    .used_peak = 2}};
    (void)state;

    look_at(one, &first);
    look_at(two, &second);
    look_at(one, &first); /* again: no more than once */
    const struct snapshot *CLEANUP(snapshot_unrefp) both = world_commit(&world);
    assert_int_equal(state_of(both, "used"), 4);
    assert_int_equal(state_of(both, "idle"), 2);
    assert_int_equal(value_of(both, METRIC_CONNECTION_MAX), 20);
    assert_int_equal(value_of(both, METRIC_CONNECTION_IDLE_MAX), 10);
    assert_int_equal(value_of(both, METRIC_CONNECTION_IDLE_MIN), 1);
    assert_int_equal(value_of(both, METRIC_CONNECTION_PENDING), 4);
    assert_int_equal(value_of(both, METRIC_POOL_USED_PEAK), 9);
    assert_int_equal(value_of(both, METRIC_POOL_WAITING_PEAK), 6);
    aggregate_process_ended(world.aggregate, one);
    const struct snapshot *CLEANUP(snapshot_unrefp) rest = world_commit(&world);
    assert_int_equal(state_of(rest, "used"), 1);
    assert_int_equal(state_of(rest, "idle"), 0);
    assert_int_equal(value_of(rest, METRIC_CONNECTION_MAX), 10);
    assert_int_equal(value_of(rest, METRIC_POOL_USED_PEAK), 2);
    aggregate_process_ended(world.aggregate, two);
    const struct snapshot *CLEANUP(snapshot_unrefp) none = world_commit(&world);
    assert_int_equal(state_of(none, "used"), 0);
    assert_null(metric(none, METRIC_CONNECTION_MAX)); /* nobody says */
}

static void counts_stay_when_a_process_ends(void **state)
{
    struct board board = {.pool = {.used = 1}};
    (void)state;

    look_at(one, &board);
    connected(one, SECOND / 100);
    acquired(one, SECOND / 10, FAILURE_NONE);
    acquired(one, SECOND, FAILURE_TIMEOUT);
    released(one, 1, SECOND);
    aggregate_process_ended(world.aggregate, one);
    connected(two, SECOND / 50);
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = world_commit(&world);
    assert_int_equal(count_of(snapshot, METRIC_CONNECTION_CREATE_TIME), 2);
    assert_int_equal(count_of(snapshot, METRIC_CONNECTION_USE_TIME), 1);
    assert_int_equal(count_of(snapshot, METRIC_CONNECTION_WAIT_TIME), 1); /* the failed one has no
                                                                              connection */
    assert_int_equal(value_of(snapshot, METRIC_CONNECTION_TIMEOUTS), 1);
    const struct metric_point *waited =
        point_in(metric(snapshot, METRIC_POOL_WAIT_REQUESTS_TIME), KEY_POOL, "main");
    assert_true(near(waited->value.number, 1.1));
}

/* Each acquire is one, whether it has a record of its own or comes with its release. */
static void acquires_count_once(void **state)
{
    (void)state;

    released_with_acquire(one, 0, SECOND);
    released_with_acquire(one, SECOND / 4, SECOND);
    acquired(one, SECOND / 2, FAILURE_NONE);
    released(one, 1, SECOND);                       /* of the acquire before it */
    released_with_acquire(two, UNKNOWN_NS, SECOND); /* a client that contradicts itself */
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = world_commit(&world);
    const struct metric_point *wait_time =
        point_in(metric(snapshot, METRIC_CONNECTION_WAIT_TIME), KEY_POOL, "main");
    assert_non_null(wait_time);
    assert_int_equal(wait_time->value.histogram->count, 3);
    assert_true(near(wait_time->value.histogram->sum, 0.75));
    assert_int_equal(count_of(snapshot, METRIC_CONNECTION_USE_TIME), 4);
    assert_int_equal(value_of(snapshot, METRIC_CONNECTION_TIMEOUTS), 0);
    const struct metric_point *waited =
        point_in(metric(snapshot, METRIC_POOL_WAIT_REQUESTS_TIME), KEY_POOL, "main");
    assert_true(near(waited->value.number, 0.75));
}

static void pools_without_waiters_show_none(void **state)
{
    struct board board = {.pool = {.used = 1}};
    (void)state;

    look_at(one, &board);
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = world_commit(&world);
    assert_null(metric(snapshot, METRIC_CONNECTION_PENDING));
    assert_null(metric(snapshot, METRIC_CONNECTION_TIMEOUTS));
    assert_null(metric(snapshot, METRIC_CONNECTION_MAX));
    assert_null(metric(snapshot, METRIC_CONNECTION_WAIT_TIME));
    assert_int_equal(state_of(snapshot, "used"), 1);
}

/* What a killed process held open was shown; the others' time is shown on top of it at once. */
static void time_of_the_dead_stays(void **state)
{
    struct board board = {.pool = {.flags = POOL_HAS_WAITERS},
                          .connections = {{.hold_id = 7,
                                           .acquired_ns = world.now_ns - 100 * SECOND,
                                           .opened_ns = world.now_ns - 300 * SECOND}},
                          .connection_count = 1,
                          .waiters = {{.since_ns = world.now_ns - 50 * SECOND}},
                          .waiter_count = 1};
    (void)state;

    look_at(one, &board);
    snapshot_unref(world_commit(&world));
    aggregate_process_ended(world.aggregate, one);
    released(two, 1, 5 * SECOND);
    closed(two, 8 * SECOND);
    acquired(two, SECOND, FAILURE_NONE);
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = world_commit(&world);
    assert_true(near(seconds_of(snapshot, "used"), 105));
    assert_true(near(seconds_of(snapshot, "idle"), 203));
    assert_true(near(
        point_in(metric(snapshot, METRIC_POOL_WAIT_REQUESTS_TIME), KEY_POOL, "main")->value.number,
        51));
}

/* What it held was shown, then its end was read, then it ended: nothing counts twice. */
static void holds_that_ended_count_once(void **state)
{
    struct board board = {.connections = {{.hold_id = 7,
                                           .acquired_ns = world.now_ns - 100 * SECOND,
                                           .opened_ns = world.now_ns - 300 * SECOND}},
                          .connection_count = 1};
    (void)state;

    look_at(one, &board);
    look_at(two, &board);
    snapshot_unref(world_commit(&world));
    released(one, 7, 110 * SECOND);
    closed(one, 310 * SECOND);
    aggregate_process_ended(world.aggregate, one);
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = world_commit(&world);
    assert_true(near(seconds_of(snapshot, "used"), 210));
    assert_true(near(seconds_of(snapshot, "idle"), 400));
}

/* Its release was read, but its slot on the board is cleared a moment later. */
static void a_hold_counts_once(void **state)
{
    uint64_t opened_ns = world.now_ns - 100 * SECOND, acquired_ns = world.now_ns - 10 * SECOND;
    struct board board = {
        .connections = {{.hold_id = 7, .acquired_ns = acquired_ns, .opened_ns = opened_ns}},
        .connection_count = 1};
    (void)state;

    look_at(one, &board);
    const struct snapshot *CLEANUP(snapshot_unrefp) open = world_commit(&world);
    assert_true(near(seconds_of(open, "used"), 10));
    assert_true(near(seconds_of(open, "idle"), 90));
    released(one, 7, 10 * SECOND);
    look_at(one, &board);
    const struct snapshot *CLEANUP(snapshot_unrefp) after = world_commit(&world);
    assert_true(near(seconds_of(after, "used"), 10));
    assert_true(near(seconds_of(after, "idle"), 90));
    /* The same number in another process is another hold. */
    look_at(two, &board);
    const struct snapshot *CLEANUP(snapshot_unrefp) other = world_commit(&world);
    assert_true(near(seconds_of(other, "used"), 20));
    assert_true(near(seconds_of(other, "idle"), 180));
}

static void a_single_statement_may_be_its_hold(void **state)
{
    struct board board = {.connections = {{.hold_id = 8, .acquired_ns = world.now_ns - SECOND}},
                          .connection_count = 1};
    (void)state;

    call_observe(&world, one,
                 &(struct call){.target = target,
                                .fingerprint = 1,
                                .duration_ns = SECOND,
                                .hold_id = 8,
                                .flags = STATEMENT_IS_HOLD});
    call_observe(&world, one,
                 &(struct call){.target = target, .fingerprint = 1, .duration_ns = SECOND});
    look_at(one, &board);
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = world_commit(&world);
    assert_int_equal(count_of(snapshot, METRIC_CONNECTION_USE_TIME), 1);
    assert_true(near(seconds_of(snapshot, "used"), 1));
}

static void waiting_counts_while_it_lasts(void **state)
{
    struct board board = {.pool = {.flags = POOL_HAS_WAITERS},
                          .waiters = {{.since_ns = world.now_ns - 3 * SECOND},
                                      {.pool = 5, .since_ns = 1}}, /* of no pool there is */
                          .waiter_count = 2};
    (void)state;

    look_at(one, &board);
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = world_commit(&world);
    const struct metric_point *waited =
        point_in(metric(snapshot, METRIC_POOL_WAIT_REQUESTS_TIME), KEY_POOL, "main");
    assert_true(near(waited->value.number, 3));
}

static void torn_slots_and_strange_clocks_count_nothing(void **state)
{
    struct board board = {
        .connections = {{.torn = true, .hold_id = 1, .acquired_ns = 1, .opened_ns = 1},
                        {.hold_id = 2,
                         .acquired_ns = world.now_ns + SECOND,
                         .opened_ns = world.now_ns + SECOND}},
        .connection_count = 2};
    (void)state;

    look_at(one, &board);
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = world_commit(&world);
    assert_true(near(seconds_of(snapshot, "used"), 0));
    assert_true(near(seconds_of(snapshot, "idle"), 0));
}

/* Holds open before a restart were shown; a kill right after must not show less. */
static void what_was_shown_is_on_disk(void **state)
{
    struct board board = {.connections = {{.hold_id = 7,
                                           .acquired_ns = world.now_ns - 10 * SECOND,
                                           .opened_ns = world.now_ns - 30 * SECOND}},
                          .connection_count = 1};
    (void)state;

    connected(one, SECOND);
    look_at(one, &board);
    snapshot_unref(world_commit(&world));
    world.now_ns += 60 * SECOND;
    look_at(one, &board); /* no event since */
    const struct snapshot *CLEANUP(snapshot_unrefp) shown = world_commit(&world);
    assert_true(near(seconds_of(shown, "used"), 70));
    assert_true(world.rows_written > 0);
    world_restart(&world);
    const struct snapshot *CLEANUP(snapshot_unrefp) after = world_commit(&world);
    assert_true(near(seconds_of(after, "used"), 70));
    assert_true(near(seconds_of(after, "idle"), 20));
    assert_int_equal(world.rows_written, 0);
    look_at(one, &board);
    snapshot_unref(world_commit(&world)); /* the target, learnt anew */
    look_at(one, &board);
    snapshot_unref(world_commit(&world));
    assert_int_equal(world.rows_written, 0); /* shows no more than before: nothing to write */
}

static void a_restart_gives_the_same_points(void **state)
{
    struct board board = {.pool = {.flags = POOL_HAS_WAITERS, .used = 2}};
    (void)state;

    look_at(one, &board);
    for (uint64_t i = 1; i <= 100; i++) {
        connected(one, i * SECOND / 1000);
        acquired(one, i * SECOND / 500, i % 10 ? FAILURE_NONE : FAILURE_TIMEOUT);
        released(one, i, i * SECOND / 100);
        closed(one, SECOND);
    }
    const struct snapshot *CLEANUP(snapshot_unrefp) before = world_commit(&world);
    world.now_ns += MINUTE;
    world_restart(&world);
    const struct snapshot *CLEANUP(snapshot_unrefp) after = world_commit(&world);
    static const enum metric_id histograms[] = {
        METRIC_CONNECTION_CREATE_TIME, METRIC_CONNECTION_WAIT_TIME, METRIC_CONNECTION_USE_TIME};
    for (size_t i = 0; i < 3; i++) {
        const struct metric_point *x = point_in(metric(before, histograms[i]), KEY_POOL, "main");
        const struct metric_point *y = point_in(metric(after, histograms[i]), KEY_POOL, "main");
        assert_int_equal(x->start_unix_ns, y->start_unix_ns);
        assert_int_equal(x->value.histogram->count, i == 1 ? 90 : 100);
        assert_int_equal(x->value.histogram->count, y->value.histogram->count);
        assert_true(x->value.histogram->sum == y->value.histogram->sum);
    }
    assert_int_equal(value_of(after, METRIC_CONNECTION_TIMEOUTS), 10);
    assert_true(near(seconds_of(after, "used"), seconds_of(before, "used")));
    assert_true(near(seconds_of(after, "idle"), seconds_of(before, "idle")));
    assert_int_equal(state_of(after, "used"), 0); /* until its board is seen */
    assert_int_equal(metric(after, METRIC_CONNECTION_COUNT)->points[0].start_unix_ns,
                     metric(before, METRIC_CONNECTION_COUNT)->points[0].start_unix_ns);
}

/* Connections that open, are held, and close, in processes that come and go and an agent that is
 * killed: what is shown never steps back, and at the end is what there was. */
static void connection_time_never_steps_back(void **state)
{
    enum { CONNECTIONS = 4 };
    struct process *processes[2] = {one, two};
    struct {
        uint64_t opened_ns, acquired_ns, hold_id;
    } slots[2][CONNECTIONS] = {{{0}}};
    uint64_t used_ns = 0, life_ns = 0, hold_id = 0;
    double used_shown = 0, idle_shown = 0;
    unsigned seed = 77;
    (void)state;

    for (int step = 0; step < 3000; step++) {
        bool is_end = step >= 2990;
        world.now_ns += (uint64_t)rand_r(&seed) % SECOND;
        for (size_t p = 0; p < 2; p++) {
            size_t c = (size_t)rand_r(&seed) % CONNECTIONS;
            for (size_t k = is_end ? 0 : c; k < (is_end ? (size_t)CONNECTIONS : c + 1); k++) {
                if (slots[p][k].acquired_ns && (is_end || rand_r(&seed) % 3 == 0)) {
                    uint64_t use_ns = world.now_ns - slots[p][k].acquired_ns;
                    released(processes[p], slots[p][k].hold_id, use_ns);
                    used_ns += use_ns;
                    slots[p][k].acquired_ns = slots[p][k].hold_id = 0;
                }
                if (slots[p][k].opened_ns && !slots[p][k].acquired_ns &&
                    (is_end || rand_r(&seed) % 10 == 0)) {
                    closed(processes[p], world.now_ns - slots[p][k].opened_ns);
                    life_ns += world.now_ns - slots[p][k].opened_ns;
                    slots[p][k].opened_ns = 0;
                } else if (!is_end && !slots[p][k].opened_ns) {
                    slots[p][k].opened_ns = world.now_ns;
                } else if (!is_end && !slots[p][k].acquired_ns) {
                    slots[p][k].acquired_ns = world.now_ns;
                    slots[p][k].hold_id = ++hold_id;
                }
            }
            struct board board = {.connection_count = CONNECTIONS};
            for (size_t k = 0; k < CONNECTIONS; k++)
                board.connections[k] = (struct live_connection){
                    .hold_id = slots[p][k].hold_id,
                    .acquired_ns = slots[p][k].acquired_ns,
                    .opened_ns = slots[p][k].opened_ns,
                };
            look_at(processes[p], &board);
        }
        const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = world_commit(&world);
        if (!metric(snapshot, METRIC_POOL_CONNECTION_TIME))
            continue;
        assert_true(seconds_of(snapshot, "used") >= used_shown);
        assert_true(seconds_of(snapshot, "idle") >= idle_shown);
        used_shown = seconds_of(snapshot, "used");
        idle_shown = seconds_of(snapshot, "idle");
        if (rand_r(&seed) % 100 == 0) {
            world_restart(&world);
            target_add(&world, "main\nshopdb\ndb\n5432");
        }
    }
    assert_true(near(used_shown, (double)used_ns / 1e9));
    assert_true(near(idle_shown, (double)(life_ns - used_ns) / 1e9));
    assert_true(used_ns > 100 * SECOND);
}

static void pools_past_the_limit_share_other(void **state)
{
    uint64_t last = 0;
    (void)state;

    for (int i = 0; i < 8; i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "pool-%d\nd\nh\n1", i);
        last = target = target_add(&world, text);
        connected(one, SECOND);
    }
    connected(one, SECOND);
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = world_commit(&world);
    const struct metric_points *created = metric(snapshot, METRIC_CONNECTION_CREATE_TIME);
    assert_int_equal(created->point_count, 5);
    assert_int_equal(point_in(created, KEY_POOL, "pool-3")->value.histogram->count, 1);
    assert_int_equal(point_in(created, KEY_POOL, "other")->value.histogram->count, 5);
    assert_int_equal(aggregate_stats(world.aggregate).pools, 5);
    assert_true(last != 0);
}

/* Two databases over pools of one name are one pool; the name is what tells pools apart. */
static void pools_are_told_apart_by_name(void **state)
{
    (void)state;
    connected(one, SECOND);
    target = target_add(&world, "main\nother\ndb2\n5432");
    connected(one, SECOND);
    target = target_add(&world, "batch\nother\ndb2\n5432");
    connected(one, SECOND);
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = world_commit(&world);
    assert_int_equal(count_of(snapshot, METRIC_CONNECTION_CREATE_TIME), 2);
    assert_int_equal(metric(snapshot, METRIC_CONNECTION_CREATE_TIME)->point_count, 2);
}

static void broken_rows_are_not_there(void **state)
{
    const struct store_row *row;
    (void)state;

    connected(one, SECOND);
    snapshot_unref(world_commit(&world));
    for (row = world.store.first; row->table != ROWS_POOLS; row = row->next)
        ;
    for (size_t length = 1; length < row->value.length; length++) {
        struct world other = world;
        assert_int_equal(aggregate_new(&other.opts, other.now_ns, &other.aggregate), 0);
        assert_int_equal(
            aggregate_restore(other.aggregate, &(struct row){ROWS_RESOURCES, world.store.first->key,
                                                             world.store.first->value}),
            0);
        assert_int_equal(
            aggregate_restore(other.aggregate,
                              &(struct row){row->table, row->key, {row->value.bytes, length}}),
            -EBADMSG);
        assert_int_equal(aggregate_stats(other.aggregate).pools, 0);
        other.aggregate = aggregate_free(other.aggregate);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(gauges_sum_the_living),
        TEST(counts_stay_when_a_process_ends),
        TEST(acquires_count_once),
        TEST(pools_without_waiters_show_none),
        TEST(time_of_the_dead_stays),
        TEST(holds_that_ended_count_once),
        TEST(a_hold_counts_once),
        TEST(a_single_statement_may_be_its_hold),
        TEST(waiting_counts_while_it_lasts),
        TEST(torn_slots_and_strange_clocks_count_nothing),
        TEST(what_was_shown_is_on_disk),
        TEST(a_restart_gives_the_same_points),
        TEST(connection_time_never_steps_back),
        TEST(pools_past_the_limit_share_other),
        TEST(pools_are_told_apart_by_name),
        TEST(broken_rows_are_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
