/* The API's table: bounds, who leaves into `other`, texts, and what a restart gives back. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

static struct world world;
static struct process *shop;

static int setup(void **state)
{
    (void)state;
    world_init(&world, &(struct aggregate_opts){.statements_max = 5});
    shop = process_of("shop", 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    shop = process_free(shop);
    world_deinit(&world);
    return 0;
}

static void call(uint64_t fingerprint, uint64_t duration_ns)
{
    call_observe(&world, shop,
                 &(struct call){.fingerprint = fingerprint, .duration_ns = duration_ns, .rows = 2});
}

enum { TABLE_MAX = 64 };

/* A copy of the table; texts are cut. */
struct table {
    size_t count;
    struct {
        struct statement_row row;
        char text[64], summary[64], pool[64], service[64];
    } items[TABLE_MAX];
};

static void copy_text(char *ret, struct view text)
{
    (void)snprintf(ret, 64, "%.*s", (int)text.length, text.bytes ? text.bytes : "");
}

static void take(void *userdata, const struct statement_row *row)
{
    struct table *table = userdata;

    assert_true(table->count < TABLE_MAX);
    table->items[table->count].row = *row;
    copy_text(table->items[table->count].text, row->text);
    copy_text(table->items[table->count].summary, row->summary);
    copy_text(table->items[table->count].pool, row->pool);
    copy_text(table->items[table->count].service, row->service);
    table->count++;
}

static const struct table *table_now(void)
{
    static struct table table;

    table.count = 0;
    aggregate_statements(world.aggregate, take, &table);
    return &table;
}

static const struct statement_row *row_of(const struct table *table, uint64_t fingerprint)
{
    for (size_t i = 0; i < table->count; i++) {
        if (table->items[i].row.fingerprint == fingerprint)
            return &table->items[i].row;
    }
    return NULL;
}

static void calls_errors_rows_and_times_are_counted(void **state)
{
    const struct statement_row *row;
    (void)state;

    for (uint64_t i = 1; i <= 100; i++)
        call(1, i * SECOND / 100);
    call_observe(&world, shop,
                 &(struct call){.fingerprint = 1,
                                .duration_ns = 3 * SECOND,
                                .rows = ROWS_UNKNOWN,
                                .failure = FAILURE_SQLSTATE,
                                .sqlstate = "40001"});
    call_observe(&world, shop,
                 &(struct call){.fingerprint = 1,
                                .duration_ns = SECOND,
                                .rows = ROWS_UNKNOWN,
                                .failure = FAILURE_SQLSTATE,
                                .sqlstate = "01000"}); /* a warning is no error */
    row = row_of(table_now(), 1);
    assert_int_equal(row->calls, 102);
    assert_int_equal(row->errors, 1);
    assert_int_equal(row->rows, 200);
    assert_true(fabs(row->total_seconds - 54.5) < 1e-9);
    assert_true(row->max_seconds == 3);
    assert_true(fabs(row->p50_seconds - 0.51) <= 0.01 * 0.51);
    assert_true(fabs(row->p95_seconds - 0.97) <= 0.01 * 0.97);
    assert_true(row->p99_seconds <= row->max_seconds);
}

static void rows_say_where_and_what(void **state)
{
    uint64_t target = target_add(&world, "main\nshopdb\ndb\n5432");
    (void)state;

    assert_int_equal(names_add(world.names, NAME_STATEMENT, 7, 0, VIEW_LITERAL("DELETE FROM a")),
                     0);
    call_observe(&world, shop, &(struct call){.target = target, .fingerprint = 7});
    call_observe(&world, shop, &(struct call){.fingerprint = 7}); /* elsewhere: a row of its own */
    const struct table *table = table_now();
    assert_int_equal(table->count, 2);
    assert_string_equal(table->items[1].text, "DELETE FROM a");
    assert_string_equal(table->items[1].summary, "DELETE");
    assert_string_equal(table->items[1].pool, "main");
    assert_string_equal(table->items[1].service, "shop");
    assert_string_equal(table->items[0].pool, "");
}

static void the_one_idle_longest_leaves_into_other(void **state)
{
    (void)state;
    for (uint64_t fingerprint = 1; fingerprint <= 5; fingerprint++)
        call(fingerprint, fingerprint * SECOND);
    call(1, SECOND); /* now the second is idle longest */
    assert_null(row_of(table_now(), 0));
    call(6, SECOND);
    const struct table *table = table_now();
    assert_int_equal(table->count, 6);
    assert_null(row_of(table, 2));
    assert_non_null(row_of(table, 1));
    assert_int_equal(row_of(table, 0)->calls, 1);
    assert_int_equal(row_of(table, 0)->rows, 2);
    assert_true(row_of(table, 0)->max_seconds == 2);
    assert_int_equal(aggregate_stats(world.aggregate).evicted_statements, 1);
    assert_int_equal(aggregate_stats(world.aggregate).statements, 5);
    call(2, SECOND); /* begins anew; the third leaves */
    assert_int_equal(row_of(table_now(), 2)->calls, 1);
    assert_null(row_of(table_now(), 3));
    assert_int_equal(row_of(table_now(), 0)->calls, 2);
}

struct totals {
    uint64_t calls, errors, rows;
    double seconds, max_seconds;
};

static struct totals totals_now(void)
{
    const struct table *table = table_now();
    struct totals totals = {0};

    for (size_t i = 0; i < table->count; i++) {
        const struct statement_row *row = &table->items[i].row;
        totals.calls += row->calls;
        totals.errors += row->errors;
        totals.rows += row->rows;
        totals.seconds += row->total_seconds;
        totals.max_seconds = fmax(totals.max_seconds, row->max_seconds);
    }
    return totals;
}

static void sums_stay_equal_to_all_calls(void **state)
{
    struct totals all = {0};
    unsigned seed = 5;
    (void)state;

    for (int i = 1; i <= 5000; i++) {
        struct call one = {.fingerprint = 1 + (uint64_t)rand_r(&seed) % 20,
                           .duration_ns = (uint64_t)rand_r(&seed) % SECOND,
                           .rows = (uint64_t)rand_r(&seed) % 9,
                           .failure = rand_r(&seed) % 10 ? FAILURE_NONE : FAILURE_TIMEOUT};
        call_observe(&world, shop, &one);
        all.calls++;
        all.errors += one.failure != FAILURE_NONE;
        all.rows += one.rows;
        all.seconds += (double)one.duration_ns / 1e9;
        all.max_seconds = fmax(all.max_seconds, (double)one.duration_ns / 1e9);
        if (i % 50)
            continue;
        snapshot_unref(world_commit(&world));
        if (i % 250 == 0)
            world_restart(&world);
        struct totals totals = totals_now();
        assert_int_equal(totals.calls, all.calls);
        assert_int_equal(totals.errors, all.errors);
        assert_int_equal(totals.rows, all.rows);
        assert_true(fabs(totals.seconds - all.seconds) < 1e-6);
        assert_true(totals.max_seconds == all.max_seconds);
        assert_true(aggregate_stats(world.aggregate).statements <= 5);
        assert_true(store_count(&world.store, ROWS_STATEMENTS) <= 6);
    }
    assert_true(row_of(table_now(), 0)->calls > 1000);
}

static void a_restart_gives_the_same_rows_and_texts(void **state)
{
    (void)state;
    assert_int_equal(names_add(world.names, NAME_STATEMENT, 1, 0, VIEW_LITERAL("SELECT $1")), 0);
    for (uint64_t fingerprint = 1; fingerprint <= 7; fingerprint++) {
        for (uint64_t i = 0; i < fingerprint; i++)
            call(fingerprint, (i + 1) * SECOND);
        call(1, SECOND);
    }
    struct table before = *table_now();
    snapshot_unref(world_commit(&world));
    world_restart(&world);
    const struct table *after = table_now();
    assert_int_equal(after->count, before.count);
    for (size_t i = 0; i < before.count; i++) {
        const struct statement_row *one = &before.items[i].row;
        const struct statement_row *other = row_of(after, one->fingerprint);
        assert_int_equal(one->calls, other->calls);
        assert_int_equal(one->rows, other->rows);
        assert_true(one->total_seconds == other->total_seconds);
        assert_true(one->max_seconds == other->max_seconds);
        assert_true(one->p50_seconds == other->p50_seconds);
        assert_true(one->p99_seconds == other->p99_seconds);
    }
    for (size_t i = 0; i < after->count; i++)
        assert_string_equal(after->items[i].text,
                            after->items[i].row.fingerprint == 1 ? "SELECT $1" : "");
    snapshot_unref(world_commit(&world));
    assert_int_equal(world.rows_written, 0);
}

static void who_leaves_leaves_the_disk(void **state)
{
    (void)state;
    for (uint64_t fingerprint = 1; fingerprint <= 5; fingerprint++) {
        assert_int_equal(
            names_add(world.names, NAME_STATEMENT, fingerprint, 0, VIEW_LITERAL("SELECT 1")), 0);
        call(fingerprint, SECOND);
    }
    snapshot_unref(world_commit(&world));
    assert_int_equal(store_count(&world.store, ROWS_STATEMENTS), 5);
    assert_int_equal(store_count(&world.store, ROWS_NAMES), 5);
    for (uint64_t fingerprint = 11; fingerprint <= 13; fingerprint++)
        call(fingerprint, SECOND);
    snapshot_unref(world_commit(&world));
    assert_int_equal(store_count(&world.store, ROWS_STATEMENTS), 6); /* and `other` */
    assert_int_equal(store_count(&world.store, ROWS_NAMES), 2);
}

/* A text that came after its statement's row is written when the row is. */
static void texts_may_come_late(void **state)
{
    (void)state;
    call(1, SECOND);
    snapshot_unref(world_commit(&world));
    assert_int_equal(store_count(&world.store, ROWS_NAMES), 0);
    assert_int_equal(names_add(world.names, NAME_STATEMENT, 1, 0, VIEW_LITERAL("SELECT 1")), 0);
    call(1, SECOND);
    snapshot_unref(world_commit(&world));
    assert_int_equal(store_count(&world.store, ROWS_NAMES), 1);
    call(1, SECOND);
    snapshot_unref(world_commit(&world));
    world_restart(&world);
    assert_string_equal(table_now()->items[0].text, "SELECT 1");
}

static void a_lower_bound_moves_the_rest_into_other(void **state)
{
    (void)state;
    for (uint64_t fingerprint = 1; fingerprint <= 5; fingerprint++)
        call(fingerprint, SECOND);
    snapshot_unref(world_commit(&world));
    world.opts.statements_max = 2;
    world_restart(&world);
    assert_int_equal(aggregate_stats(world.aggregate).statements, 2);
    assert_int_equal(totals_now().calls, 5);
    snapshot_unref(world_commit(&world));
    world_restart(&world);
    assert_int_equal(totals_now().calls, 5);
}

/* A row that breaks off anywhere is not there, `other` neither: no half of it is counted. */
static void broken_rows_are_not_there(void **state)
{
    (void)state;
    for (uint64_t fingerprint = 1; fingerprint <= 6; fingerprint++)
        call(fingerprint, SECOND);
    snapshot_unref(world_commit(&world));
    for (const struct store_row *row = world.store.first; row; row = row->next) {
        if (row->table != ROWS_STATEMENTS)
            continue;
        for (size_t length = 1; length < row->value.length; length++) {
            struct world other = world;
            assert_int_equal(aggregate_new(&other.opts, other.now_ns, &other.aggregate), 0);
            assert_int_equal(aggregate_restore(other.aggregate,
                                               &(struct row){ROWS_RESOURCES, other.store.first->key,
                                                             other.store.first->value}),
                             0);
            assert_int_equal(
                aggregate_restore(other.aggregate,
                                  &(struct row){row->table, row->key, {row->value.bytes, length}}),
                -EBADMSG);
            struct table table = {.count = 0};
            aggregate_statements(other.aggregate, take, &table);
            assert_int_equal(table.count, 0);
            assert_int_equal(aggregate_stats(other.aggregate).statements, 0);
            other.aggregate = aggregate_free(other.aggregate);
        }
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(calls_errors_rows_and_times_are_counted),
        TEST(rows_say_where_and_what),
        TEST(the_one_idle_longest_leaves_into_other),
        TEST(sums_stay_equal_to_all_calls),
        TEST(a_restart_gives_the_same_rows_and_texts),
        TEST(who_leaves_leaves_the_disk),
        TEST(texts_may_come_late),
        TEST(a_lower_bound_moves_the_rest_into_other),
        TEST(broken_rows_are_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
