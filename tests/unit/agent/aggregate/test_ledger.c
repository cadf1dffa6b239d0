/* The ledger: recorded = exported + buffered + dropped, whatever ends, is killed, folded or comes
 * back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/aggregate/ledger.h"
#include "world.h"

static struct ledger *ledger;
static struct store store;
static struct ledger_opts opts;
static uint64_t now_ns, generation;

static int setup(void **state)
{
    (void)state;
    opts = (struct ledger_opts){.rows_max = 4, .services_max = 3};
    now_ns = 1000;
    generation = 0;
    store = (struct store){0};
    assert_int_equal(ledger_new(&opts, now_ns, &ledger), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ledger = ledger_free(ledger);
    store_clear(&store);
    return 0;
}

static const struct snapshot *commit(void)
{
    struct snapshot_builder *builder = snapshot_builder_new();
    struct rows rows;

    rows_init(&rows, 1 << 24);
    ledger_freeze(ledger, &rows, builder);
    store_apply(&store, &rows);
    rows_deinit(&rows);
    return snapshot_builder_finish(builder, now_ns, ++generation);
}

static size_t commit_rows(void)
{
    struct rows rows;
    size_t count;

    rows_init(&rows, 1 << 24);
    ledger_freeze(ledger, &rows, NULL);
    count = rows.count;
    store_apply(&store, &rows);
    rows_deinit(&rows);
    return count;
}

/* Kill and start again. */
static void restart(void)
{
    ledger_free(ledger);
    now_ns += 1000;
    assert_int_equal(ledger_new(&opts, now_ns, &ledger), 0);
    for (const struct store_row *row = store.first; row; row = row->next)
        assert_int_equal(ledger_restore(ledger, &(struct row){row->table, row->key, row->value}),
                         0);
}

/* ---- rows ------------------------------------------------------------------------------------ */

enum { ROWS_MAX = 64 };

struct copy {
    size_t count;
    struct ledger_row rows[ROWS_MAX];
    char services[ROWS_MAX][32];
};

static uint64_t dropped_of(const struct ledger_row *row)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < DROP_END; i++)
        sum += row->dropped[i];
    return sum;
}

static void take(void *userdata, const struct ledger_row *row)
{
    struct copy *copy = userdata;

    assert_true(copy->count < ROWS_MAX);
    copy->rows[copy->count] = *row;
    strncpy(copy->services[copy->count], row->service, 31);
    copy->count++;
    assert_int_equal(row->recorded, row->exported + row->in_lanes + row->read + dropped_of(row) +
                                        (uint64_t)row->imbalance);
}

static const struct copy *rows_now(void)
{
    static struct copy copy;

    memset(&copy, 0, sizeof(copy));
    ledger_rows(ledger, take, &copy);
    return &copy;
}

static const struct ledger_row *row_of(const struct process *process)
{
    const struct copy *copy = rows_now();

    for (size_t i = 0; i < copy->count; i++) {
        if (memcmp(copy->rows[i].client_id, process->client_id, 16) == 0)
            return &copy->rows[i];
    }
    return NULL;
}

static const struct ledger_row *folded_row(void)
{
    const struct copy *copy = rows_now();

    for (size_t i = 0; i < copy->count; i++) {
        if (copy->rows[i].pid == 0)
            return &copy->rows[i];
    }
    return NULL;
}

static void update(const struct process *process, uint64_t recorded, uint64_t read,
                   uint64_t dropped)
{
    ledger_update(ledger, process,
                  &(struct ledger_counts){.recorded = recorded,
                                          .read = read,
                                          .in_lanes = recorded - read - dropped,
                                          .dropped[DROP_LANES_FULL] = dropped});
}

static void end(const struct process *process, uint64_t recorded)
{
    ledger_ended(ledger, process, &(struct ledger_counts){.recorded = recorded, .read = recorded});
}

/* ---- one thing at a time --------------------------------------------------------------------- */

static void events_go_from_lane_to_exported(void **state)
{
    struct process *CLEANUP(process_freep) one = process_of("shop", 11);
    const struct ledger_row *row;
    (void)state;

    ledger_client(ledger, one);
    update(one, 100, 60, 10);
    row = row_of(one);
    assert_int_equal(row->pid, 11);
    assert_true(row->is_alive);
    assert_int_equal(row->in_lanes, 30);
    assert_int_equal(row->read, 60);
    assert_int_equal(row->exported, 0);
    assert_int_equal(row->dropped[DROP_LANES_FULL], 10);
    assert_int_equal(row->imbalance, 0);
    ledger_mark(ledger, 1);
    update(one, 120, 80, 10);
    ledger_exported(ledger, 1); /* what was read after the mark is not in it */
    row = row_of(one);
    assert_int_equal(row->exported, 60);
    assert_int_equal(row->read, 20);
    ledger_mark(ledger, 2);
    ledger_mark(ledger, 3);
    ledger_exported(ledger, 2);
    ledger_exported(ledger, 1); /* an old one changes nothing */
    assert_int_equal(row_of(one)->exported, 80);
    assert_string_equal(rows_now()->services[0], "shop");
}

static void the_newest_mark_stays_when_there_are_many(void **state)
{
    struct process *CLEANUP(process_freep) one = process_of("shop", 1);
    (void)state;

    ledger_client(ledger, one);
    for (uint64_t mark = 1; mark <= 100; mark++) {
        update(one, mark, mark, 0);
        ledger_mark(ledger, mark);
    }
    ledger_exported(ledger, 1);
    assert_int_equal(row_of(one)->exported, 1);
    ledger_exported(ledger, 50); /* only some marks are told apart: never too much */
    assert_true(row_of(one)->exported <= 50);
    ledger_exported(ledger, 100);
    assert_int_equal(row_of(one)->exported, 100);
}

static void what_memory_could_not_count_is_dropped(void **state)
{
    struct process *CLEANUP(process_freep) one = process_of("shop", 1);
    (void)state;

    ledger_client(ledger, one);
    update(one, 10, 10, 0);
    ledger_lost(ledger, one);
    ledger_lost(ledger, one);
    ledger_mark(ledger, 1);
    ledger_exported(ledger, 1);
    assert_int_equal(row_of(one)->exported, 8);
    assert_int_equal(row_of(one)->dropped[DROP_OUT_OF_MEMORY], 2);
    assert_int_equal(row_of(one)->imbalance, 0);
    commit_rows();
    restart();
    assert_int_equal(row_of(one)->dropped[DROP_OUT_OF_MEMORY], 2);
    assert_int_equal(row_of(one)->imbalance, 0);
}

static const struct metric_point *point_of(const struct snapshot *snapshot,
                                           const struct process *process, enum metric_id id)
{
    const struct metric_points *points = metric_in(resource_in(snapshot, process->resource), id);

    return points && points->point_count == 1 ? &points->points[0] : NULL;
}

/* It can fail: counts that do not add up are shown as what they are. */
static void imbalance_is_shown(void **state)
{
    struct process *CLEANUP(process_freep) one = process_of("shop", 1);
    (void)state;

    ledger_client(ledger, one);
    ledger_update(ledger, one, &(struct ledger_counts){.recorded = 10, .read = 5, .in_lanes = 2});
    assert_int_equal(row_of(one)->imbalance, 3);
    const struct snapshot *CLEANUP(snapshot_unrefp) missing = commit();
    assert_int_equal(point_of(missing, one, METRIC_LEDGER_IMBALANCE)->value.integer, 3);
    ledger_update(ledger, one, &(struct ledger_counts){.recorded = 10, .read = 9, .in_lanes = 2});
    assert_int_equal(row_of(one)->imbalance, -1);
    const struct snapshot *CLEANUP(snapshot_unrefp) twice = commit();
    assert_int_equal(point_of(twice, one, METRIC_LEDGER_IMBALANCE)->value.integer, -1);
}

static void points_sum_a_service(void **state)
{
    struct process *CLEANUP(process_freep) one = process_of("shop", 1);
    struct process *CLEANUP(process_freep) two = process_of("shop", 2);
    struct process *CLEANUP(process_freep) till = process_of("till", 3);
    (void)state;

    ledger_client(ledger, one);
    ledger_client(ledger, two);
    ledger_client(ledger, till);
    update(one, 100, 60, 10);
    update(two, 50, 50, 0);
    update(till, 7, 7, 0);
    ledger_mark(ledger, 1);
    ledger_exported(ledger, 1);
    update(two, 55, 52, 0);
    const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = commit();
    assert_int_equal(point_of(snapshot, one, METRIC_LEDGER_RECORDED)->value.integer, 155);
    assert_int_equal(point_of(snapshot, one, METRIC_LEDGER_EXPORTED)->value.integer, 110);
    assert_int_equal(point_of(snapshot, one, METRIC_LEDGER_BUFFERED)->value.integer, 35);
    assert_int_equal(point_of(snapshot, one, METRIC_LEDGER_DROPPED)->value.integer, 10);
    assert_int_equal(point_of(snapshot, one, METRIC_LEDGER_IMBALANCE)->value.integer, 0);
    assert_int_equal(point_of(snapshot, one, METRIC_LEDGER_RECORDED)->start_unix_ns, 1000);
    const struct attribute *cause =
        attributes_find(point_of(snapshot, one, METRIC_LEDGER_DROPPED)->attributes,
                        VIEW_LITERAL("weir.ledger.cause"));
    assert_true(view_equal(cause->value.string, VIEW_LITERAL("lanes_full")));
    assert_int_equal(point_of(snapshot, till, METRIC_LEDGER_RECORDED)->value.integer, 7);
    assert_null(point_of(snapshot, till, METRIC_LEDGER_DROPPED));
}

static void the_ended_are_folded_the_oldest_first(void **state)
{
    struct process *processes[8];
    (void)state;

    for (uint32_t i = 0; i < 8; i++) {
        processes[i] = process_of("shop", i + 1);
        ledger_client(ledger, processes[i]);
        update(processes[i], 10, 10, 0);
        if (i != 1)
            end(processes[i], 10 + i);
        if (i == 2)
            commit_rows();
    }
    assert_int_equal(rows_now()->count, 5);
    assert_null(row_of(processes[0]));
    assert_non_null(row_of(processes[1])); /* it lives */
    assert_true(row_of(processes[1])->is_alive);
    for (uint32_t i = 2; i < 5; i++)
        assert_null(row_of(processes[i]));
    for (uint32_t i = 5; i < 8; i++)
        assert_false(row_of(processes[i])->is_alive);
    assert_int_equal(folded_row()->recorded, 10 + 12 + 13 + 14);
    commit_rows();
    assert_int_equal(store.count, 5); /* the folded ones' rows are gone */
    restart();
    assert_int_equal(rows_now()->count, 5);
    assert_int_equal(folded_row()->recorded, 49);
    for (uint32_t i = 0; i < 8; i++)
        process_free(processes[i]);
}

static void all_alive_are_kept(void **state)
{
    struct process *processes[6];
    (void)state;

    for (uint32_t i = 0; i < 6; i++) {
        processes[i] = process_of("shop", i + 1);
        ledger_client(ledger, processes[i]);
    }
    assert_int_equal(rows_now()->count, 6);
    for (uint32_t i = 0; i < 6; i++)
        process_free(processes[i]);
}

/* What is on its way when a client is folded arrives all the same. */
static void folded_ones_arrive(void **state)
{
    struct process *processes[6];
    (void)state;

    for (uint32_t i = 0; i < 6; i++)
        processes[i] = process_of("shop", i + 1);
    for (uint32_t i = 0; i < 4; i++) {
        ledger_client(ledger, processes[i]);
        end(processes[i], 100);
    }
    ledger_mark(ledger, 1);
    ledger_client(ledger, processes[4]);
    ledger_client(ledger, processes[5]);
    assert_int_equal(folded_row()->exported, 0);
    ledger_exported(ledger, 1);
    assert_int_equal(folded_row()->exported, 200);
    assert_int_equal(folded_row()->read, 0);
    for (uint32_t i = 0; i < 6; i++)
        process_free(processes[i]);
}

static void the_absent_are_closed(void **state)
{
    struct process *CLEANUP(process_freep) lost = process_of("shop", 1);
    struct process *CLEANUP(process_freep) back = process_of("shop", 2);
    struct process *CLEANUP(process_freep) ended = process_of("shop", 3);
    (void)state;

    ledger_client(ledger, lost);
    ledger_client(ledger, back);
    ledger_client(ledger, ended);
    update(lost, 100, 60, 10);
    update(back, 100, 60, 10);
    end(ended, 5);
    ledger_mark(ledger, 1);
    ledger_exported(ledger, 1);
    commit_rows();
    restart();
    assert_int_equal(row_of(lost)->in_lanes, 30); /* it may still come */
    ledger_client(ledger, back);
    update(back, 130, 60, 10);
    ledger_close_absent(ledger);
    const struct ledger_row *row = row_of(lost);
    assert_false(row->is_alive);
    assert_true(row->tail_unknown);
    assert_int_equal(row->in_lanes, 0);
    assert_int_equal(row->dropped[DROP_SEGMENT_LOST], 30);
    assert_int_equal(row->exported, 60);
    assert_int_equal(row->imbalance, 0);
    row = row_of(back);
    assert_true(row->is_alive);
    assert_false(row->tail_unknown);
    assert_int_equal(row->in_lanes, 60);
    assert_int_equal(row->dropped[DROP_SEGMENT_LOST], 0);
    assert_false(row_of(ended)->tail_unknown);
    assert_int_equal(row_of(ended)->dropped[DROP_SEGMENT_LOST], 0);
    ledger_close_absent(ledger); /* once is enough */
    assert_int_equal(row_of(lost)->dropped[DROP_SEGMENT_LOST], 30);
    commit_rows();
    restart();
    assert_true(row_of(lost)->tail_unknown);
    assert_int_equal(row_of(lost)->dropped[DROP_SEGMENT_LOST], 30);
}

static void an_absent_one_may_return(void **state)
{
    struct process *CLEANUP(process_freep) one = process_of("shop", 1);
    (void)state;

    ledger_client(ledger, one);
    update(one, 100, 60, 10);
    commit_rows();
    restart();
    ledger_close_absent(ledger);
    assert_int_equal(row_of(one)->dropped[DROP_SEGMENT_LOST], 30);
    ledger_client(ledger, one); /* it was only away */
    update(one, 140, 60, 10);
    assert_true(row_of(one)->is_alive);
    assert_false(row_of(one)->tail_unknown);
    assert_int_equal(row_of(one)->dropped[DROP_SEGMENT_LOST], 0);
    assert_int_equal(row_of(one)->in_lanes, 70);
    assert_int_equal(row_of(one)->imbalance, 0);
    assert_int_equal(rows_now()->count, 1);
}

static void freezes_write_what_changed(void **state)
{
    struct process *CLEANUP(process_freep) one = process_of("shop", 1);
    struct process *CLEANUP(process_freep) two = process_of("shop", 2);
    (void)state;

    ledger_client(ledger, one);
    ledger_client(ledger, two);
    assert_int_equal(commit_rows(), 2);
    assert_int_equal(commit_rows(), 0);
    update(one, 5, 5, 0);
    assert_int_equal(commit_rows(), 1);
    update(one, 5, 5, 0); /* the same */
    assert_int_equal(commit_rows(), 0);
    ledger_mark(ledger, 1);
    assert_int_equal(commit_rows(), 0);
    ledger_exported(ledger, 1);
    assert_int_equal(commit_rows(), 1);
    ledger_mark_unsaved(ledger);
    assert_int_equal(commit_rows(), 2);
}

/* Services past the limit share the overflow; a restart in another order adds up all the same. */
static void services_past_the_limit_add_up(void **state)
{
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    (void)state;

    opts.rows_max = 1; /* everything that ended is folded */
    ledger_free(ledger);
    assert_int_equal(ledger_new(&opts, now_ns, &ledger), 0);
    for (uint32_t i = 0; i < 5; i++) {
        struct process *CLEANUP(process_freep) process = process_of(names[i], i + 1);
        ledger_client(ledger, process);
        end(process, 10);
    }
    struct process *CLEANUP(process_freep) last = process_of("f", 9);
    ledger_client(ledger, last);
    end(last, 10);
    for (int round = 0; round < 4; round++) {
        const struct copy *copy = rows_now();
        uint64_t recorded = 0;
        for (size_t i = 0; i < copy->count; i++) {
            recorded += copy->rows[i].recorded;
            assert_int_equal(copy->rows[i].imbalance, 0);
        }
        assert_int_equal(recorded, 60);
        commit_rows();
        opts.services_max = round < 2 ? 3 : 1; /* then even fewer */
        restart();
    }
}

static void broken_rows_are_not_there(void **state)
{
    struct process *CLEANUP(process_freep) one = process_of("shop", 1);
    struct process *CLEANUP(process_freep) two = process_of("shop", 2);
    (void)state;

    opts.rows_max = 1;
    ledger_free(ledger);
    assert_int_equal(ledger_new(&opts, now_ns, &ledger), 0);
    ledger_client(ledger, one);
    end(one, 10);
    ledger_client(ledger, two);
    commit_rows();
    assert_int_equal(store.count, 2);
    for (const struct store_row *row = store.first; row; row = row->next) {
        for (size_t length = 0; length < row->value.length; length++) {
            ledger_free(ledger);
            assert_int_equal(ledger_new(&opts, now_ns, &ledger), 0);
            assert_int_equal(
                ledger_restore(ledger,
                               &(struct row){row->table, row->key, {row->value.bytes, length}}),
                -EBADMSG);
            assert_int_equal(rows_now()->count, 0);
        }
    }
}

/* ---- a long run ------------------------------------------------------------------------------ */

/* The truth about one client: what it did, and what the reader holds in memory and on disk. */
struct client {
    struct process *process;
    uint64_t recorded, dropped;
    uint64_t read, lost, read_saved, lost_saved;
    bool is_alive, is_known;
};

enum { CLIENTS = 3 };

static struct client clients[CLIENTS];

static void client_say(struct client *client, bool is_end)
{
    struct ledger_counts counts = {.recorded = client->recorded,
                                   .read = client->read,
                                   .in_lanes = client->recorded - client->read - client->dropped,
                                   .dropped[DROP_LANES_BUSY] = client->dropped};

    if (is_end)
        ledger_ended(ledger, client->process, &counts);
    else
        ledger_update(ledger, client->process, &counts);
}

static void client_step(struct client *client, unsigned *seed)
{
    uint64_t unread = client->recorded - client->read - client->dropped;

    if (!client->is_alive) {
        static const char *const names[] = {"a", "b", "c", "d", "e"};
        if (client->process)
            process_free(client->process);
        *client = (struct client){
            .process = process_of(names[rand_r(seed) % 5], 1 + (uint32_t)rand_r(seed) % 1000),
            .is_alive = true,
        };
        ledger_client(ledger, client->process);
        return;
    }
    client->recorded += (uint64_t)rand_r(seed) % 100;
    if (rand_r(seed) % 5 == 0) {
        client->recorded += 3;
        client->dropped += 3;
    }
    if (unread && rand_r(seed) % 2)
        client->read += (uint64_t)rand_r(seed) % (unread + 1);
    if (client->recorded - client->read - client->dropped > 0 && rand_r(seed) % 20 == 0) {
        ledger_lost(ledger, client->process); /* read, and no memory to count it */
        client->read++;
        client->lost++;
    }
    if (rand_r(seed) % 15 == 0) {
        client->read = client->recorded - client->dropped;
        client_say(client, true);
        client->is_alive = false;
    }
}

/* By service, as the points say. */
struct service_sums {
    const struct attributes *resource;
    int64_t recorded, exported;
};

static void expect_points(const struct snapshot *snapshot, struct service_sums sums[8])
{
    for (uint32_t r = 0; r < snapshot->resource_count; r++) {
        const struct resource_metrics *metrics = &snapshot->resources[r];
        const struct metric_points *dropped = metric_in(metrics, METRIC_LEDGER_DROPPED);
        int64_t recorded = metric_in(metrics, METRIC_LEDGER_RECORDED)->points[0].value.integer;
        int64_t exported = metric_in(metrics, METRIC_LEDGER_EXPORTED)->points[0].value.integer;
        int64_t rest = recorded - exported -
                       metric_in(metrics, METRIC_LEDGER_BUFFERED)->points[0].value.integer;
        for (uint32_t i = 0; dropped && i < dropped->point_count; i++)
            rest -= dropped->points[i].value.integer;
        assert_int_equal(rest, 0);
        assert_int_equal(metric_in(metrics, METRIC_LEDGER_IMBALANCE)->points[0].value.integer, 0);
        struct service_sums *sum = sums;
        while (sum->resource && !attributes_equal(sum->resource, metrics->resource))
            sum++;
        if (!sum->resource)
            sum->resource = attributes_ref(metrics->resource);
        assert_true(recorded >= sum->recorded); /* counters that never step back */
        assert_true(exported >= sum->exported);
        sum->recorded = recorded;
        sum->exported = exported;
    }
}

/* Clients come, record, end and are folded; snapshots leave and arrive; the agent is killed, now
 * and then with a client. Nothing is ever out of balance. */
static void nothing_is_ever_out_of_balance(void **state)
{
    struct service_sums sums[8] = {{0}};
    unsigned seed = 19;
    uint64_t marked = 0, arrived = 0, ended = 0, lost_segments = 0;
    (void)state;

    opts.rows_max = 6;
    opts.services_max = 8;
    ledger_free(ledger);
    assert_int_equal(ledger_new(&opts, now_ns, &ledger), 0);
    memset(clients, 0, sizeof(clients));
    for (int step = 0; step < 20000; step++) {
        struct client *client = &clients[rand_r(&seed) % CLIENTS];
        ended += client->process && !client->is_alive;
        client_step(client, &seed);
        if (rand_r(&seed) % 4 == 0) { /* a checkpoint, as the pipeline takes it */
            for (size_t i = 0; i < CLIENTS; i++) {
                if (clients[i].is_alive)
                    client_say(&clients[i], false);
            }
            ledger_mark(ledger, generation + 1);
            marked = generation + 1;
            const struct snapshot *CLEANUP(snapshot_unrefp) snapshot = commit();
            expect_points(snapshot, sums);
            for (size_t i = 0; i < CLIENTS; i++) {
                clients[i].read_saved = clients[i].read;
                clients[i].lost_saved = clients[i].lost;
                clients[i].is_known = clients[i].process != NULL;
            }
        }
        if (marked > arrived && rand_r(&seed) % 6 == 0) {
            arrived += 1 + (uint64_t)rand_r(&seed) % (marked - arrived);
            ledger_exported(ledger, arrived);
        }
        if (rand_r(&seed) % 150 == 0) {
            restart();
            for (size_t i = 0; i < CLIENTS; i++) {
                if (!clients[i].process)
                    continue;
                if (!clients[i].is_alive || rand_r(&seed) % 3 == 0) { /* it died, too */
                    clients[i].is_alive = false;
                    continue;
                }
                clients[i].read = clients[i].read_saved;
                clients[i].lost = clients[i].lost_saved;
                ledger_client(ledger, clients[i].process);
                client_say(&clients[i], false);
            }
            ledger_close_absent(ledger);
        }
        for (size_t i = 0; i < CLIENTS; i++) {
            if (clients[i].is_alive)
                client_say(&clients[i], false);
        }
        const struct copy *copy = rows_now(); /* checks each row's identity */
        for (size_t i = 0; i < copy->count; i++) {
            assert_int_equal(copy->rows[i].imbalance, 0);
            assert_true(copy->rows[i].exported <= copy->rows[i].recorded);
            assert_true(copy->rows[i].read <= copy->rows[i].recorded);
            lost_segments += copy->rows[i].dropped[DROP_SEGMENT_LOST] > 0;
        }
        assert_true(copy->count <= 6 + 8);
    }
    assert_true(ended > 200);
    assert_true(lost_segments > 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        if (clients[i].process)
            process_free(clients[i].process);
    }
    for (size_t i = 0; i < 8; i++)
        attributes_unref(sums[i].resource);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(events_go_from_lane_to_exported),
        TEST(the_newest_mark_stays_when_there_are_many),
        TEST(what_memory_could_not_count_is_dropped),
        TEST(imbalance_is_shown),
        TEST(points_sum_a_service),
        TEST(the_ended_are_folded_the_oldest_first),
        TEST(all_alive_are_kept),
        TEST(folded_ones_arrive),
        TEST(the_absent_are_closed),
        TEST(an_absent_one_may_return),
        TEST(freezes_write_what_changed),
        TEST(services_past_the_limit_add_up),
        TEST(broken_rows_are_not_there),
        TEST(nothing_is_ever_out_of_balance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
