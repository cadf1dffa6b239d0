/* Acquires and releases connections of a libweir pool, a turn at a time and only when asked, so
 * that pool_peers.py can let several pools take turns on one machine: `bench_pool CONNINFO`.
 *
 * A line of standard input is one turn: "threads connections milliseconds sampled". Its answer is a
 * line of JSON: "ns", the turn's time divided by the pairs of all threads; "dropped", the events
 * that found no place; and if sampled is 1, so that each acquire is timed, "wait_p99_ns" and
 * "wait_max_ns". */
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "include/weir/manager.h"
#include "tests/bench/lanes_emptied.h"

enum {
    THREADS_MAX = 64,
    CONNECTIONS_MAX = 64,
    SAMPLES_MAX = 1 << 18,  /* a thread; what comes later is not timed */
    PAIRS_BETWEEN = 512,    /* a thread empties the lanes after so many */
    FILL_TIMEOUT_MS = 10000 /* for a new pool to have all its connections */
};

struct worker {
    alignas(128) struct weir_pool *pool; /* workers share no cache line */
    pthread_t thread;
    uint64_t pairs;
    uint32_t *samples; /* NULL: not timed */
    size_t sample_count;
};

static atomic_bool is_over;
static pthread_barrier_t ready, start;

_Noreturn static void fail(const char *doing, const struct weir_error *error)
{
    fprintf(stderr, "bench_pool: %s: %s\n", doing, weir_error_message(error));
    exit(1);
}

/* ---- a turn ---------------------------------------------------------------------------------- */

static struct weir_connection *acquire(struct weir_pool *pool)
{
    struct weir_error *error = NULL;
    struct weir_connection *connection;

    if (weir_pool_acquire(pool, NULL, &connection, &error))
        fail("acquire", error);
    return connection;
}

static void release(struct weir_connection *connection)
{
    if (weir_connection_release(connection))
        fail("release", NULL);
}

static void pair_timed(struct worker *worker)
{
    uint64_t begin_ns = clock_monotonic_ns();
    struct weir_connection *connection = acquire(worker->pool);
    uint64_t waited_ns = clock_monotonic_ns() - begin_ns;

    worker->samples[worker->sample_count++] =
        waited_ns < UINT32_MAX ? (uint32_t)waited_ns : UINT32_MAX;
    release(connection);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    uint64_t pairs = 0;

    (void)pthread_barrier_wait(&ready);
    (void)pthread_barrier_wait(&start);
    for (; !atomic_load_explicit(&is_over, memory_order_relaxed); pairs++) {
        if (worker->samples && worker->sample_count < SAMPLES_MAX)
            pair_timed(worker);
        else
            release(acquire(worker->pool));
        if (pairs % PAIRS_BETWEEN == PAIRS_BETWEEN - 1)
            lanes_empty();
    }
    worker->pairs = pairs;
    return NULL;
}

static int sample_compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void print_waits(const struct worker *workers, unsigned threads)
{
    static uint32_t all[(size_t)THREADS_MAX * SAMPLES_MAX];
    size_t count = 0;

    for (unsigned i = 0; i < threads; i++) {
        memcpy(all + count, workers[i].samples, workers[i].sample_count * sizeof(all[0]));
        count += workers[i].sample_count;
    }
    if (!count)
        return;
    qsort(all, count, sizeof(all[0]), sample_compare);
    printf(",\"wait_p99_ns\":%u,\"wait_max_ns\":%u", all[count * 99 / 100], all[count - 1]);
}

static void workers_start(struct worker *workers, unsigned threads, struct weir_pool *pool,
                          bool is_sampled)
{
    static uint32_t samples[THREADS_MAX][SAMPLES_MAX];

    for (unsigned i = 0; i < threads; i++) {
        workers[i] = (struct worker){.pool = pool, .samples = is_sampled ? samples[i] : NULL};
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
            fail("no thread", NULL);
    }
}

static void turn(struct weir_pool *pool, unsigned threads, unsigned milliseconds, bool is_sampled)
{
    struct timespec length = {.tv_sec = milliseconds / 1000,
                              .tv_nsec = (long)(milliseconds % 1000) * 1000000};
    static struct worker workers[THREADS_MAX];
    uint64_t dropped = lanes_dropped(), pairs = 0, begin_ns;

    atomic_store(&is_over, false);
    if (pthread_barrier_init(&ready, NULL, threads + 1) ||
        pthread_barrier_init(&start, NULL, threads + 1))
        fail("no barrier", NULL);
    workers_start(workers, threads, pool, is_sampled);
    (void)pthread_barrier_wait(&ready);
    begin_ns = clock_monotonic_ns();
    (void)pthread_barrier_wait(&start);
    (void)nanosleep(&length, NULL);
    atomic_store(&is_over, true);
    for (unsigned i = 0; i < threads; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        pairs += workers[i].pairs;
    }
    printf("{\"ns\":%.2f,\"dropped\":%lu",
           (double)(clock_monotonic_ns() - begin_ns) / (double)pairs,
           (unsigned long)(lanes_dropped() - dropped));
    if (is_sampled)
        print_waits(workers, threads);
    printf("}\n");
    (void)fflush(stdout);
    (void)pthread_barrier_destroy(&ready);
    (void)pthread_barrier_destroy(&start);
    lanes_empty();
}

/* ---- pools ----------------------------------------------------------------------------------- */

/* Until every connection is there: what a turn measures is a pool at rest. */
static void pool_fill(struct weir_pool *pool, unsigned connections)
{
    struct weir_pool_stats stats = {.size = sizeof(stats)};
    uint64_t deadline_ns = clock_monotonic_ns() + FILL_TIMEOUT_MS * NS_PER_MS;
    struct timespec wait = {.tv_nsec = 1000000};

    do {
        weir_pool_stats_get(pool, &stats, sizeof(stats));
        if (stats.idle == connections)
            return;
        (void)nanosleep(&wait, NULL);
    } while (clock_monotonic_ns() < deadline_ns);
    fail("the pool did not get its connections", NULL);
}

static struct weir_pool *pool_of(const char *conninfo, unsigned connections)
{
    static struct weir_pool *pools[CONNECTIONS_MAX + 1];
    struct weir_error *error = NULL;
    struct weir_pool_opts opts;
    char name[32];

    if (pools[connections])
        return pools[connections];
    (void)snprintf(name, sizeof(name), "of-%u", connections);
    weir_pool_opts_init(&opts, sizeof(opts));
    opts.name = name;
    opts.conninfo = conninfo;
    opts.connections_min = opts.connections_max = (int32_t)connections;
    opts.connect_rate_max = 1000;
    if (weir_pool_open(weir_manager_default(), &opts, &pools[connections], &error))
        fail("open", error);
    pool_fill(pools[connections], connections);
    return pools[connections];
}

int main(int argc, char **argv)
{
    unsigned threads, connections, milliseconds, is_sampled;
    char line[128];

    if (argc != 2) {
        fprintf(stderr, "usage: bench_pool CONNINFO\n");
        return 2;
    }
    (void)setenv("WEIR_SOCKET", "/nonexistent/agent.sock", 1); /* we empty the lanes ourselves */
    while (fgets(line, sizeof(line), stdin)) {
        if (sscanf(line, "%u %u %u %u", &threads, &connections, &milliseconds, &is_sampled) != 4 ||
            !threads || threads > THREADS_MAX || !connections || connections > CONNECTIONS_MAX) {
            fprintf(stderr, "bench_pool: no turn: %s", line);
            return 2;
        }
        turn(pool_of(argv[1], connections), threads, milliseconds, is_sampled == 1);
    }
    return 0;
}
