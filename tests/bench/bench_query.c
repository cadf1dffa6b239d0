/* One real query a request, a turn at a time and only when asked, through a libweir pool and
 * through bare libpq: `bench_query POOL_CONNINFO PEER_CONNINFO CONNECTIONS`. The peer may be the
 * server itself or a pooler before it.
 *
 * A line of standard input is one turn: "kind threads requests prepared", where each thread makes
 * so many requests and prepared is 0 or 1. Kinds: pool     acquires from the pool of CONNECTIONS,
 * executes, releases kept     executes on a connection of the thread's own that stays open, by
 * libpq alone connect  connects, executes, closes, by libpq alone Its answer is a line of JSON:
 * "ns", the turn's time divided by all requests; "cpu_ns", this process's CPU divided by them;
 * "dropped", the events that found no place. */
#include <libpq-fe.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "include/weir/manager.h"
#include "include/weir/statement.h"
#include "tests/bench/lanes_emptied.h"

enum {
    THREADS_MAX = 64,
    WARM_UP = 20, /* a thread's requests before the clock runs: its connection, its first record */
    REQUESTS_BETWEEN = 64, /* a thread empties the lanes after so many */
    KEYS = 99000           /* of the 100,000 accounts of pgbench -i -s 1 */
};

/* What is asked of pgbench's tables, by a key at random: as little as can be, and some more. */
static const struct query {
    const char *name, *sql;
} queries[] = {
    {"one_row", "SELECT abalance FROM pgbench_accounts WHERE aid = $1"},
    {"thousand_rows", "SELECT count(*), sum(abalance), max(filler) FROM pgbench_accounts "
                      "WHERE aid BETWEEN $1::int AND $1::int + 999"},
};
enum { QUERIES = sizeof(queries) / sizeof(queries[0]) };

struct worker {
    void (*request)(struct worker *worker);
    pthread_t thread;
    PGconn *kept;
    const struct query *query;
    unsigned requests;
    uint32_t random;
    bool is_prepared;
};

static struct weir_pool *pool;
static const char *peer_conninfo;
static pthread_barrier_t ready, start;

_Noreturn static void fail(const char *doing, const char *why)
{
    fprintf(stderr, "bench_query: %s: %s\n", doing, why);
    exit(1);
}

/* ---- requests -------------------------------------------------------------------------------- */

/* A key at random, as text. */
static void key_next(struct worker *worker, char key[16])
{
    worker->random = worker->random * 1664525u + 1013904223u;
    (void)snprintf(key, 16, "%u", (worker->random >> 8) % KEYS + 1);
}

static void result_check(PGresult *result, const PGconn *conn)
{
    if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1)
        fail("query", conn ? PQerrorMessage(conn) : PQresultErrorMessage(result));
    PQclear(result);
}

static void request_pool(struct worker *worker)
{
    char key[16];
    const char *const values[] = {key};
    struct weir_statement_opts opts = {
        .size = sizeof(opts), .is_prepared = worker->is_prepared, .count = 1, .values = values};
    struct weir_error *error = NULL;
    struct weir_connection *connection;
    PGresult *result;

    key_next(worker, key);
    if (weir_pool_acquire(pool, NULL, &connection, &error) ||
        weir_execute(connection, worker->query->sql, &opts, &result, &error))
        fail("pool", weir_error_message(error));
    result_check(result, NULL);
    if (weir_connection_release(connection))
        fail("release", "refused");
}

static void execute_bare(struct worker *worker, PGconn *conn)
{
    char key[16];
    const char *const values[] = {key};

    key_next(worker, key);
    result_check(worker->is_prepared
                     ? PQexecPrepared(conn, worker->query->name, 1, values, NULL, NULL, 0)
                     : PQexecParams(conn, worker->query->sql, 1, NULL, values, NULL, NULL, 0),
                 conn);
}

static PGconn *peer_connect(void)
{
    PGconn *conn = PQconnectdb(peer_conninfo);

    if (PQstatus(conn) != CONNECTION_OK)
        fail("connect", PQerrorMessage(conn));
    return conn;
}

static void request_kept(struct worker *worker)
{
    if (!worker->kept) {
        worker->kept = peer_connect();
        for (unsigned i = 0; worker->is_prepared && i < QUERIES; i++)
            PQclear(PQprepare(worker->kept, queries[i].name, queries[i].sql, 1,
                              NULL)); /* if it failed its use tells */
    }
    execute_bare(worker, worker->kept);
}

static void request_connect(struct worker *worker)
{
    PGconn *conn = peer_connect();

    execute_bare(worker, conn);
    PQfinish(conn);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void *work(void *argument)
{
    struct worker *worker = argument;

    for (unsigned i = 0; i < WARM_UP; i++)
        worker->request(worker);
    (void)pthread_barrier_wait(&ready);
    (void)pthread_barrier_wait(&start);
    for (unsigned i = 0; i < worker->requests; i++) {
        worker->request(worker);
        if (i % REQUESTS_BETWEEN == REQUESTS_BETWEEN - 1)
            lanes_empty();
    }
    return NULL;
}

/* Kept connections stay from turn to turn: one a thread, prepared or not. */
static void workers_start(struct worker *workers, unsigned threads, const struct worker *model)
{
    for (unsigned i = 0; i < threads; i++) {
        PGconn *kept = workers[i].kept;
        workers[i] = *model;
        workers[i].kept = kept;
        workers[i].random = i * 7919u + (uint32_t)clock_monotonic_ns();
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
            fail("thread", "none can be made");
    }
}

static void turn(const struct worker *model, unsigned threads)
{
    static struct worker workers[2][THREADS_MAX];
    struct worker *used = workers[model->is_prepared];
    double requests = (double)threads * model->requests;
    uint64_t dropped = lanes_dropped(), begin_ns, cpu_ns;

    if (pthread_barrier_init(&ready, NULL, threads + 1) ||
        pthread_barrier_init(&start, NULL, threads + 1))
        fail("barrier", "none can be made");
    workers_start(used, threads, model);
    (void)pthread_barrier_wait(&ready);
    begin_ns = clock_monotonic_ns();
    cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    (void)pthread_barrier_wait(&start);
    for (unsigned i = 0; i < threads; i++)
        (void)pthread_join(used[i].thread, NULL);
    printf("{\"ns\":%.1f,\"cpu_ns\":%.1f,\"dropped\":%lu}\n",
           (double)(clock_monotonic_ns() - begin_ns) / requests,
           (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns) / requests,
           (unsigned long)(lanes_dropped() - dropped));
    (void)fflush(stdout);
    (void)pthread_barrier_destroy(&ready);
    (void)pthread_barrier_destroy(&start);
    lanes_empty();
}

static void pool_start(const char *conninfo, int connections)
{
    struct weir_error *error = NULL;
    struct weir_pool_opts opts;

    weir_pool_opts_init(&opts, sizeof(opts));
    opts.name = "bench";
    opts.conninfo = conninfo;
    opts.connections_min = opts.connections_max = connections;
    if (weir_pool_open(weir_manager_default(), &opts, &pool, &error))
        fail("open", weir_error_message(error));
}

static void (*request_of(const char *kind))(struct worker *worker)
{
    if (!strcmp(kind, "pool"))
        return request_pool;
    if (!strcmp(kind, "kept"))
        return request_kept;
    return strcmp(kind, "connect") ? NULL : request_connect;
}

int main(int argc, char **argv)
{
    unsigned threads, query, prepared;
    char line[128], kind[16];

    if (argc != 4) {
        fprintf(stderr, "usage: bench_query POOL_CONNINFO PEER_CONNINFO CONNECTIONS\n");
        return 2;
    }
    (void)setenv("WEIR_SOCKET", "/nonexistent/agent.sock", 1); /* we empty the lanes ourselves */
    peer_conninfo = argv[2];
    pool_start(argv[1], atoi(argv[3]));
    while (fgets(line, sizeof(line), stdin)) {
        struct worker model = {0};

        if (sscanf(line, "%15s %u %u %u %u", kind, &threads, &model.requests, &query, &prepared) !=
                5 ||
            !threads || threads > THREADS_MAX || !model.requests || query >= QUERIES ||
            prepared > 1 || !(model.request = request_of(kind))) {
            fprintf(stderr, "bench_query: no turn: %s", line);
            return 2;
        }
        model.query = &queries[query];
        model.is_prepared = prepared == 1;
        turn(&model, threads);
    }
    return 0;
}
