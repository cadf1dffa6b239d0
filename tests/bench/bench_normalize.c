/* What normalizing costs a byte, over statements as services send them, beside libpg_query's
 * normalizer over the same; and what a new traceparent in each text's comment costs a statement.
 * Ours and the peer take turns. Prints one JSON object a row. */
#include <pg_query.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "include/weir/probe.h"
#include "shim/probe/normalize.h"
#include "shim/probe/segment.h"

enum {
    TURNS = 30,
    ROUNDS = 50, /* of the corpus, a turn */
    LIST = 200,
    BRACKETS = 1000, /* a turn */
    COMMENTED_MAX = 512,
};

#define BUDGET_NS 5.0 /* a byte: 200 MB/s */

/* An ORM's, a hand's, a driver's, a report's, a migration's. */
static const char *const statements[] = {
    "SELECT abalance FROM pgbench_accounts WHERE aid = 4711815;",
    "UPDATE pgbench_accounts SET abalance = abalance + -2518 WHERE aid = 331522;",
    "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (3, 1, 331522, -2518, "
    "CURRENT_TIMESTAMP);",
    "SELECT \"shop_order\".\"id\", \"shop_order\".\"created_at\", \"shop_order\".\"updated_at\", "
    "\"shop_order\".\"customer_id\", \"shop_order\".\"status\", \"shop_order\".\"total_amount\", "
    "\"shop_order\".\"currency\", \"shop_order\".\"shipping_address_id\", "
    "\"shop_order\".\"billing_address_id\", \"shop_order\".\"notes\" FROM \"shop_order\" INNER "
    "JOIN "
    "\"shop_customer\" ON (\"shop_order\".\"customer_id\" = \"shop_customer\".\"id\") WHERE "
    "(\"shop_customer\".\"email\" = 'somebody@example.org' AND \"shop_order\".\"status\" IN "
    "('paid', 'shipped', 'returned')) ORDER BY \"shop_order\".\"created_at\" DESC LIMIT 25",
    "SELECT users.id AS users_id, users.name AS users_name, users.fullname AS users_fullname, "
    "addresses_1.id AS addresses_1_id, addresses_1.email_address AS addresses_1_email_address, "
    "addresses_1.user_id AS addresses_1_user_id \nFROM users LEFT OUTER JOIN addresses AS "
    "addresses_1 ON users.id = addresses_1.user_id \nWHERE users.name = $1 AND "
    "users.created_at >= $2 ORDER BY addresses_1.id",
    "INSERT INTO \"events\" (\"kind\", \"payload\", \"created_at\", \"account_id\") VALUES "
    "('order.paid', '{\"order\": 18231, \"amount\": \"119.90\", \"items\": [{\"sku\": \"A-1\", "
    "\"n\": 2}, {\"sku\": \"B-77\", \"n\": 1}], \"note\": \"it''s a gift, please wrap it well\"}', "
    "'2024-05-17 12:31:07.123456', 99120) RETURNING \"id\"",
    "WITH recent AS (SELECT o.customer_id, sum(o.total) AS total, count(*) AS n FROM orders o "
    "WHERE "
    "o.created_at > now() - interval '30 days' AND o.status <> 'cancelled' GROUP BY "
    "o.customer_id), "
    "ranked AS (SELECT r.*, rank() OVER (ORDER BY r.total DESC) AS place FROM recent r WHERE r.n > "
    "3)"
    " SELECT c.id, c.name, c.email, r.total, r.n, r.place, CASE WHEN r.place <= 10 THEN 'gold' "
    "WHEN "
    "r.place <= 100 THEN 'silver' ELSE 'none' END AS tier FROM ranked r JOIN customers c ON c.id = "
    "r.customer_id LEFT JOIN LATERAL (SELECT max(l.at) AS last_login FROM logins l WHERE "
    "l.customer_id"
    " = c.id) x ON TRUE WHERE c.country = ANY ('{DE,FR,IT}'::text[]) AND x.last_login >= "
    "'2024-01-01'::date ORDER BY r.place LIMIT 100 OFFSET 200",
    "UPDATE inventory SET quantity = quantity - 3, updated_at = now(), data = jsonb_set(data, "
    "'{last,order}', to_jsonb(18231)) WHERE sku = 'A-1' AND warehouse_id = 7 AND quantity >= 3 "
    "RETURNING quantity",
    "SELECT t.id, t.data->>'name' AS name, t.data #>> '{address,city}' AS city FROM tenants t "
    "WHERE "
    "t.data @> '{\"active\": true}' AND t.data ? 'address' AND (t.data->>'size')::int > 50",
    "DELETE FROM sessions WHERE expires_at < '2024-05-17 12:00:00+00' AND user_id NOT IN (1, 2, 3)",
    "CREATE TABLE IF NOT EXISTS audit_log (\n    id bigserial PRIMARY KEY, -- never reused\n    "
    "actor "
    "text NOT NULL,\n    action varchar(64) NOT NULL DEFAULT 'unknown',\n    at timestamptz NOT "
    "NULL "
    "DEFAULT now(),\n    CHECK (length(actor) > 0)\n)",
    "/* shop:checkout */ SELECT p.id, p.name, p.price * 1.19 AS gross FROM products p WHERE p.id "
    "IN "
    "($1, $2, $3, $4) AND p.deleted_at IS NULL FOR UPDATE "
    "/*action='checkout',controller='orders',framework='rails',"
    "traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/",
    "BEGIN",
    "COMMIT",
    "SAVEPOINT active_record_12",
    "SELECT 1",
};

enum { STATEMENTS = sizeof(statements) / sizeof(statements[0]) };

static char long_in[LIST * 12 + 128], long_values[LIST * 64 + 128];
static const char *corpus[STATEMENTS + 2];
static size_t corpus_length;

static void corpus_make(void)
{
    size_t in = (size_t)sprintf(long_in, "SELECT * FROM items WHERE id IN (1");
    size_t values = (size_t)sprintf(long_values, "INSERT INTO items (id, name, at) VALUES ");

    for (int i = 0; i < LIST; i++) {
        in += (size_t)sprintf(long_in + in, ", %d", 100000 + i * 37);
        values += (size_t)sprintf(long_values + values, "%s(%d, 'item no. %d', '2024-05-17')",
                                  i ? ", " : "", i, i * 3);
    }
    (void)sprintf(long_in + in, ")");
    memcpy(corpus, statements, sizeof(statements));
    corpus[STATEMENTS] = long_in;
    corpus[STATEMENTS + 1] = long_values;
    for (size_t i = 0; i < STATEMENTS + 2; i++)
        corpus_length += strlen(corpus[i]);
}

/* ---- a byte ---------------------------------------------------------------------------------- */

static uint64_t sum; /* of fingerprints, so that nothing is left out */

static void ours_one(const char *sql)
{
    static char text[NORMALIZE_TEXT_MAX];
    struct normalized normalized;

    normalize(view_from(sql), 0, text, sizeof(text), &normalized);
    sum += normalized.fingerprint;
}

static void peer_one(const char *sql)
{
    PgQueryNormalizeResult result = pg_query_normalize(sql);

    sum += result.normalized_query ? (uint64_t)result.normalized_query[0] : 0;
    pg_query_free_normalize_result(result);
}

static double turn_of(void (*one)(const char *), const char *const *texts, size_t count, int rounds)
{
    uint64_t begin_ns = clock_monotonic_ns();
    size_t bytes = 0;

    for (int round = 0; round < rounds; round++)
        for (size_t i = 0; i < count; i++)
            one(texts[i]);
    begin_ns = clock_monotonic_ns() - begin_ns;
    for (size_t i = 0; i < count; i++)
        bytes += strlen(texts[i]);
    return (double)begin_ns / (double)rounds / (double)bytes;
}

static int double_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double middle(double values[TURNS])
{
    qsort(values, TURNS, sizeof(values[0]), double_compare);
    return values[TURNS / 2];
}

static void row(const char *name, double ours, double peer, const char *peer_name, const char *unit,
                double budget)
{
    printf("{\"name\":\"%s\",\"ours\":%.3f,\"peer\":%.3f,\"peer_name\":\"%s\",\"unit\":\"%s\","
           "\"ratio\":%.3f,\"budget\":%g,\"holds\":%s}\n",
           name, ours, peer, peer_name, unit, ours / peer, budget,
           ours / peer <= budget ? "true" : "false");
}

static void bytes_measure(void)
{
    double ours[TURNS], peer[TURNS], ours_ns;

    for (int i = 0; i < TURNS; i++) {
        ours[i] = turn_of(ours_one, corpus, STATEMENTS + 2, ROUNDS);
        peer[i] = turn_of(peer_one, corpus, STATEMENTS + 2, 1);
    }
    ours_ns = middle(ours);
    row("normalizing, a byte", ours_ns, BUDGET_NS, "200 MB/s", "ns", 1);
    row("normalizing, a byte", ours_ns, middle(peer), "pg_query_normalize", "ns", 0.5);
    for (size_t i = 0; i < STATEMENTS + 2; i++) {
        for (int k = 0; k < TURNS; k++)
            ours[k] = turn_of(ours_one, corpus + i, 1, ROUNDS * 4);
        fprintf(stderr, "%5.2f ns a byte of %5zu: %.60s\n", middle(ours), strlen(corpus[i]),
                corpus[i]);
    }
}

/* ---- a statement with a new traceparent ------------------------------------------------------ */

static char commented[COMMENTED_MAX];
static const char plain[] =
    "SELECT o.id, o.total, c.name FROM orders o JOIN customers c ON c.id = o.customer_id "
    "WHERE o.created_at > $1 AND c.region = $2 ORDER BY o.created_at DESC LIMIT $3";

static void lanes_empty(void)
{
    const struct segment *segment = segment_enter();

    for (uint32_t i = 0; segment && i < segment->lane_count; i++) {
        struct lane *lane = segment_lane(segment->header, i);
        atomic_store_explicit(&lane->tail, atomic_load_explicit(&lane->head, memory_order_acquire),
                              memory_order_release);
    }
}

static void bracket(struct weir_probe_connection *connection, const char *text)
{
    struct weir_probe_statement_result result = {.size = sizeof(result), .rows = 1};
    struct weir_probe_statement statement;

    weir_probe_statement_begin(connection, &statement, text, SIZE_MAX, 0);
    weir_probe_statement_end(&statement, &result);
}

/* The text with the next trace id, as warm as what a program has just put together. */
static const char *commented_next(void)
{
    static const char digits[] = "0123456789abcdef";
    static char *trace_id;
    static uint64_t number;

    if (!trace_id) {
        (void)snprintf(commented, sizeof(commented),
                       "%s /*route='%%2Forders',traceparent='00-0af7651916cd43dd8448eb211c80319c-"
                       "b7ad6b7169203331-01'*/",
                       plain);
        trace_id = strstr(commented, "00-") + 3;
    }
    number++;
    for (int i = 0; i < 8; i++)
        trace_id[i] = digits[number >> i * 4 & 15];
    return commented;
}

static void comments_measure(void)
{
    struct weir_probe_pool_opts opts = {.size = sizeof(opts), .name = "bench"};
    struct weir_probe_target target = {
        .size = sizeof(target), .address = "127.0.0.1", .database = "bench"};
    struct weir_probe_pool *pool;
    struct weir_probe_connection *connection;
    double with[TURNS], without[TURNS];

    (void)setenv("WEIR_SOCKET", "/nonexistent/agent.sock", 1); /* lanes are emptied by ourselves */
    pool = weir_probe_pool_open(&opts);
    connection = weir_probe_connect_begin(pool, &target);
    weir_probe_connect_end(connection, NULL);
    for (int turn = 0; turn < TURNS; turn++) {
        uint64_t begin_ns;
        lanes_empty();
        begin_ns = clock_monotonic_ns();
        for (int i = 0; i < BRACKETS; i++)
            bracket(connection, commented_next());
        with[turn] = (double)(clock_monotonic_ns() - begin_ns) / BRACKETS;
        lanes_empty();
        begin_ns = clock_monotonic_ns();
        for (int i = 0; i < BRACKETS; i++)
            bracket(connection, plain);
        without[turn] = (double)(clock_monotonic_ns() - begin_ns) / BRACKETS;
    }
    row("statement with a new traceparent", middle(with), middle(without), "without a comment",
        "ns", 3);
}

int main(void)
{
    corpus_make();
    fprintf(stderr, "%zu statements, %zu bytes\n", (size_t)STATEMENTS + 2, corpus_length);
    bytes_measure();
    comments_measure();
    return sum == 0;
}
