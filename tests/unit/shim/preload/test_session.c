/* What a session makes of things sent and results returned, as the agent reads it. Each test writes
 * down what happened and compares with one line a record. */
#include "tests/unit/shim/probe/fake_agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/preload/session.h"

enum { TOLD_MAX = 4096 };

static struct fake_agent agent;
static struct weir_probe_pool *pool;
static struct session *session;
static char told[TOLD_MAX];

/* ---- what happens ---------------------------------------------------------------------------- */

static void send_flagged(enum request_kind kind, const char *name, const char *sql, uint32_t flags)
{
    session_send(session, &(struct sent){.kind = kind,
                                         .sql = view_from(sql),
                                         .name = view_from(name),
                                         .flags = flags,
                                         .caller = (const void *)send_flagged});
}

static void send_script(const char *sql)
{
    send_flagged(REQUEST_SCRIPT, NULL, sql, 0);
}

/* As a program does that gives its memory up: only what was kept may be read later. */
static void send_and_forget(enum request_kind kind, const char *name, const char *sql,
                            uint32_t flags)
{
    char *lent = strdup(sql);

    send_flagged(kind, name, lent, flags);
    session_keep_texts(session);
    memset(lent, '#', strlen(lent));
    free(lent);
}

static void receive(enum outcome_kind kind, const char *tag, uint64_t rows)
{
    session_observe(session, &(struct outcome){.kind = kind, .tag = tag, .result = {.rows = rows}});
}

static void done(const char *tag)
{
    receive(OUTCOME_DONE, tag, WEIR_UNKNOWN);
}

static void rows(uint64_t count)
{
    receive(OUTCOME_DONE, "SELECT", count);
}

static void fails(const char *sqlstate)
{
    session_observe(session,
                    &(struct outcome){.kind = OUTCOME_ERROR,
                                      .result = {.failure = sqlstate ? WEIR_FAILURE_SQLSTATE
                                                                     : WEIR_FAILURE_CONNECTION_LOST,
                                                 .sqlstate = sqlstate,
                                                 .rows = WEIR_UNKNOWN}});
}

static void nothing(enum transaction_state transaction)
{
    session_observe(session,
                    &(struct outcome){.kind = OUTCOME_NOTHING, .transaction = transaction});
}

/* ---- what was told --------------------------------------------------------------------------- */

static void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void tell(const char *format, ...)
{
    size_t length = strlen(told);
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(told + length, sizeof(told) - length, format, arguments);
    va_end(arguments);
}

static const char *text_of(uint64_t fingerprint)
{
    const struct seen_name *name = fake_agent_name(&agent, NAME_STATEMENT, fingerprint);

    return name ? name->text : "?";
}

static void tell_failure(uint8_t failure, const char sqlstate[5])
{
    if (sqlstate[0])
        tell(" %.5s", sqlstate);
    else if (failure)
        tell(" failure %u", failure);
}

static void tell_statement(const struct record_statement *statement)
{
    tell("%s", text_of(statement->fingerprint));
    tell_failure(statement->failure, statement->sqlstate);
    if (statement->rows != ROWS_UNKNOWN)
        tell(" %llu", (unsigned long long)statement->rows);
    if (statement->head.flags & STATEMENT_PREPARED)
        tell(" prepared");
    if (statement->head.flags & STATEMENT_PIPELINED)
        tell(" pipelined");
    if (statement->head.flags & STATEMENT_SINGLE_ROW)
        tell(" single-row");
    if (statement->head.flags & STATEMENT_COPY_IN)
        tell(" copy-in");
    if (statement->head.flags & STATEMENT_LATE_FETCH)
        tell(" late");
    if (statement->head.flags & STATEMENT_IN_TRANSACTION)
        tell(" in-transaction");
    tell("\n");
}

static void tell_record(const struct seen_record *seen)
{
    static const char *const actions[] = {"?", "parse", "prepare", "deallocate"};
    static const char *const outcomes[] = {"?", "committed", "rolled back", "ended"};

    if (seen->header.kind == RECORD_STATEMENT) {
        tell_statement(&seen->statement);
    } else if (seen->header.kind == RECORD_PREPARE) {
        tell("%s: %s", actions[seen->prepare.action & 3], text_of(seen->prepare.fingerprint));
        tell_failure(0, seen->prepare.sqlstate);
        tell("\n");
    } else if (seen->header.kind == RECORD_TRANSACTION) {
        tell("transaction of %u %s\n", seen->event.sequence,
             outcomes[seen->transaction.outcome & 3]);
    }
}

static void assert_told(const char *expected)
{
    fake_agent_drain(&agent);
    told[0] = '\0';
    for (size_t i = 0; i < agent.record_count; i++)
        tell_record(&agent.records[i]);
    assert_string_equal(told, expected);
}

/* ---- simple queries -------------------------------------------------------------------------- */

static void test_one_statement(void **state)
{
    (void)state;
    send_script("SELECT 1");
    rows(1);
    nothing(TRANSACTION_NONE);
    assert_told("SELECT $1 1\n");
    assert_false(session_is_busy(session));
}

static void test_each_statement_of_a_string_is_a_call(void **state)
{
    (void)state;
    send_and_forget(REQUEST_SCRIPT, NULL, "SELECT 1; UPDATE t SET a = 'x;y'; ; DELETE FROM t;", 0);
    rows(1);
    receive(OUTCOME_DONE, "UPDATE 7", 7);
    receive(OUTCOME_DONE, "DELETE 0", 0);
    nothing(TRANSACTION_NONE);
    assert_told("SELECT $1 1\nUPDATE t SET a = $1 7\nDELETE FROM t 0\n");
}

static void test_the_failing_one_carries_the_error(void **state)
{
    (void)state;
    send_and_forget(REQUEST_SCRIPT, NULL, "SELECT 1; SELECT 2/0; SELECT 'never'", 0);
    rows(1);
    fails("22012");
    nothing(TRANSACTION_NONE);
    assert_told("SELECT $1 1\nSELECT $1/$2 22012\n");
}

static void test_a_string_that_fails_to_parse_is_one_failed_call(void **state)
{
    (void)state;
    send_script("SELECT 1; SELEC 2; SELECT 3");
    fails("42601");
    nothing(TRANSACTION_NONE);
    assert_told("SELECT $1 42601\n");
}

static void test_an_empty_string_is_no_call(void **state)
{
    (void)state;
    send_script(" ; -- nothing\n");
    receive(OUTCOME_EMPTY, NULL, 0);
    nothing(TRANSACTION_NONE);
    assert_told("");
    send_script("SELECT 1");
    rows(1);
    nothing(TRANSACTION_NONE);
    assert_told("SELECT $1 1\n");
}

static void test_a_lost_connection_ends_what_is_open(void **state)
{
    (void)state;
    send_script("BEGIN; SELECT pg_sleep(9)");
    done("BEGIN");
    fails(NULL);
    nothing(TRANSACTION_LOST);
    assert_told("BEGIN in-transaction\ntransaction of 2 ended\nSELECT pg_sleep($1) failure 2 "
                "in-transaction\n");
}

static void test_copy_ends_with_its_result(void **state)
{
    (void)state;
    send_script("COPY t FROM STDIN; SELECT 1");
    receive(OUTCOME_COPY_IN, NULL, 0);
    session_keep_texts(session);
    assert_told("");
    receive(OUTCOME_DONE, "COPY 3", 3);
    rows(1);
    nothing(TRANSACTION_NONE);
    assert_told("COPY t FROM STDIN 3 copy-in\nSELECT $1 1\n");
}

static void test_rows_in_parts_are_added_up(void **state)
{
    (void)state;
    send_script("SELECT a FROM t");
    session_row_mode(session);
    receive(OUTCOME_ROWS, NULL, 1);
    receive(OUTCOME_ROWS, NULL, 1);
    session_late(session);
    rows(0);
    nothing(TRANSACTION_NONE);
    assert_told("SELECT a FROM t 2 single-row late\n");
}

static void test_refused_by_libpq(void **state)
{
    (void)state;
    send_script("SELECT 1");
    session_refused(session, WEIR_FAILURE_CLIENT);
    assert_told("SELECT $1 failure 5\n");
    assert_false(session_is_busy(session));
}

static void test_closing_abandons_what_runs(void **state)
{
    (void)state;
    send_script("SELECT pg_sleep(9)");
    session_reset(session);
    assert_told("SELECT pg_sleep($1) failure 7\n");
}

/* ---- transactions ---------------------------------------------------------------------------- */

static void test_transaction_from_begin_to_commit(void **state)
{
    (void)state;
    send_script("BEGIN");
    done("BEGIN");
    nothing(TRANSACTION_OPEN);
    send_script("SAVEPOINT a; ROLLBACK TO a");
    done("SAVEPOINT");
    done("ROLLBACK");
    nothing(TRANSACTION_OPEN);
    send_script("COMMIT");
    done("COMMIT");
    nothing(TRANSACTION_NONE);
    assert_told("BEGIN in-transaction\nSAVEPOINT a in-transaction\nROLLBACK TO a in-transaction\n"
                "transaction of 4 committed\nCOMMIT in-transaction\n");
}

static void test_commit_of_a_failed_transaction_rolls_back(void **state)
{
    (void)state;
    send_script("BEGIN; SELECT 1/0");
    done("BEGIN");
    fails("22012");
    nothing(TRANSACTION_FAILED);
    send_script("COMMIT");
    done("ROLLBACK");
    nothing(TRANSACTION_NONE);
    assert_told("BEGIN in-transaction\nSELECT $1/$2 22012 in-transaction\n"
                "transaction of 3 rolled back\nCOMMIT in-transaction\n");
}

static void test_a_failed_commit_ends_the_transaction(void **state)
{
    (void)state;
    send_script("BEGIN");
    done("BEGIN");
    nothing(TRANSACTION_OPEN);
    send_script("COMMIT");
    fails("23503");
    nothing(TRANSACTION_NONE);
    assert_told(
        "BEGIN in-transaction\ntransaction of 2 rolled back\nCOMMIT 23503 in-transaction\n");
}

/* ---- prepared statements --------------------------------------------------------------------- */

static void test_parse_is_an_event_and_its_execution_a_call(void **state)
{
    (void)state;
    send_and_forget(REQUEST_PARSE, "one", "SELECT a FROM t WHERE b = $1", 0);
    done("");
    nothing(TRANSACTION_NONE);
    send_flagged(REQUEST_PREPARED, "one", NULL, 0);
    rows(4);
    nothing(TRANSACTION_NONE);
    send_flagged(REQUEST_CLOSE, "one", NULL, 0);
    done("");
    nothing(TRANSACTION_NONE);
    assert_told("parse: SELECT a FROM t WHERE b = $1\nSELECT a FROM t WHERE b = $1 4 prepared\n"
                "deallocate: SELECT a FROM t WHERE b = $1\n");
    assert_null(prepared_find(&session->prepared, view_from("one")));
}

static void test_a_failed_parse_prepares_nothing(void **state)
{
    (void)state;
    send_and_forget(REQUEST_PARSE, "one", "SELEC a", 0);
    fails("42601");
    nothing(TRANSACTION_NONE);
    assert_told("parse: SELEC a 42601\n");
    assert_null(prepared_find(&session->prepared, view_from("one")));
}

static void test_sql_prepare_execute_deallocate(void **state)
{
    (void)state;
    send_and_forget(REQUEST_SCRIPT, NULL,
                    "PREPARE One (int) AS SELECT a FROM t WHERE b = $1; EXECUTE one(7);"
                    " EXECUTE \"other\"(8); DEALLOCATE ONE",
                    0);
    done("PREPARE");
    rows(2);
    fails("26000");
    nothing(TRANSACTION_NONE);
    send_script("DEALLOCATE one");
    done("DEALLOCATE");
    nothing(TRANSACTION_NONE);
    assert_told("prepare: SELECT a FROM t WHERE b = $1\nSELECT a FROM t WHERE b = $1 2 prepared\n"
                "EXECUTE \"other\"($1) 26000\ndeallocate: SELECT a FROM t WHERE b = $1\n");
    assert_null(prepared_find(&session->prepared, view_from("one")));
}

static void test_asynchronous_sql_prepare_reads_what_was_kept(void **state)
{
    (void)state;
    send_and_forget(REQUEST_SCRIPT, NULL, "PREPARE one AS SELECT 1", 0);
    done("PREPARE");
    nothing(TRANSACTION_NONE);
    send_and_forget(REQUEST_SCRIPT, NULL, "EXECUTE one", 0);
    rows(1);
    nothing(TRANSACTION_NONE);
    assert_told("prepare: SELECT $1\nSELECT $1 1 prepared\n");
}

static void test_discard_all_forgets_names(void **state)
{
    (void)state;
    send_and_forget(REQUEST_PARSE, "one", "SELECT 1", 0);
    done("");
    nothing(TRANSACTION_NONE);
    send_script("DISCARD ALL");
    done("DISCARD ALL");
    nothing(TRANSACTION_NONE);
    assert_null(prepared_find(&session->prepared, view_from("one")));
}

/* ---- pipelines ------------------------------------------------------------------------------- */

static void test_pipeline_in_order(void **state)
{
    (void)state;
    send_and_forget(REQUEST_TEXT, NULL, "SELECT 1", WEIR_STATEMENT_PIPELINED);
    send_and_forget(REQUEST_PARSE, "", "SELECT a FROM t", WEIR_STATEMENT_PIPELINED);
    send_flagged(REQUEST_PREPARED, "", NULL, WEIR_STATEMENT_PIPELINED);
    send_and_forget(REQUEST_TEXT, NULL, "INSERT INTO t VALUES (1)", WEIR_STATEMENT_PIPELINED);
    send_flagged(REQUEST_SYNC, NULL, NULL, WEIR_STATEMENT_PIPELINED);
    rows(1);
    nothing(TRANSACTION_NOT_TOLD);
    done("");
    nothing(TRANSACTION_NOT_TOLD);
    rows(5);
    nothing(TRANSACTION_NOT_TOLD);
    receive(OUTCOME_DONE, "INSERT 0 1", 1);
    nothing(TRANSACTION_NOT_TOLD);
    receive(OUTCOME_SYNC, NULL, 0);
    assert_told("SELECT $1 1 pipelined\nparse: SELECT a FROM t\n"
                "SELECT a FROM t 5 prepared pipelined\nINSERT INTO t VALUES ($1) 1 pipelined\n");
    assert_false(session_is_busy(session));
}

static void test_what_a_pipeline_aborted_is_no_call(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        send_and_forget(REQUEST_TEXT, NULL, "SELECT 1/0", WEIR_STATEMENT_PIPELINED);
        send_and_forget(REQUEST_TEXT, NULL, "SELECT 'never'", WEIR_STATEMENT_PIPELINED);
        send_and_forget(REQUEST_PARSE, "one", "SELECT 'neither'", WEIR_STATEMENT_PIPELINED);
        send_flagged(REQUEST_SYNC, NULL, NULL, WEIR_STATEMENT_PIPELINED);
    }
    send_and_forget(REQUEST_TEXT, NULL, "SELECT a", WEIR_STATEMENT_PIPELINED);
    for (int i = 0; i < 2; i++) {
        fails("22012");
        receive(OUTCOME_ABORTED, NULL, 0);
        receive(OUTCOME_ABORTED, NULL, 0);
        receive(OUTCOME_SYNC, NULL, 0);
    }
    rows(1);
    assert_told("SELECT $1/$2 22012 pipelined\nSELECT $1/$2 22012 pipelined\n"
                "SELECT a 1 pipelined\n");
    assert_false(session_is_busy(session));
    assert_int_equal(session->parses_pending, 0);
}

static void test_a_pipeline_that_is_too_long_is_followed_again_afterwards(void **state)
{
    (void)state;
    for (int i = 0; i < REQUESTS_MAX + 5; i++)
        send_flagged(REQUEST_SILENT, NULL, NULL, WEIR_STATEMENT_PIPELINED);
    for (int i = 0; i < REQUESTS_MAX + 5; i++)
        done("");
    nothing(TRANSACTION_NONE);
    send_script("SELECT 1");
    rows(1);
    nothing(TRANSACTION_NONE);
    assert_told("SELECT $1 1\n");
}

/* ---- each test has a connection of its own -----------------------------------------------------
 */

static int connect_session(void **state)
{
    struct weir_probe_target target = {.size = sizeof(target), .address = "db", .database = "shop"};
    struct weir_probe_connect_result result = {.size = sizeof(result)};
    struct weir_probe_connection *connection = weir_probe_connect_begin(pool, &target);

    (void)state;
    session = session_new(NULL, connection);
    weir_probe_connect_end(connection, &result);
    session->is_connecting = false;
    fake_agent_drain(&agent);
    return 0;
}

static int close_session(void **state)
{
    (void)state;
    session_free(session, WEIR_FAILURE_NONE);
    return 0;
}

static int start(void **state)
{
    struct weir_probe_pool_opts opts = {.size = sizeof(opts), .name = "preload"};

    (void)state;
    fake_agent_start(&agent);
    pool = weir_probe_pool_open(&opts);
    fake_agent_accept(&agent);
    fake_agent_welcome(&agent);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    weir_probe_pool_close(pool);
    fake_agent_stop(&agent);
    return 0;
}

#define SESSION_TEST(test) cmocka_unit_test_setup_teardown(test, connect_session, close_session)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SESSION_TEST(test_one_statement),
        SESSION_TEST(test_each_statement_of_a_string_is_a_call),
        SESSION_TEST(test_the_failing_one_carries_the_error),
        SESSION_TEST(test_a_string_that_fails_to_parse_is_one_failed_call),
        SESSION_TEST(test_an_empty_string_is_no_call),
        SESSION_TEST(test_a_lost_connection_ends_what_is_open),
        SESSION_TEST(test_copy_ends_with_its_result),
        SESSION_TEST(test_rows_in_parts_are_added_up),
        SESSION_TEST(test_refused_by_libpq),
        SESSION_TEST(test_closing_abandons_what_runs),
        SESSION_TEST(test_transaction_from_begin_to_commit),
        SESSION_TEST(test_commit_of_a_failed_transaction_rolls_back),
        SESSION_TEST(test_a_failed_commit_ends_the_transaction),
        SESSION_TEST(test_parse_is_an_event_and_its_execution_a_call),
        SESSION_TEST(test_a_failed_parse_prepares_nothing),
        SESSION_TEST(test_sql_prepare_execute_deallocate),
        SESSION_TEST(test_asynchronous_sql_prepare_reads_what_was_kept),
        SESSION_TEST(test_discard_all_forgets_names),
        SESSION_TEST(test_pipeline_in_order),
        SESSION_TEST(test_what_a_pipeline_aborted_is_no_call),
        SESSION_TEST(test_a_pipeline_that_is_too_long_is_followed_again_afterwards),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
