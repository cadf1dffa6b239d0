/* The store thread: commits off the loop, answered on it, in order; and its end. */
#include "store_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>

#include "agent/store/checkpoint.h"
#include "base/cleanup.h"

static uv_loop_t loop;
static struct checkpoint *checkpoint;
static pthread_t loop_thread;

static struct {
    int count, result;
    size_t rows;
    uint64_t duration_ns;
    char error[256];
} done;

/* Asked for more from inside done. */
static int commits_left;

static void commit_value(const char *key, int value)
{
    struct rows rows;
    char text[16];

    rows_init(&rows, 1 << 20);
    (void)snprintf(text, sizeof(text), "%d", value);
    rows_put(&rows, ROWS_SERIES, view_from(key), view_from(text));
    checkpoint_commit(checkpoint, &rows);
    assert_int_equal(rows.count, 0);
    assert_int_equal(rows.bytes.length, 0);
    rows_deinit(&rows);
}

static void on_done(void *userdata, int result, const char *error, const struct rows *rows,
                    uint64_t duration_ns)
{
    assert_ptr_equal(userdata, &done);
    assert_true(pthread_equal(pthread_self(), loop_thread));
    done.count++;
    done.result = result;
    done.rows = rows->count;
    done.duration_ns = duration_ns;
    (void)snprintf(done.error, sizeof(done.error), "%s", error);
    if (commits_left > 0)
        commit_value("counter", commits_left--);
}

static void begin(bool with_file)
{
    struct database *database = NULL;
    char note[512];

    memset(&done, 0, sizeof(done));
    commits_left = 0;
    loop_thread = pthread_self();
    assert_int_equal(uv_loop_init(&loop), 0);
    if (with_file)
        assert_int_equal(database_open(file, &database, note, sizeof(note)), 0);
    assert_int_equal(checkpoint_new(&loop, database, on_done, &done, &checkpoint), 0);
}

static void end(void)
{
    checkpoint = checkpoint_close(checkpoint);
    assert_null(checkpoint);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void await(int count)
{
    while (done.count < count)
        (void)uv_run(&loop, UV_RUN_ONCE);
}

struct loaded {
    int rows, value;
};

static void take(void *userdata, const struct row *row)
{
    struct loaded *loaded = userdata;
    char text[16];

    (void)snprintf(text, sizeof(text), "%.*s", (int)row->value.length, row->value.bytes);
    loaded->value = atoi(text);
    loaded->rows++;
}

static struct loaded load(void)
{
    struct database *CLEANUP(database_closep) database = NULL;
    struct loaded loaded = {0, 0};
    char note[512];

    assert_int_equal(database_open(file, &database, note, sizeof(note)), 0);
    assert_string_equal(note, "");
    assert_int_equal(database_load(database, take, &loaded), 0);
    return loaded;
}

static void commits_are_answered_later_on_the_loop(void **state)
{
    (void)state;
    begin(true);
    commit_value("k", 42);
    assert_int_equal(done.count, 0); /* never from inside */
    await(1);
    assert_int_equal(done.result, 0);
    assert_int_equal(done.rows, 1);
    assert_true(done.duration_ns > 0);
    assert_string_equal(done.error, "");
    end();
    assert_int_equal(done.count, 1);
    assert_int_equal(load().value, 42);
}

static void commits_happen_in_order(void **state)
{
    (void)state;
    begin(true);
    commits_left = 200;
    commit_value("counter", 201);
    await(201);
    end();
    assert_int_equal(load().rows, 1);
    assert_int_equal(load().value, 1);
}

static void count_turn(uv_timer_t *timer)
{
    (*(int *)timer->data)++;
}

/* While somebody else has the file locked the commit waits, and the loop does not. */
static void the_loop_runs_on_meanwhile(void **state)
{
    sqlite3 *other = NULL;
    uv_timer_t timer;
    int turns = 0;
    (void)state;

    begin(true);
    assert_int_equal(sqlite3_open(file, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    commit_value("k", 7);
    assert_int_equal(uv_timer_init(&loop, &timer), 0);
    timer.data = &turns;
    assert_int_equal(uv_timer_start(&timer, count_turn, 1, 1), 0);
    while (turns < 20)
        (void)uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(done.count, 0);
    assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    await(1);
    assert_int_equal(done.result, 0);
    uv_close((uv_handle_t *)&timer, NULL);
    end();
    assert_int_equal(load().value, 7);
}

static void empty_rows_touch_no_file(void **state)
{
    struct stat before, after;
    struct rows rows;
    char wal[140];
    (void)state;

    begin(true);
    commit_value("k", 1);
    await(1);
    (void)snprintf(wal, sizeof(wal), "%s-wal", file);
    assert_int_equal(stat(wal, &before), 0);
    rows_init(&rows, 1 << 20);
    checkpoint_commit(checkpoint, &rows);
    assert_int_equal(done.count, 1);
    await(2);
    assert_int_equal(done.result, 0);
    assert_int_equal(done.duration_ns, 0);
    assert_int_equal(stat(wal, &after), 0);
    assert_memory_equal(&before.st_mtim, &after.st_mtim, sizeof(before.st_mtim));
    assert_int_equal(before.st_size, after.st_size);
    end();
}

static void without_a_file_all_succeeds(void **state)
{
    (void)state;
    begin(false);
    commits_left = 5;
    commit_value("counter", 6);
    assert_int_equal(done.count, 0);
    await(6);
    assert_int_equal(done.result, 0);
    assert_int_equal(done.rows, 1);
    end();
    assert_int_equal(files_with("checkpoint", NULL), 0);
}

static void rows_without_memory_fail(void **state)
{
    struct rows rows;
    (void)state;

    for (int with_file = 0; with_file < 2; with_file++) {
        begin(with_file != 0);
        rows_init(&rows, 20);
        rows_put(&rows, ROWS_SERIES, VIEW_LITERAL("k"), VIEW_LITERAL("v"));
        rows_put(&rows, ROWS_SERIES, VIEW_LITERAL("long"), VIEW_LITERAL("longer than that"));
        assert_true(rows.bytes.failed);
        checkpoint_commit(checkpoint, &rows);
        assert_false(rows.bytes.failed);
        await(1);
        assert_int_equal(done.result, -ENOMEM);
        assert_int_equal(done.rows, 1); /* those that fit can be looked at */
        assert_string_not_equal(done.error, "");
        end();
    }
    assert_int_equal(load().rows, 0);
}

/* Closing waits for what is under way, and says no more. */
static void closing_finishes_a_commit(void **state)
{
    (void)state;
    for (int i = 1; i <= 20; i++) {
        begin(true);
        commit_value("k", i);
        end();
        assert_int_equal(done.count, 0);
        assert_int_equal(load().value, i);
    }
    for (int i = 0; i < 20; i++) { /* and one that was never used */
        begin(i % 2 == 0);
        end();
    }
    assert_null(checkpoint_close(NULL));
}

/* No room on the disk: said in SQLite's words, with the rows, and the next one may fit. */
static void failures_have_words(void **state)
{
    struct rlimit before, tight;
    struct rows rows;
    char *CLEANUP(freep) big = calloc(1, 600000);
    (void)state;

    begin(true);
    commit_value("k", 1);
    await(1);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = before;
    tight.rlim_cur = 300000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    rows_init(&rows, 1 << 20);
    rows_put(&rows, ROWS_SERIES, VIEW_LITERAL("k"), VIEW_LITERAL("2"));
    rows_put(&rows, ROWS_SERIES, VIEW_LITERAL("big"), (struct view){big, 600000});
    checkpoint_commit(checkpoint, &rows);
    await(2);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(done.result < 0);
    assert_int_equal(done.rows, 2);
    assert_string_not_equal(done.error, "");
    commit_value("k", 3);
    await(3);
    assert_int_equal(done.result, 0);
    assert_string_equal(done.error, "");
    end();
    assert_int_equal(load().rows, 1);
    assert_int_equal(load().value, 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(commits_are_answered_later_on_the_loop),
        TEST(commits_happen_in_order),
        TEST(the_loop_runs_on_meanwhile),
        TEST(empty_rows_touch_no_file),
        TEST(without_a_file_all_succeeds),
        TEST(rows_without_memory_fail),
        TEST(closing_finishes_a_commit),
        TEST(failures_have_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
