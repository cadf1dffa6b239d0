/* What one hold of a pool's connection costs its thread: an acquire that waits for nobody and its
 * release, beside the same told in two halves, measured in turns so that the machine's moods strike
 * both alike; then with several threads, each with a connection of its own in one pool. Prints one
 * JSON object a row; what it has to say goes to standard error. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "shim/probe/table.h"
#include "tests/bench/lanes_emptied.h"

enum {
    TURNS = 200,
    HOLDS = 1000, /* a turn */
    WARM_UP_MS = 300,
    THREADS_MAX = 4,
    THREAD_TURNS = 200,
};

static const struct probe_table *probe;
static struct weir_probe_pool *pool;
static struct weir_probe_connection *connection;

static struct weir_probe_connection *connect_one(void)
{
    struct weir_probe_target target = {
        .size = sizeof(target), .address = "127.0.0.1", .database = "bench"};
    struct weir_probe_connection *opened = probe->connect_begin(pool, &target);

    probe->connect_end(opened, NULL);
    return opened;
}

static __attribute__((noinline)) void hold_at_once(struct weir_probe_connection *on)
{
    probe->acquire_immediate(pool, on, NULL, __builtin_return_address(0));
    probe->release(on);
}

static __attribute__((noinline)) void hold_in_halves(struct weir_probe_connection *on)
{
    struct weir_probe_acquire acquire;

    probe->acquire_begin(pool, &acquire, NULL, __builtin_return_address(0));
    probe->acquire_end(&acquire, on, WEIR_FAILURE_NONE, NULL);
    probe->release(on);
}

static double turn(void (*hold)(struct weir_probe_connection *), struct weir_probe_connection *on)
{
    uint64_t begin_ns = clock_monotonic_ns();

    for (unsigned i = 0; i < HOLDS; i++)
        hold(on);
    return (double)(clock_monotonic_ns() - begin_ns) / HOLDS;
}

static int double_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double middle(double *values, unsigned count)
{
    qsort(values, count, sizeof(values[0]), double_compare);
    return values[count / 2];
}

static void compare_halves(void)
{
    double ours_ns[TURNS], halves_ns[TURNS], ours, halves;

    for (int i = 0; i < TURNS; i++) {
        ours_ns[i] = turn(hold_at_once, connection);
        lanes_empty();
        halves_ns[i] = turn(hold_in_halves, connection);
        lanes_empty();
    }
    ours = middle(ours_ns, TURNS);
    halves = middle(halves_ns, TURNS);
    printf("{\"name\":\"immediate acquire + release\",\"ours\":%.1f,\"peer\":%.1f,\"peer_name\":"
           "\"acquire in two halves + release\",\"unit\":\"ns\",\"ratio\":%.3f,\"budget\":0.7,"
           "\"holds\":%s}\n",
           ours, halves, ours / halves, ours <= 0.7 * halves ? "true" : "false");
}

/* ---- threads --------------------------------------------------------------------------------- */

static atomic_uint ready;
static atomic_bool go;

struct worker {
    pthread_t thread;
    double turn_ns[THREAD_TURNS];
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct weir_probe_connection *own = connect_one();

    (void)turn(hold_at_once, own);
    atomic_fetch_add(&ready, 1);
    while (!atomic_load(&go))
        ;
    for (unsigned i = 0; i < THREAD_TURNS; i++) {
        worker->turn_ns[i] = turn(hold_at_once, own);
        lanes_empty();
    }
    probe->connection_close(own, WEIR_FAILURE_NONE, NULL);
    return NULL;
}

static void threads_measure(unsigned count)
{
    static struct worker workers[THREADS_MAX];
    double worst = 0, here;

    atomic_store(&ready, 0);
    atomic_store(&go, false);
    for (unsigned i = 0; i < count; i++)
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
            exit(1);
    while (atomic_load(&ready) < count)
        ;
    atomic_store(&go, true);
    for (unsigned i = 0; i < count; i++)
        (void)pthread_join(workers[i].thread, NULL);
    for (unsigned i = 0; i < count; i++) {
        here = middle(workers[i].turn_ns, THREAD_TURNS);
        worst = here > worst ? here : worst;
    }
    printf("{\"name\":\"immediate acquire + release, %u threads\",\"ours\":%.1f,\"peer\":null,"
           "\"peer_name\":null,\"unit\":\"ns\",\"ratio\":null,\"budget\":null,\"holds\":null}\n",
           count, worst);
}

int main(void)
{
    struct weir_probe_pool_opts opts = {.size = sizeof(opts),
                                        .name = "bench",
                                        .connections_max = THREADS_MAX + 1,
                                        .flags = WEIR_PROBE_POOL_OBSERVES_ACQUIRE};
    uint64_t warm_ns;

    (void)setenv("WEIR_SOCKET", "/nonexistent/agent.sock", 1); /* lanes are emptied by ourselves */
    probe = probe_table();
    pool = probe->pool_open(&opts);
    connection = connect_one();
    warm_ns = clock_monotonic_ns() + WARM_UP_MS * NS_PER_MS;
    while (clock_monotonic_ns() < warm_ns) { /* the probe's clock learns how fast it runs */
        (void)turn(hold_at_once, connection);
        lanes_empty();
    }
    compare_halves();
    for (unsigned count = 2; count <= THREADS_MAX; count *= 2)
        threads_measure(count);
    fprintf(stderr, "%ld cores\n", sysconf(_SC_NPROCESSORS_ONLN));
    return 0;
}
