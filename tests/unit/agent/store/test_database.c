/* The checkpoint's file: all or nothing, whatever file there was, and whenever it is killed. */
#include "store_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "agent/store/database.h"
#include "base/cleanup.h"

static struct database *open_good(void)
{
    struct database *database = NULL;
    char note[512];

    assert_int_equal(database_open(file, &database, note, sizeof(note)), 0);
    assert_string_equal(note, "");
    return database;
}

static void put(struct database *database, enum row_table table, const char *key, const char *value)
{
    struct rows CLEANUP(rows_deinit) rows;

    rows_init(&rows, 1 << 20);
    rows_put(&rows, table, view_from(key), view_from(value));
    assert_int_equal(database_commit(database, &rows), 0);
}

/* Rows as "table:key=value " in the order of loading. */
static void append_row(void *userdata, const struct row *row)
{
    buffer_format(userdata, "%d:%.*s=%.*s ", (int)row->table, (int)row->key.length, row->key.bytes,
                  (int)row->value.length, row->value.bytes);
}

static void expect_rows(struct database *database, const char *expected)
{
    struct buffer CLEANUP(buffer_deinit) text;

    buffer_init(&text, 1 << 20);
    assert_int_equal(database_load(database, append_row, &text), 0);
    assert_string_equal(text.bytes ? text.bytes : "", expected);
}

static void rows_are_put_replaced_and_deleted(void **state)
{
    struct database *CLEANUP(database_closep) database = open_good();
    struct rows CLEANUP(rows_deinit) rows;
    (void)state;

    expect_rows(database, "");
    rows_init(&rows, 1 << 20);
    rows_put(&rows, ROWS_SPANS, VIEW_LITERAL("s"), VIEW_LITERAL("1"));
    rows_put(&rows, ROWS_RESOURCES, VIEW_LITERAL("b"), VIEW_LITERAL("2"));
    rows_put(&rows, ROWS_RESOURCES, VIEW_LITERAL("a"), VIEW_LITERAL("3"));
    rows_put(&rows, ROWS_SERIES, VIEW_LITERAL("a"), VIEW_LITERAL("4"));
    rows_put(&rows, ROWS_SERIES, VIEW_LITERAL("gone"), VIEW_LITERAL("5"));
    rows_put(&rows, ROWS_SERIES, VIEW_LITERAL("a"), VIEW_LITERAL("six")); /* the last one wins */
    rows_put(&rows, ROWS_SERIES, VIEW_LITERAL("gone"), VIEW_LITERAL(""));
    rows_put(&rows, ROWS_POOLS, VIEW_LITERAL("never there"), VIEW_LITERAL(""));
    assert_int_equal(database_commit(database, &rows), 0);
    expect_rows(database, "1:a=3 1:b=2 2:a=six 8:s=1 ");
    put(database, ROWS_RESOURCES, "a", "");
    put(database, ROWS_SPANS, "s", "7");
    expect_rows(database, "1:b=2 2:a=six 8:s=7 ");
    database = database_close(database);
    database = open_good();
    expect_rows(database, "1:b=2 2:a=six 8:s=7 ");
}

static void count_bytes(void *userdata, const struct row *row)
{
    size_t *sum = userdata;

    for (size_t i = 0; i < row->value.length; i++)
        assert_int_equal(row->value.bytes[i], 0);
    assert_true(view_equal(row->key, (struct view){"\0\xff'", 3}));
    *sum += row->value.length;
}

static void keys_and_values_are_bytes(void **state)
{
    struct database *CLEANUP(database_closep) database = open_good();
    struct rows CLEANUP(rows_deinit) rows;
    char *CLEANUP(freep) zeros = calloc(1, 3000000);
    size_t sum = 0;
    (void)state;

    rows_init(&rows, 4 << 20);
    rows_put(&rows, ROWS_SERIES, (struct view){"\0\xff'", 3}, (struct view){zeros, 3000000});
    assert_int_equal(database_commit(database, &rows), 0);
    assert_int_equal(database_load(database, count_bytes, &sum), 0);
    assert_int_equal(sum, 3000000);
}

/* ---- files that are not ours ----------------------------------------------------------------- */

static void write_file(const char *path, const void *bytes, size_t length)
{
    FILE *out = fopen(path, "we");

    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, length, out), length);
    assert_int_equal(fclose(out), 0);
}

static size_t read_file(const char *path, char *ret, size_t size)
{
    FILE *in = fopen(path, "re");
    size_t length;

    assert_non_null(in);
    length = fread(ret, 1, size, in);
    (void)fclose(in);
    return length;
}

static void expect_foreign_rows(const char *path, int count)
{
    sqlite3_stmt *statement = NULL;
    sqlite3 *raw = NULL;

    assert_int_equal(sqlite3_open(path, &raw), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(raw, "SELECT count(*) FROM foreigners", -1, &statement, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(statement, 0), count);
    (void)sqlite3_finalize(statement);
    assert_int_equal(sqlite3_close(raw), SQLITE_OK);
}

/* Opens: the file is set aside, and a new one works. A file of @foreigners still has them (SQLite
 * may have noted its journal's mode in it); another one is as it was, byte for byte. */
static void expect_set_aside(const char *why, int foreigners)
{
    static char before[1 << 20], after[1 << 20];
    size_t length = read_file(file, before, sizeof(before));
    struct database *CLEANUP(database_closep) database = NULL;
    char note[512], aside[400], part[32];

    assert_int_equal(database_open(file, &database, note, sizeof(note)), 0);
    (void)snprintf(part, sizeof(part), "db.%s-", why);
    assert_non_null(strstr(note, why));
    assert_true(files_with(part, aside) >= 1);
    if (foreigners) {
        expect_foreign_rows(aside, foreigners);
    } else {
        assert_int_equal(read_file(aside, after, sizeof(after)), length);
        assert_memory_equal(before, after, length);
    }
    expect_rows(database, "");
    put(database, ROWS_SERIES, "k", "v");
    database = database_close(database);
    database = open_good();
    expect_rows(database, "2:k=v ");
}

static void random_bytes_are_set_aside(void **state)
{
    char bytes[9000];
    unsigned seed = 3;
    (void)state;

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)rand_r(&seed);
    write_file(file, bytes, sizeof(bytes));
    expect_set_aside("damaged", 0);
}

static void make_big(void)
{
    struct database *database = open_good();
    struct rows CLEANUP(rows_deinit) rows;
    char value[1000];

    memset(value, 'v', sizeof(value));
    rows_init(&rows, 1 << 20);
    for (int i = 0; i < 200; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "key-%d", i);
        rows_put(&rows, ROWS_SERIES, view_from(key), (struct view){value, sizeof(value)});
    }
    assert_int_equal(database_commit(database, &rows), 0);
    database_close(database); /* the log is moved into the file */
}

static void truncated_files_are_set_aside(void **state)
{
    struct stat status;
    (void)state;

    make_big();
    assert_int_equal(stat(file, &status), 0);
    assert_true(status.st_size > 100000);
    assert_int_equal(truncate(file, status.st_size / 2), 0);
    expect_set_aside("damaged", 0);
}

static void damaged_pages_are_set_aside(void **state)
{
    char junk[8192];
    int fd;
    (void)state;

    make_big();
    memset(junk, 0x5a, sizeof(junk));
    fd = open(file, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, junk, sizeof(junk), 16384), sizeof(junk));
    (void)close(fd);
    expect_set_aside("damaged", 0);
}

static void sql(const char *text)
{
    sqlite3 *raw = NULL;

    assert_int_equal(sqlite3_open(file, &raw), SQLITE_OK);
    assert_int_equal(sqlite3_exec(raw, text, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(raw), SQLITE_OK);
}

static void other_schemas_are_set_aside(void **state)
{
    (void)state;
    sql("CREATE TABLE rows (id INTEGER PRIMARY KEY); CREATE TABLE foreigners (name TEXT);"
        "INSERT INTO foreigners VALUES ('a'), ('b');");
    expect_set_aside("damaged", 2);
}

static void a_table_that_is_missing_is_damage(void **state)
{
    (void)state;
    sql("CREATE TABLE foreigners (id INTEGER); INSERT INTO foreigners VALUES (1);"
        "PRAGMA user_version = 1;");
    expect_set_aside("damaged", 1);
}

static void newer_versions_are_set_aside(void **state)
{
    struct database *database = open_good();
    (void)state;

    put(database, ROWS_SERIES, "from", "tomorrow");
    database_close(database);
    sql("PRAGMA user_version = 2;");
    expect_set_aside("newer", 0);
    assert_int_equal(files_with("damaged", NULL), 0);
}

static void an_empty_file_is_a_new_one(void **state)
{
    struct database *CLEANUP(database_closep) database = NULL;
    (void)state;

    write_file(file, "", 0);
    database = open_good();
    put(database, ROWS_SERIES, "k", "v");
    expect_rows(database, "2:k=v ");
}

/* ---- what cannot be opened or written -------------------------------------------------------- */

/* Runs @fn in a child that is no superuser, for whom modes mean nothing. 0: it holds. */
static int as_nobody(int (*fn)(void))
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
            _exit(99);
        _exit(fn());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int expect_refused(void)
{
    struct database *database = NULL;
    char note[512];
    int r = database_open(file, &database, note, sizeof(note));

    if (r != -EACCES && r != -EROFS)
        return 1;
    return database != NULL || note[0] == '\0' ? 2 : 0;
}

static void read_only_directories_are_an_error(void **state)
{
    (void)state;
    assert_int_equal(chmod(directory, 0555), 0);
    assert_int_equal(as_nobody(expect_refused), 0);
    assert_int_equal(chmod(directory, 0755), 0);
    /* With a good file in it, too: it is not taken for a damaged one. */
    database_close(open_good());
    assert_int_equal(chmod(file, 0444), 0);
    assert_int_equal(chmod(directory, 0555), 0);
    assert_int_equal(as_nobody(expect_refused), 0);
    assert_int_equal(chmod(directory, 0755), 0);
    assert_int_equal(files_with("damaged", NULL), 0);
}

static void no_directory_is_an_error(void **state)
{
    struct database *database = NULL;
    char note[512];
    (void)state;

    assert_int_equal(
        database_open("/nonexistent/weir/checkpoint.db", &database, note, sizeof(note)), -EACCES);
    assert_null(database);
    assert_string_not_equal(note, "");
}

static int fail_a_commit(void)
{
    struct database *database = open_good();
    struct rows rows;
    char *big = calloc(1, 600000);
    struct rlimit limit = {300000, 300000};

    (void)signal(SIGXFSZ, SIG_IGN);
    put(database, ROWS_SERIES, "a", "old");
    put(database, ROWS_POOLS, "p", "old");
    if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
        return 1;
    rows_init(&rows, 1 << 20);
    rows_put(&rows, ROWS_SERIES, VIEW_LITERAL("a"), VIEW_LITERAL("new"));
    rows_put(&rows, ROWS_POOLS, VIEW_LITERAL("p"), VIEW_LITERAL(""));
    rows_put(&rows, ROWS_SPANS, VIEW_LITERAL("big"), (struct view){big, 600000});
    if (database_commit(database, &rows) >= 0 || strlen(database_error(database)) == 0)
        return 2;
    expect_rows(database, "2:a=old 4:p=old ");
    put(database, ROWS_SERIES, "b", "small"); /* there is room for that, and nothing is stuck */
    expect_rows(database, "2:a=old 2:b=small 4:p=old ");
    rows_deinit(&rows);
    free(big);
    database_close(database);
    return 0;
}

/* No room for the whole: nothing of it is there, and the next one may fit. */
static void a_failed_commit_leaves_what_was(void **state)
{
    pid_t pid = fork();
    int status;
    (void)state;

    if (pid == 0)
        _exit(fail_a_commit());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    struct database *CLEANUP(database_closep) database = open_good();
    expect_rows(database, "2:a=old 2:b=small 4:p=old ");
}

/* ---- killed ---------------------------------------------------------------------------------- */

enum { ROWS_PER_COMMIT = 50 };

/* Commits numbered states forever: every row of a state has its number. Says each when it is done.
 */
static void commit_forever(int say)
{
    struct database *database = open_good();

    for (uint32_t number = 1;; number++) {
        struct rows rows;
        rows_init(&rows, 1 << 20);
        for (uint32_t i = 0; i < ROWS_PER_COMMIT; i++) {
            char value[600];
            memset(value, (int)(number & 0xff), sizeof(value));
            memcpy(value, &number, sizeof(number));
            rows_put(&rows, ROWS_SERIES, (struct view){(char *)&i, sizeof(i)},
                     (struct view){value, sizeof(value)});
        }
        if (database_commit(database, &rows) < 0 ||
            write(say, &number, sizeof(number)) != (ssize_t)sizeof(number))
            _exit(1);
        rows_deinit(&rows);
    }
}

struct seen {
    uint32_t number, rows;
};

static void take_number(void *userdata, const struct row *row)
{
    struct seen *seen = userdata;
    uint32_t number;

    memcpy(&number, row->value.bytes, sizeof(number));
    if (seen->rows++ == 0)
        seen->number = number;
    assert_int_equal(seen->number, number); /* all of one commit, nothing of another */
    assert_int_equal(row->value.length, 600);
}

static void a_kill_leaves_a_commit_as_a_whole(void **state)
{
    (void)state;
    for (int round = 0; round < 12; round++) {
        uint32_t number = 0, said = 0;
        struct seen seen = {0, 0};
        int pipes[2], status;
        pid_t pid;
        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            commit_forever(pipes[1]);
            _exit(0);
        }
        (void)close(pipes[1]);
        while (said < 20 + (uint32_t)round * 7 &&
               read(pipes[0], &number, sizeof(number)) == (ssize_t)sizeof(number))
            said = number;
        assert_int_equal(kill(pid, SIGKILL), 0);
        while (read(pipes[0], &number, sizeof(number)) == (ssize_t)sizeof(number))
            said = number;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        (void)close(pipes[0]);
        struct database *CLEANUP(database_closep) database = open_good();
        assert_int_equal(database_load(database, take_number, &seen), 0);
        assert_int_equal(seen.rows, ROWS_PER_COMMIT);
        assert_true(seen.number == said || seen.number == said + 1);
    }
    assert_int_equal(files_with("damaged", NULL), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(rows_are_put_replaced_and_deleted), TEST(keys_and_values_are_bytes),
        TEST(random_bytes_are_set_aside),        TEST(truncated_files_are_set_aside),
        TEST(damaged_pages_are_set_aside),       TEST(other_schemas_are_set_aside),
        TEST(a_table_that_is_missing_is_damage), TEST(newer_versions_are_set_aside),
        TEST(an_empty_file_is_a_new_one),        TEST(read_only_directories_are_an_error),
        TEST(no_directory_is_an_error),          TEST(a_failed_commit_leaves_what_was),
        TEST(a_kill_leaves_a_commit_as_a_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
