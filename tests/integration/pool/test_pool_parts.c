/* Answers in parts: rows one by one, several statements in one round trip, COPY. */
#include "statement_test.h"

static struct held held;

static int setup(void **state)
{
    struct weir_pool_opts opts = pool_opts("parts", 0, 1);

    (void)state;
    held = held_open(&opts, NULL);
    run(held.connection, "CREATE TABLE copied (a int, b text)");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    held_close(&held);
    return 0;
}

static bool is_good(void)
{
    return number(held.connection, "SELECT 5") == 5;
}

/* ---- streams --------------------------------------------------------------------------------- */

static struct weir_stream *stream_open(const char *sql, const struct weir_statement_opts *opts)
{
    struct weir_stream *stream = NULL;

    CHECK(weir_stream_open(held.connection, sql, opts, &stream, &error));
    return stream;
}

static long stream_value(struct weir_stream *stream)
{
    PGresult *row = NULL;
    long value;

    CHECK(weir_stream_next(stream, &row, &error));
    if (!row)
        return -1;
    assert_int_equal(PQresultStatus(row), PGRES_SINGLE_TUPLE);
    value = strtol(PQgetvalue(row, 0, 0), NULL, 10);
    PQclear(row);
    return value;
}

static void rows_one_by_one(void **state)
{
    struct weir_timing timing = {.size = sizeof(timing)};
    struct weir_statement_opts opts = {.size = sizeof(opts), .ret_timing = &timing};
    struct weir_stream *stream = stream_open("SELECT generate_series(1, 20000)", &opts);

    (void)state;
    for (long i = 1; i <= 20000; i++)
        assert_int_equal(stream_value(stream), i);
    assert_int_equal(stream_value(stream), -1);
    assert_int_equal(stream_value(stream), -1);
    assert_int_equal(timing.rows, 20000);
    assert_true(is_good()); /* before it is closed */
    weir_stream_close(stream);
    assert_true(is_good());
    weir_stream_close(NULL);
}

static void stream_prepared(void **state)
{
    static const char *const values[] = {"3"};
    struct weir_statement_opts opts = {
        .size = sizeof(opts), .is_prepared = 1, .count = 1, .values = values};
    struct weir_stream *stream;

    (void)state;
    for (int again = 0; again < 3; again++) {
        stream = stream_open("SELECT generate_series(1, $1::int)", &opts);
        for (long i = 1; i <= 3; i++)
            assert_int_equal(stream_value(stream), i);
        assert_int_equal(stream_value(stream), -1);
        weir_stream_close(stream);
        if (again == 1)
            run(held.connection, "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$");
    }
}

static void stream_closed_early(void **state)
{
    uint32_t pid = weir_connection_backend_pid(held.connection);
    struct weir_stream *stream;

    (void)state;
    for (int i = 0; i < 5; i++) {
        stream = stream_open("SELECT generate_series(1, 1000000000)", NULL);
        assert_int_equal(stream_value(stream), 1);
        weir_stream_close(stream);
        assert_true(is_good());
    }
    stream = stream_open("SELECT 1", NULL); /* nothing read of it */
    weir_stream_close(stream);
    assert_true(is_good());
    assert_int_equal(weir_connection_backend_pid(held.connection), pid);
}

static void stream_that_fails(void **state)
{
    struct weir_statement_opts opts = {.size = sizeof(opts), .timeout_ms = 100};
    struct weir_stream *stream =
        stream_open("SELECT 10 / (3 - i) FROM generate_series(1, 5) i", NULL);
    struct weir_error *error = NULL;
    PGresult *row = NULL;
    int r;

    (void)state;
    assert_int_equal(stream_value(stream), 5);
    assert_int_equal(stream_value(stream), 10);
    expect(weir_stream_next(stream, &row, &error), WEIR_ERROR_DATA, &error);
    assert_null(row);
    weir_stream_close(stream);
    assert_true(is_good());
    stream = stream_open("SELECT i, pg_sleep(i * 0.04) FROM generate_series(1, 100) i", &opts);
    do {
        PQclear(row);
        row = NULL;
        r = weir_stream_next(stream, &row, &error);
    } while (!r && row);
    expect(r, WEIR_ERROR_TIMEOUT, &error);
    weir_stream_close(stream);
    held_again(&held);
    assert_true(is_good());
}

static void one_thing_at_a_time(void **state)
{
    struct weir_stream *stream = stream_open("SELECT generate_series(1, 1000000)", NULL), *second;
    struct weir_error *error = NULL;
    PGresult *row = NULL;

    (void)state;
    assert_int_equal(stream_value(stream), 1);
    refused(held.connection, "SELECT 1", NULL, WEIR_ERROR_USAGE, "");
    expect(weir_stream_open(held.connection, "SELECT 1", NULL, &second, &error), WEIR_ERROR_USAGE,
           &error);
    assert_int_equal(stream_value(stream), 2);
    /* Released while it is open: told, and harmless. */
    held_again(&held);
    expect(weir_stream_next(stream, &row, &error), WEIR_ERROR_USAGE, &error);
    assert_true(is_good());
    weir_stream_close(stream);
    assert_true(is_good());
}

/* ---- pipelines ------------------------------------------------------------------------------- */

static struct weir_pipeline *pipeline_open(void)
{
    struct weir_pipeline *pipeline = NULL;

    CHECK(weir_pipeline_open(held.connection, 0, &pipeline, &error));
    return pipeline;
}

static void add(struct weir_pipeline *pipeline, const char *sql)
{
    CHECK(weir_pipeline_add(pipeline, sql, NULL, &error));
}

static long pipeline_value(struct weir_pipeline *pipeline)
{
    PGresult *result = NULL;
    long value = -2;

    CHECK(weir_pipeline_next(pipeline, &result, &error));
    if (!result)
        return -1;
    if (PQntuples(result))
        value = strtol(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    return value;
}

static void pipeline_fails(struct weir_pipeline *pipeline, enum weir_error_category category)
{
    struct weir_error *error = NULL;
    PGresult *result = NULL;

    expect(weir_pipeline_next(pipeline, &result, &error), category, &error);
    assert_null(result);
}

static void several_in_one_round_trip(void **state)
{
    struct weir_pipeline *pipeline = pipeline_open();

    (void)state;
    for (int part = 0; part < 3; part++) {
        for (int i = 0; i < 10; i++) {
            char sql[64];
            (void)snprintf(sql, sizeof(sql), "SELECT %d", part * 10 + i);
            add(pipeline, sql);
        }
        CHECK(weir_pipeline_sync(pipeline, &error));
    }
    for (long i = 0; i < 30; i++)
        assert_int_equal(pipeline_value(pipeline), i);
    assert_int_equal(pipeline_value(pipeline), -1);
    add(pipeline, "SELECT 99");
    CHECK(weir_pipeline_sync(pipeline, &error));
    assert_int_equal(pipeline_value(pipeline), 99);
    weir_pipeline_close(pipeline);
    assert_true(is_good());
    weir_pipeline_close(pipeline_open());
    weir_pipeline_close(NULL);
    assert_true(is_good());
}

static void pipeline_with_an_error(void **state)
{
    struct weir_pipeline *pipeline;
    struct weir_error *why = NULL;
    PGresult *result = NULL;

    (void)state;
    run(held.connection, "CREATE TABLE piped (a int PRIMARY KEY)");
    pipeline = pipeline_open();
    add(pipeline, "INSERT INTO piped VALUES (1)");
    CHECK(weir_pipeline_sync(pipeline, &error));
    add(pipeline, "INSERT INTO piped VALUES (2)");
    add(pipeline, "INSERT INTO piped VALUES (1)");
    add(pipeline, "INSERT INTO piped VALUES (3)");
    CHECK(weir_pipeline_sync(pipeline, &error));
    add(pipeline, "INSERT INTO piped VALUES (4)");
    expect(weir_pipeline_next(NULL, &result, &why), WEIR_ERROR_USAGE, &why);
    assert_int_equal(pipeline_value(pipeline), -2);
    assert_int_equal(pipeline_value(pipeline), -2);
    pipeline_fails(pipeline, WEIR_ERROR_CONSTRAINT);
    pipeline_fails(pipeline, WEIR_ERROR_TRANSACTION);
    pipeline_fails(pipeline, WEIR_ERROR_USAGE); /* not synced yet */
    CHECK(weir_pipeline_sync(pipeline, &error));
    assert_int_equal(pipeline_value(pipeline), -2);
    assert_int_equal(pipeline_value(pipeline), -1);
    weir_pipeline_close(pipeline);
    /* The part with the failure is undone as a whole. */
    assert_int_equal(number(held.connection, "SELECT sum(a) FROM piped"), 5);
    run(held.connection, "DROP TABLE piped");
}

static void pipeline_prepared(void **state)
{
    struct weir_statement_opts opts = {.size = sizeof(opts), .is_prepared = 1};
    struct weir_pipeline *pipeline;

    (void)state;
    run(held.connection, "DEALLOCATE ALL");
    for (int again = 0; again < 3; again++) {
        pipeline = pipeline_open();
        for (int i = 0; i < 5; i++)
            CHECK(weir_pipeline_add(pipeline, "SELECT 21", &opts, &error));
        CHECK(weir_pipeline_sync(pipeline, &error));
        CHECK(weir_pipeline_add(pipeline, "SELEC 22", &opts, &error));
        CHECK(weir_pipeline_add(pipeline, "SELECT 23", &opts, &error));
        CHECK(weir_pipeline_sync(pipeline, &error));
        CHECK(weir_pipeline_add(pipeline, "SELECT 24", &opts, &error));
        CHECK(weir_pipeline_sync(pipeline, &error));
        for (int i = 0; i < 5; i++)
            assert_int_equal(pipeline_value(pipeline), 21);
        pipeline_fails(pipeline, WEIR_ERROR_SYNTAX);
        pipeline_fails(pipeline, WEIR_ERROR_TRANSACTION);
        assert_int_equal(pipeline_value(pipeline), 24);
        weir_pipeline_close(pipeline);
    }
    assert_int_equal(number(held.connection, "SELECT count(*) FROM pg_prepared_statements"), 2);
}

/* More than any buffer between the two holds, in both directions at once. */
static void pipeline_of_many(void **state)
{
    enum { STATEMENTS = 3000 };
    struct weir_pipeline *pipeline = pipeline_open();
    char *sql = malloc(4096);

    (void)state;
    (void)snprintf(sql, 4096, "SELECT length(repeat('x', 2000)), '%03000d', repeat('y', 3000)", 7);
    for (int i = 0; i < STATEMENTS; i++)
        add(pipeline, sql);
    CHECK(weir_pipeline_sync(pipeline, &error));
    for (int i = 0; i < STATEMENTS; i++)
        assert_int_equal(pipeline_value(pipeline), 2000);
    assert_int_equal(pipeline_value(pipeline), -1);
    weir_pipeline_close(pipeline);
    free(sql);
    assert_true(is_good());
}

/* Results that nobody takes: the statements are executed all the same. Statements that nobody
 * synced: they are not. */
static void pipeline_left_alone(void **state)
{
    uint32_t pid = weir_connection_backend_pid(held.connection);
    struct weir_pipeline *pipeline;

    (void)state;
    pipeline = pipeline_open();
    add(pipeline, "INSERT INTO copied VALUES (71)");
    add(pipeline, "SELECT pg_sleep(0.05)");
    CHECK(weir_pipeline_sync(pipeline, &error));
    weir_pipeline_close(pipeline);
    assert_int_equal(number(held.connection, "SELECT count(*) FROM copied WHERE a = 71"), 1);
    assert_int_equal(weir_connection_backend_pid(held.connection), pid);

    pipeline = pipeline_open();
    add(pipeline, "INSERT INTO copied VALUES (72)");
    weir_pipeline_close(pipeline);
    refused(held.connection, "SELECT 1", NULL, WEIR_ERROR_CONNECTION, "");
    held_again(&held);
    assert_int_equal(number(held.connection, "SELECT count(*) FROM copied WHERE a = 72"), 0);

    pipeline = pipeline_open();
    add(pipeline, "SELECT 1");
    refused(held.connection, "SELECT 1", NULL, WEIR_ERROR_USAGE, "");
    CHECK(weir_pipeline_sync(pipeline, &error));
    held_again(&held); /* released while it is open */
    pipeline_fails(pipeline, WEIR_ERROR_USAGE);
    weir_pipeline_close(pipeline);
    assert_true(is_good());
}

static void pipeline_in_time(void **state)
{
    struct weir_pipeline *pipeline = NULL;
    struct weir_error *why = NULL;
    PGresult *result = NULL;
    int r;

    (void)state;
    CHECK(weir_pipeline_open(held.connection, 100, &pipeline, &error));
    add(pipeline, "SELECT 1");
    add(pipeline, "SELECT pg_sleep(30)");
    add(pipeline, "SELECT 2");
    CHECK(weir_pipeline_sync(pipeline, &error));
    assert_int_equal(pipeline_value(pipeline), 1);
    pipeline_fails(pipeline, WEIR_ERROR_TIMEOUT);
    /* Not executed, or never to be known if the server was too slow to say so. */
    r = weir_pipeline_next(pipeline, &result, &why);
    assert_true(r == WEIR_ERROR_TRANSACTION || r == WEIR_ERROR_TIMEOUT);
    expect(r, (enum weir_error_category)r, &why);
    weir_pipeline_close(pipeline);
    held_again(&held);
    assert_true(is_good());
}

static void pipeline_with_transactions(void **state)
{
    struct weir_pipeline *pipeline = pipeline_open();

    (void)state;
    add(pipeline, "BEGIN");
    add(pipeline, "SELECT 1");
    CHECK(weir_pipeline_sync(pipeline, &error));
    assert_int_equal(pipeline_value(pipeline), -2);
    assert_int_equal(pipeline_value(pipeline), 1);
    assert_int_equal(pipeline_value(pipeline), -1);
    weir_pipeline_close(pipeline);
    assert_int_equal(weir_transaction_depth(held.connection), 1);
    pipeline = pipeline_open();
    add(pipeline, "COMMIT");
    CHECK(weir_pipeline_sync(pipeline, &error));
    assert_int_equal(pipeline_value(pipeline), -2);
    weir_pipeline_close(pipeline);
    assert_int_equal(weir_transaction_depth(held.connection), 0);
}

static void pipeline_that_is_lost(void **state)
{
    struct weir_pipeline *pipeline = pipeline_open();
    struct weir_error *why = NULL;
    PGresult *result = NULL;
    int r;

    (void)state;
    add(pipeline, "SELECT 1");
    add(pipeline, "SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(30)");
    add(pipeline, "SELECT 2");
    CHECK(weir_pipeline_sync(pipeline, &error));
    assert_int_equal(pipeline_value(pipeline), 1);
    pipeline_fails(pipeline, WEIR_ERROR_CONNECTION);
    /* Not executed since the one before it failed, or since the connection is gone: whichever libpq
     * finds out first. */
    r = weir_pipeline_next(pipeline, &result, &why);
    assert_true(r == WEIR_ERROR_CONNECTION || r == WEIR_ERROR_TRANSACTION);
    expect(r, (enum weir_error_category)r, &why);
    assert_int_equal(pipeline_value(pipeline), -1);
    weir_pipeline_close(pipeline);
    refused(held.connection, "SELECT 1", NULL, WEIR_ERROR_CONNECTION, "");
    held_again(&held);
    assert_true(is_good());
}

/* ---- COPY ------------------------------------------------------------------------------------ */

static struct weir_copy *copy_open(const char *sql)
{
    struct weir_copy *copy = NULL;

    CHECK(weir_copy_open(held.connection, sql, NULL, &copy, &error));
    return copy;
}

static void write_all(struct weir_copy *copy, const char *text)
{
    CHECK(weir_copy_write(copy, text, strlen(text), &error));
}

enum { COPIED = 200000 };

static void copy_in_and_out(void **state)
{
    struct weir_copy *copy = copy_open("COPY copied FROM STDIN");
    uint64_t rows = 0, bytes = 0, lines = 0;
    char line[64];

    (void)state;
    for (int i = 0; i < COPIED; i++) {
        (void)snprintf(line, sizeof(line), "%d\tthe row of number %d\n", 1000 + i, i);
        write_all(copy, line);
    }
    CHECK(weir_copy_finish(copy, &rows, &error));
    assert_int_equal(rows, COPIED);
    assert_int_equal(number(held.connection, "SELECT count(*) FROM copied WHERE a >= 1000"),
                     COPIED);

    copy = copy_open("COPY (SELECT * FROM copied WHERE a >= 1000) TO STDOUT");
    for (;;) {
        const char *piece;
        size_t length;
        CHECK(weir_copy_read(copy, &piece, &length, &error));
        if (!length)
            break;
        bytes += length;
        lines += piece[length - 1] == '\n';
    }
    CHECK(weir_copy_finish(copy, &rows, &error));
    assert_int_equal(lines, COPIED);
    assert_int_equal(rows, COPIED);
    assert_in_range(bytes, COPIED * 20u, COPIED * 60u);
    assert_true(is_good());
}

static void copy_large_pieces(void **state)
{
    size_t size = 20u << 20;
    struct weir_copy *copy = copy_open("COPY copied (b) FROM STDIN");
    char *text = malloc(size);
    uint64_t rows = 0;

    (void)state;
    memset(text, 'x', size);
    text[size - 1] = '\n';
    CHECK(weir_copy_write(copy, text, size, &error));
    CHECK(weir_copy_finish(copy, &rows, &error));
    free(text);
    assert_int_equal(rows, 1);
    assert_int_equal(number(held.connection, "SELECT max(length(b)) FROM copied"), size - 1);
    run(held.connection, "TRUNCATE copied");
}

static void copy_given_up(void **state)
{
    struct weir_copy *copy = copy_open("COPY copied FROM STDIN");
    struct weir_error *why = NULL;
    const char *piece;
    size_t length;
    uint64_t rows;

    (void)state;
    write_all(copy, "1\tone\n");
    weir_copy_abort(copy, "changed my mind");
    assert_true(is_good());
    assert_int_equal(number(held.connection, "SELECT count(*) FROM copied"), 0);
    weir_copy_abort(NULL, NULL);

    copy = copy_open("COPY (SELECT generate_series(1, 1000000000)) TO STDOUT");
    CHECK(weir_copy_read(copy, &piece, &length, &error));
    assert_int_equal(length, 2);
    weir_copy_abort(copy, NULL);
    assert_true(is_good());

    copy = copy_open("COPY (SELECT generate_series(1, 1000000000)) TO STDOUT");
    expect(weir_copy_write(copy, "x", 1, &why), WEIR_ERROR_USAGE, &why);
    expect(weir_copy_finish(copy, &rows, &why), WEIR_ERROR_CANCELLED, &why);
    assert_true(is_good());

    copy = copy_open("COPY copied FROM STDIN");
    expect(weir_copy_read(copy, &piece, &length, &why), WEIR_ERROR_USAGE, &why);
    held_again(&held); /* released while it is open */
    expect(weir_copy_write(copy, "x", 1, &why), WEIR_ERROR_USAGE, &why);
    weir_copy_abort(copy, NULL);
    assert_true(is_good());
}

static void copy_that_fails(void **state)
{
    struct weir_copy *copy = copy_open("COPY copied FROM STDIN");
    struct weir_error *error = NULL;
    const char *piece;
    size_t length;
    uint64_t rows = 4711;
    int r;

    (void)state;
    write_all(copy, "1\tone\nno number\ttwo\n");
    expect(weir_copy_finish(copy, &rows, &error), WEIR_ERROR_DATA, &error);
    assert_int_equal(rows, 4711);
    assert_true(is_good());
    assert_int_equal(number(held.connection, "SELECT count(*) FROM copied"), 0);

    copy = copy_open("COPY (SELECT 1 / (3 - i) FROM generate_series(1, 5) i) TO STDOUT");
    error = NULL;
    do
        r = weir_copy_read(copy, &piece, &length, &error);
    while (!r && length);
    expect(r, WEIR_ERROR_DATA, &error);
    expect(weir_copy_finish(copy, &rows, &error), WEIR_ERROR_DATA, &error);
    assert_true(is_good());

    expect(weir_copy_open(held.connection, "COPY no_such_table FROM STDIN", NULL, &copy, &error),
           WEIR_ERROR_SYNTAX, &error);
    expect(weir_copy_open(held.connection, "SELECT 1", NULL, &copy, &error), WEIR_ERROR_USAGE,
           &error);
    assert_true(is_good());
}

static void copy_in_time(void **state)
{
    struct weir_statement_opts opts = {.size = sizeof(opts), .timeout_ms = 100};
    struct weir_copy *copy = NULL;
    struct weir_error *why = NULL;
    const char *piece;
    size_t length;
    char *text = calloc(1, 1 << 20);
    int r = 0;

    (void)state;
    CHECK(
        weir_copy_open(held.connection,
                       "COPY (SELECT i, pg_sleep(0.02) FROM generate_series(1, 1000) i) TO STDOUT",
                       &opts, &copy, &error));
    do
        r = weir_copy_read(copy, &piece, &length, &why);
    while (!r && length);
    expect(r, WEIR_ERROR_TIMEOUT, &why);
    weir_copy_abort(copy, NULL);
    held_again(&held);
    assert_true(is_good());

    CHECK(weir_copy_open(held.connection, "COPY copied (b) FROM STDIN", &opts, &copy, &error));
    memset(text, 'x', 1 << 20);
    text[(1 << 20) - 1] = '\n';
    why = NULL;
    while (!r || weir_error_category(why) != WEIR_ERROR_TIMEOUT)
        r = weir_copy_write(copy, text, 1 << 20, &why);
    expect(r, WEIR_ERROR_TIMEOUT, &why);
    expect(weir_copy_finish(copy, NULL, &why), WEIR_ERROR_TIMEOUT, &why);
    free(text);
    held_again(&held);
    assert_true(is_good());
    assert_int_equal(number(held.connection, "SELECT count(*) FROM copied"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_one_by_one),        cmocka_unit_test(stream_prepared),
        cmocka_unit_test(stream_closed_early),    cmocka_unit_test(stream_that_fails),
        cmocka_unit_test(one_thing_at_a_time),    cmocka_unit_test(several_in_one_round_trip),
        cmocka_unit_test(pipeline_with_an_error), cmocka_unit_test(pipeline_prepared),
        cmocka_unit_test(pipeline_of_many),       cmocka_unit_test(pipeline_left_alone),
        cmocka_unit_test(pipeline_in_time),       cmocka_unit_test(pipeline_with_transactions),
        cmocka_unit_test(pipeline_that_is_lost),  cmocka_unit_test(copy_in_and_out),
        cmocka_unit_test(copy_large_pieces),      cmocka_unit_test(copy_given_up),
        cmocka_unit_test(copy_that_fails),        cmocka_unit_test(copy_in_time),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
