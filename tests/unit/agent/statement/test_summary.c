/* db.query.summary by the conventions' rules, over the texts that the shim's normalizer leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/statement/summary.h"

struct example {
    const char *text, *summary;
    bool is_guess; /* no form of the text parses */
};

static const struct example conventions[] = {
    {"SELECT * FROM wuser_table WHERE username = $1", "SELECT wuser_table", false},
    {"select * from wuser_table where username = $1", "select wuser_table", false},
    {"INSERT INTO shipping_details (order_id, address) SELECT order_id, address FROM orders "
     "WHERE order_id = $1",
     "INSERT shipping_details SELECT orders", false},
    {"SELECT * FROM songs, artists WHERE songs.artist_id = artists.id", "SELECT songs artists",
     false},
    {"SELECT * FROM songs s JOIN artists a ON s.artist_id = a.id", "SELECT songs artists", false},
    {"SELECT * FROM songs CROSS JOIN artists", "SELECT songs artists", false},
    {"SELECT order_date FROM (SELECT * FROM orders o JOIN customers c ON o.customer_id = "
     "c.customer_id) t",
     "SELECT SELECT orders customers", false},
    {"SELECT * FROM \"song list\", \"artists\"", "SELECT \"song list\" \"artists\"", false},
    {"SELECT * FROM dbo.Table1 JOIN dbo.AnotherTable USING (id)",
     "SELECT dbo.Table1 dbo.AnotherTable", false},
    {"SELECT $1", "SELECT", false},
    {"CALL some_procedure($1, $2)", "CALL some_procedure", false},
    {"CREATE  TABLE\n MyTable (id int)", "CREATE TABLE MyTable", false},
    {"ALTER TABLE MyTable ADD COLUMN name text", "ALTER TABLE MyTable", false},
    {"DROP TABLE MyTable", "DROP TABLE MyTable", false},
};

static const struct example queries[] = {
    {"SELECT a . b FROM s /* of all */ . \"T\" AS x", "SELECT s.\"T\"", false},
    {"WITH recent AS (SELECT * FROM orders WHERE at > $1) SELECT * FROM recent, s.recent",
     "SELECT orders SELECT s.recent", false},
    {"WITH gone AS (DELETE FROM a WHERE id = $1 RETURNING *) INSERT INTO b SELECT * FROM gone",
     "DELETE a INSERT b SELECT", false},
    {"SELECT * FROM jobs j WHERE done = FALSE FOR UPDATE OF j SKIP LOCKED", "SELECT jobs", false},
    {"SELECT a FROM x UNION ALL SELECT b FROM y", "SELECT x SELECT y", false},
    {"(SELECT a FROM x) EXCEPT (SELECT b FROM y)", "SELECT x SELECT y", false},
    {"UPDATE ONLY accounts SET balance = balance + $1 FROM other WHERE other.id = accounts.id",
     "UPDATE accounts other", false},
    {"DELETE FROM a USING b WHERE a.id = b.id", "DELETE a b", false},
    {"INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT (a) DO UPDATE SET b = $3", "INSERT t",
     false},
    {"MERGE INTO stock s USING sold ON s.id = sold.id WHEN MATCHED THEN UPDATE SET n = s.n - $1 "
     "WHEN NOT MATCHED THEN INSERT VALUES ($2)",
     "MERGE stock sold", false},
    {"SELECT extract(year FROM at), substring(name FROM $1 FOR $2) FROM events", "SELECT events",
     false},
    {"SELECT * FROM t WHERE j ? $1 AND k ?| ARRAY[$2]", "SELECT t", false},
    {"VALUES ($1, $2)", "VALUES", false},
    {"TABLE songs", "TABLE songs", false},
    {"SELECT * FROM generate_series($1, $2)", "SELECT", false},
    {"SELECT * INTO copy_of FROM t", "SELECT copy_of t", false},
    {"SELECT date $1, interval $2 FROM t", "SELECT t", false},
    {"SELECT interval $1 hour FROM only t", "SELECT t", false},
    {"SELECT * FROM \xc3\xbcml\xc3\xa4ute", "SELECT \xc3\xbcml\xc3\xa4ute", false},
    {"", "", false},
    {"SELECT * FROM a JOIN \"b c\" ON (", "SELECT a \"b c\"", true},
    {"INSERT INTO t (a, b) VALUES ($1, ", "INSERT t", true},
    {"UPDATE t SET a = \"unclosed", "UPDATE t", true},
    {"fastpath", "fastpath", true},
    {"unknown", "unknown", true},
};

static const struct example utilities[] = {
    {"CREATE TABLE t (a varchar($1), b numeric($2, $3))", "CREATE TABLE t", false},
    {"create unlogged table if not exists s.t (a int references other)", "create table s.t other",
     false},
    {"CREATE TEMP TABLE tmp0 AS SELECT * FROM orders", "CREATE TABLE tmp0 SELECT orders", false},
    {"CREATE OR REPLACE VIEW v AS SELECT a FROM t", "CREATE VIEW v SELECT t", false},
    {"CREATE MATERIALIZED VIEW v AS SELECT a FROM t", "CREATE MATERIALIZED VIEW v SELECT t", false},
    {"REFRESH MATERIALIZED VIEW CONCURRENTLY v", "REFRESH MATERIALIZED VIEW v", false},
    {"CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)", "CREATE INDEX i t", false},
    {"CREATE INDEX ON t (a)", "CREATE INDEX t", false},
    {"DROP TABLE IF EXISTS a, s.b CASCADE", "DROP TABLE a s.b", false},
    {"DROP INDEX CONCURRENTLY i", "DROP INDEX i", false},
    {"DROP FUNCTION f(int)", "DROP FUNCTION f", false},
    {"CREATE DATABASE shop", "CREATE DATABASE shop", false},
    {"ALTER ROLE app PASSWORD $1", "ALTER ROLE app", false},
    {"CREATE POLICY p ON t FOR SELECT USING (TRUE)", "CREATE POLICY p t", false},
    {"GRANT SELECT, INSERT ON t TO app", "GRANT t", false},
    {"COMMENT ON TABLE t IS $1", "COMMENT ON TABLE t", false},
    {"TRUNCATE TABLE a, b", "TRUNCATE TABLE a b", false},
    {"LOCK TABLE a IN EXCLUSIVE MODE", "LOCK TABLE a", false},
    {"VACUUM (FULL) t", "VACUUM t", false},
    {"REINDEX DATABASE shop", "REINDEX DATABASE shop", false},
    {"COPY t (a, b) FROM STDIN", "COPY t", false},
    {"COPY t FROM $1 WITH (FORMAT $2)", "COPY t", false},
    {"COPY (SELECT * FROM t) TO STDOUT", "COPY SELECT t", false},
    {"EXPLAIN ANALYZE DELETE FROM t", "EXPLAIN DELETE t", false},
    {"DECLARE c0 CURSOR FOR SELECT * FROM t", "DECLARE SELECT t", false},
    {"FETCH FORWARD $1 FROM c0", "FETCH", false},
    {"PREPARE p0 AS SELECT * FROM t WHERE a = $1", "PREPARE SELECT t", false},
    {"EXECUTE p0($1)", "EXECUTE", false},
    {"NOTIFY channel0, $1", "NOTIFY", false},
    {"SET search_path TO $1", "SET", false},
    {"SET TIME ZONE $1", "SET", false},
    {"DO $1", "DO", false},
    {"BEGIN", "BEGIN", false},
    {"START TRANSACTION ISOLATION LEVEL SERIALIZABLE", "START TRANSACTION", false},
    {"SAVEPOINT s0", "SAVEPOINT", false},
    {"CREATE SOMETHING new thing", "CREATE SOMETHING", true},
    {"EXPORT everything TO x", "EXPORT", true},
    {"CREATE TABLE t (a int", "CREATE TABLE t", true},
    {"COPY \"a b\".t FROM nowhere AT ALL", "COPY \"a b\".t", true},
};

static void check(const struct example *examples, size_t count)
{
    struct summary_space *space = malloc(sizeof(*space));
    char summary[SUMMARY_MAX + 1];

    assert_non_null(space);
    for (size_t i = 0; i < count; i++) {
        bool is_parsed;
        size_t length = summary_write(view_from(examples[i].text), space, summary, &is_parsed);
        if (strcmp(summary, examples[i].summary) != 0 || is_parsed == examples[i].is_guess)
            print_error("%s\n", examples[i].text);
        assert_string_equal(summary, examples[i].summary);
        assert_int_equal(length, strlen(examples[i].summary));
        assert_int_equal(is_parsed, !examples[i].is_guess);
    }
    free(space);
}

#define CHECK(table) check(table, sizeof(table) / sizeof((table)[0]))

static void follows_the_conventions(void **state)
{
    (void)state;
    CHECK(conventions);
}

static void reads_queries(void **state)
{
    (void)state;
    CHECK(queries);
}

static void reads_utility_statements(void **state)
{
    (void)state;
    CHECK(utilities);
}

static void cuts_between_words(void **state)
{
    char text[4096] = "SELECT * FROM ";
    char expected[SUMMARY_MAX + 64] = "SELECT";
    struct summary_space *space = malloc(sizeof(*space));
    char summary[SUMMARY_MAX + 1];
    bool is_parsed;

    (void)state;
    assert_non_null(space);
    for (int i = 0; i < 100; i++) {
        size_t at = strlen(text);
        (void)snprintf(text + at, sizeof(text) - at, "%stable_number_%02d", i ? ", " : "", i);
        if (strlen(expected) + strlen(" table_number_00") <= SUMMARY_MAX) {
            at = strlen(expected);
            (void)snprintf(expected + at, sizeof(expected) - at, " table_number_%02d", i);
        }
    }
    size_t length = summary_write(view_from(text), space, summary, &is_parsed);
    assert_string_equal(summary, expected);
    assert_true(length <= SUMMARY_MAX && length > SUMMARY_MAX - 20);
    free(space);
}

/* Texts at and beyond every bound, and bytes that are no text: nothing is read past the end. */
static void survives_anything(void **state)
{
    size_t size = 3 * SUMMARY_TEXT_MAX;
    char *text = malloc(size);
    struct summary_space *space = malloc(sizeof(*space));
    char summary[SUMMARY_MAX + 1];
    bool is_parsed;

    (void)state;
    assert_non_null(text);
    assert_non_null(space);
    for (size_t i = 0; i < size; i++)
        text[i] = '(';
    (void)summary_write((struct view){text, size}, space, summary, &is_parsed);
    assert_false(is_parsed);

    memcpy(text, "SELECT ", 7);
    for (size_t i = 7; i + 3 <= SUMMARY_TEXT_MAX; i += 3)
        memcpy(text + i, "$1+", 3);
    size_t length = 7 + (SUMMARY_TEXT_MAX - 7) / 3 * 3 - 1;
    (void)summary_write((struct view){text, length}, space, summary, &is_parsed);
    assert_string_equal(summary, "SELECT");

    static const char alphabet[] = "SELECT from\"'$1(),.;\\\x00\xff\xc3 \n-/*aZ_";
    srand(1);
    for (int round = 0; round < 2000; round++) {
        size_t end = (size_t)(rand() % 200);
        for (size_t i = 0; i < end; i++)
            text[i] = alphabet[(size_t)rand() % (sizeof(alphabet) - 1)];
        char *exact = malloc(end + 1); /* so that a sanitizer sees the end */
        assert_non_null(exact);
        memcpy(exact, text, end);
        length = summary_write((struct view){exact, end}, space, summary, &is_parsed);
        assert_int_equal(length, strlen(summary));
        free(exact);
    }
    free(space);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_conventions),  cmocka_unit_test(reads_queries),
        cmocka_unit_test(reads_utility_statements), cmocka_unit_test(cuts_between_words),
        cmocka_unit_test(survives_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
