/* What one statement costs its thread: begin and end through the public calls, beside an LTTng-UST
 * tracepoint into a live session and a Unix datagram an event, measured in turns so that the
 * machine's moods strike all alike. Prints one JSON object a row; what it has to say goes to
 * standard error. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "include/weir/probe.h"
#include "tests/bench/lanes_emptied.h"

#ifdef WEIR_BENCH_LTTNG
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "statement_tracepoint.h"
#endif

enum {
    TURNS = 60,
    EVENTS = 1000, /* a turn */
    WARM_UP_MS = 500,
    THREADS_MAX = 16,
    SAMPLES = 100000, /* a thread */
    TEXTS = 8,
};

extern char **environ;

static struct weir_probe_pool *pool;
static struct weir_probe_connection *connection;

static const char *const texts[TEXTS] = {
    "SELECT abalance FROM pgbench_accounts WHERE aid = $1",
    "UPDATE pgbench_accounts SET abalance = abalance + $1 WHERE aid = $2",
    "UPDATE pgbench_tellers SET tbalance = tbalance + $1 WHERE tid = $2",
    "UPDATE pgbench_branches SET bbalance = bbalance + $1 WHERE bid = $2",
    "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES ($1, $2, $3, $4, $5)",
    "SELECT o.id, o.total, c.name FROM orders o JOIN customers c ON c.id = o.customer_id "
    "WHERE o.created_at > $1 AND c.region = $2 ORDER BY o.created_at DESC LIMIT $3",
    "SELECT 1",
    "DELETE FROM sessions WHERE expires_at < now()",
};

static void bracket(struct weir_probe_connection *on, unsigned number)
{
    const char *text = texts[number % TEXTS];
    struct weir_probe_statement_result result = {.size = sizeof(result), .rows = 1};
    struct weir_probe_statement statement;

    weir_probe_statement_begin(on, &statement, text, SIZE_MAX, 0);
    weir_probe_statement_end(&statement, &result);
}

static struct weir_probe_connection *connect_one(void)
{
    struct weir_probe_target target = {
        .size = sizeof(target), .address = "127.0.0.1", .database = "bench"};
    struct weir_probe_connection *opened = weir_probe_connect_begin(pool, &target);

    weir_probe_connect_end(opened, NULL);
    return opened;
}

/* ---- peers ----------------------------------------------------------------------------------- */

#ifdef WEIR_BENCH_LTTNG
static char lttng_home[] = "/tmp/weir-bench-XXXXXX";
static char lttng_session[64];
static bool lttng_is_ours; /* the session daemon: to be ended */

static int run_quietly(char *const arguments[])
{
    posix_spawn_file_actions_t actions;
    int status = -1;
    pid_t pid;

    if (posix_spawn_file_actions_init(&actions))
        return -1;
    (void)posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    (void)posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    if (posix_spawnp(&pid, arguments[0], &actions, NULL, arguments, environ))
        pid = -1;
    (void)posix_spawn_file_actions_destroy(&actions);
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define RUN(...) run_quietly((char *const[]){__VA_ARGS__, NULL})

/* Where the daemon that we started wrote its process id. */
static pid_t lttng_daemon_pid(void)
{
    char path[PATH_MAX];
    FILE *file;
    int pid = 0;

    if (geteuid() == 0)
        (void)snprintf(path, sizeof(path), "/var/run/lttng/lttng-sessiond.pid");
    else
        (void)snprintf(path, sizeof(path), "%s/.lttng/lttng-sessiond.pid", lttng_home);
    file = fopen(path, "r");
    if (!file)
        return 0;
    if (fscanf(file, "%d", &pid) != 1)
        pid = 0;
    (void)fclose(file); /* only read from */
    return pid;
}

/* A session with this program's tracepoint on. Returns why not, or NULL. */
static const char *lttng_start(void)
{
    char output[PATH_MAX];

    if (!mkdtemp(lttng_home))
        return "no folder for its files";
    (void)setenv("LTTNG_HOME", lttng_home, 1);
    (void)setenv("HOME", lttng_home, 1);
    (void)snprintf(lttng_session, sizeof(lttng_session), "weir-bench-%d", (int)getpid());
    (void)snprintf(output, sizeof(output), "--output=%s/trace", lttng_home);
    lttng_is_ours =
        RUN((char *)"lttng-sessiond", (char *)"--no-kernel", (char *)"--daemonize") == 0;
    if (RUN((char *)"lttng", (char *)"create", lttng_session, output))
        return "lttng create failed: no session daemon";
    if (RUN((char *)"lttng", (char *)"enable-event", (char *)"-u", (char *)"-s", lttng_session,
            (char *)"weir_bench:*") ||
        RUN((char *)"lttng", (char *)"start", lttng_session))
        return "lttng start failed";
    for (int i = 0; i < 500; i++) {
        struct timespec wait = {.tv_nsec = 10000000};
        if (lttng_ust_tracepoint_enabled(weir_bench, statement))
            return NULL;
        (void)nanosleep(&wait, NULL);
    }
    return "the tracepoint was never enabled";
}

static void lttng_stop(void)
{
    pid_t daemon = lttng_daemon_pid();

    (void)RUN((char *)"lttng", (char *)"destroy", lttng_session);
    if (lttng_is_ours && daemon > 0)
        (void)kill(daemon, SIGTERM);
    (void)RUN((char *)"rm", (char *)"-rf", lttng_home);
}

static void peer_tracepoint(unsigned number)
{
    lttng_ust_tracepoint(weir_bench, statement, number, 2, 3);
}
#else
static const char *lttng_start(void)
{
    return "built without lttng-ust";
}

static void lttng_stop(void)
{
}

static void peer_tracepoint(unsigned number)
{
    (void)number;
}
#endif

static int datagram_fds[2] = {-1, -1};

static void *datagram_receive(void *argument)
{
    char bytes[256];

    (void)argument;
    while (recv(datagram_fds[1], bytes, sizeof(bytes), 0) > 0)
        ;
    return NULL;
}

/* As large as our own event. */
static void peer_datagram(unsigned number)
{
    char bytes[96] = {0};

    memcpy(bytes, &number, sizeof(number));
    (void)send(datagram_fds[0], bytes, sizeof(bytes), MSG_NOSIGNAL); /* blocks: none is lost */
}

static void ours_in_hold(unsigned number)
{
    bracket(connection, number);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static double turn(void (*event)(unsigned))
{
    uint64_t begin_ns = clock_monotonic_ns();

    for (unsigned i = 0; i < EVENTS; i++)
        event(i);
    return (double)(clock_monotonic_ns() - begin_ns) / EVENTS;
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

static void row(const char *name, double ours, double peer, const char *peer_name, double budget)
{
    double ratio = ours / peer;

    printf("{\"name\":\"%s\",\"ours\":%.1f,\"peer\":%.1f,\"peer_name\":\"%s\",\"unit\":\"ns\","
           "\"ratio\":%.3f,\"budget\":%g,\"holds\":%s}\n",
           name, ours, peer, peer_name, ratio, budget, ratio <= budget ? "true" : "false");
}

static void row_unknown(const char *name, double ours, const char *peer_name, const char *why)
{
    fprintf(stderr, "%s: n/a: %s\n", peer_name, why);
    printf("{\"name\":\"%s\",\"ours\":%.1f,\"peer\":null,\"peer_name\":\"%s\",\"unit\":\"ns\","
           "\"ratio\":null,\"budget\":null,\"holds\":null}\n",
           name, ours, peer_name);
}

/* Ours and a peer take turns; the middle of each. */
static void compare(void (*ours)(unsigned), void (*peer)(unsigned), double *ret_ours,
                    double *ret_peer)
{
    double ours_ns[TURNS], peer_ns[TURNS];

    for (int i = 0; i < TURNS; i++) {
        ours_ns[i] = turn(ours);
        lanes_empty();
        peer_ns[i] = turn(peer);
    }
    *ret_ours = middle(ours_ns);
    *ret_peer = middle(peer_ns);
}

static void nothing(unsigned number)
{
    (void)number;
}

static void compare_lttng(const char *name, void (*ours)(unsigned), double budget,
                          const char *why_not)
{
    double ours_ns, peer_ns;

    if (why_not) {
        compare(ours, nothing, &ours_ns, &peer_ns);
        row_unknown(name, ours_ns, "LTTng-UST tracepoint", why_not);
        return;
    }
    compare(ours, peer_tracepoint, &ours_ns, &peer_ns);
    row(name, ours_ns, peer_ns, "LTTng-UST tracepoint", budget);
}

static void compare_datagram(void)
{
    double ours_ns, peer_ns;
    pthread_t receiver;

    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, datagram_fds) < 0 ||
        pthread_create(&receiver, NULL, datagram_receive, NULL)) {
        fprintf(stderr, "datagram: n/a: %s\n", strerror(errno));
        return;
    }
    compare(ours_in_hold, peer_datagram, &ours_ns, &peer_ns);
    row("statement begin + end, in a hold", ours_ns, peer_ns, "Unix datagram an event", 0.5);
    (void)shutdown(datagram_fds[1], SHUT_RDWR);
    (void)close(datagram_fds[0]);
    (void)pthread_join(receiver, NULL);
    (void)close(datagram_fds[1]);
}

/* ---- threads --------------------------------------------------------------------------------- */

static atomic_uint ready;
static atomic_bool go, is_over;
static unsigned thread_count;

struct samples {
    uint32_t ns[SAMPLES];
};

/* One bracket at a time, timed from outside; the clock's own price is taken off below. */
static void *sampler(void *argument)
{
    struct samples *samples = argument;
    struct weir_probe_connection *own = connect_one();

    for (unsigned i = 0; i < TEXTS; i++)
        bracket(own, i);
    atomic_fetch_add(&ready, 1);
    while (!atomic_load(&go))
        ;
    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t begin_ns = clock_monotonic_ns();
        bracket(own, i);
        samples->ns[i] = (uint32_t)(clock_monotonic_ns() - begin_ns);
    }
    weir_probe_connection_close(own, WEIR_FAILURE_NONE, NULL);
    return NULL;
}

static void *reader(void *argument)
{
    (void)argument;
    while (!atomic_load(&is_over)) {
        struct timespec wait = {.tv_nsec = 2000000};
        lanes_empty();
        (void)nanosleep(&wait, NULL);
    }
    return NULL;
}

static int sample_compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t clock_price_ns(void)
{
    uint32_t least = UINT32_MAX;

    for (int i = 0; i < 1000; i++) {
        uint64_t begin_ns = clock_monotonic_ns();
        uint32_t passed = (uint32_t)(clock_monotonic_ns() - begin_ns);
        least = passed < least ? passed : least;
    }
    return least;
}

static void threads_measure(unsigned count)
{
    static struct samples samples[THREADS_MAX];
    static uint32_t all[THREADS_MAX * SAMPLES];
    pthread_t threads[THREADS_MAX], drain;
    uint32_t price = clock_price_ns();
    size_t total = (size_t)count * SAMPLES;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    double p999;

    thread_count = count;
    atomic_store(&ready, 0);
    atomic_store(&go, false);
    atomic_store(&is_over, false);
    if (pthread_create(&drain, NULL, reader, NULL))
        return;
    for (unsigned i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, sampler, &samples[i]))
            exit(1);
    while (atomic_load(&ready) < count)
        ;
    atomic_store(&go, true);
    for (unsigned i = 0; i < count; i++)
        (void)pthread_join(threads[i], NULL);
    atomic_store(&is_over, true);
    (void)pthread_join(drain, NULL);
    for (unsigned i = 0; i < count; i++)
        memcpy(all + (size_t)i * SAMPLES, samples[i].ns, sizeof(samples[i].ns));
    for (size_t i = 0; i < total; i++)
        all[i] = all[i] > price ? all[i] - price : 0;
    qsort(all, total, sizeof(all[0]), sample_compare);
    p999 = all[total - total / 1000 - 1];
    fprintf(stderr, "%2u threads on %ld cores: p50 %u ns, p99 %u ns, p99.9 %.0f ns\n", count, cores,
            all[total / 2], all[total - total / 100 - 1], p999);
    printf("{\"name\":\"recording p99.9, %u thread%s\",\"ours\":%.0f,\"peer\":1000,\"peer_name\":"
           "\"one microsecond\",\"unit\":\"ns\",\"ratio\":%.3f,\"budget\":1,\"holds\":%s}\n",
           count, count == 1 ? "" : "s", p999, p999 / 1000, p999 <= 1000 ? "true" : "false");
}

/* Texts become known, and the probe's clock learns how fast the counter runs. */
static void warm_up(void)
{
    uint64_t end_ns = clock_monotonic_ns() + WARM_UP_MS * NS_PER_MS;

    while (clock_monotonic_ns() < end_ns) {
        (void)turn(ours_in_hold);
        lanes_empty();
    }
}

int main(void)
{
    struct weir_probe_pool_opts opts = {.size = sizeof(opts), .name = "bench"};
    struct weir_probe_acquire acquire;
    const struct segment *segment;
    const char *why_not;

    (void)setenv("WEIR_SOCKET", "/nonexistent/agent.sock", 1); /* lanes are emptied by ourselves */
    why_not = lttng_start();
    pool = weir_probe_pool_open(&opts);
    connection = connect_one();
    warm_up();
    compare_lttng("statement begin + end, each its own hold", ours_in_hold, 0.8, why_not);
    weir_probe_acquire_begin(pool, &acquire, NULL);
    weir_probe_acquire_end(&acquire, connection, WEIR_FAILURE_NONE, NULL);
    compare_lttng("statement begin + end, in a hold", ours_in_hold, 0.5, why_not);
    compare_datagram();
    weir_probe_release(connection);
    lttng_stop();
    for (unsigned count = 1; count <= THREADS_MAX; count *= 2)
        threads_measure(count);

    segment = segment_enter();
    if (!segment || atomic_load(&segment->header->dropped[SEGMENT_DROP_LANES_BUSY]))
        fprintf(stderr, "lanes were busy %lu times\n",
                segment
                    ? (unsigned long)atomic_load(&segment->header->dropped[SEGMENT_DROP_LANES_BUSY])
                    : 0UL);
    return 0;
}
