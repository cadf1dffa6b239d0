#include "load.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "include/weir/transaction.h"
#include "tell.h"
#include "tests/integration/pool/stall.h"

enum {
    CATEGORIES = 64,
    FAILURES_TOLD = 2000,     /* one by one; the sums have them all */
    PACE_AFTER_FAILURE = 1000 /* in µs: what is refused at once must not become a storm of ours */
};

struct worker {
    unsigned number;
    const struct load_group *group;
    pthread_t thread;
    unsigned mark_seen;
};

static struct load_opts load;
static struct worker workers[LOAD_THREADS_MAX];
static unsigned worker_count;
static _Atomic unsigned workers_over;
static _Atomic bool is_stopping;
static _Atomic uint64_t rounds_ok, rounds_failed, failures_told;
static _Atomic uint64_t counts[CATEGORIES];
static _Atomic uint64_t acquire_late_ns, statement_late_ns, acquire_longest_ns, last_failure_ns;

/* ---- marks ----------------------------------------------------------------------------------- */

static pthread_mutex_t mark_mutex = PTHREAD_MUTEX_INITIALIZER; /* guards the name and the count */
static char mark_name[64];
static unsigned mark_successes;
static _Atomic unsigned mark_generation;

void load_mark(const char *name)
{
    (void)pthread_mutex_lock(&mark_mutex);
    (void)snprintf(mark_name, sizeof(mark_name), "%s", name);
    mark_successes = 0;
    atomic_fetch_add(&mark_generation, 1);
    tell(json_pack("{s:s,s:s}", "event", "mark", "mark", mark_name));
    (void)pthread_mutex_unlock(&mark_mutex);
}

/* The worker's first success since the newest mark. */
static void mark_reach(struct worker *worker)
{
    if (worker->mark_seen == atomic_load(&mark_generation))
        return;
    (void)pthread_mutex_lock(&mark_mutex);
    worker->mark_seen = atomic_load(&mark_generation);
    mark_successes++;
    if (mark_successes == 1)
        tell(json_pack("{s:s,s:s}", "event", "first", "mark", mark_name));
    if (mark_successes == worker_count)
        tell(json_pack("{s:s,s:s}", "event", "all", "mark", mark_name));
    (void)pthread_mutex_unlock(&mark_mutex);
}

/* ---- steps of a round ------------------------------------------------------------------------ */

struct round {
    struct worker *worker;
    char text[32]; /* the round's own */
    int category;  /* its outcome so far */
};

struct step {
    const char *name;
    uint64_t begin_ns, deadline_ns; /* UINT64_MAX: none */
};

static struct step step_begin(const char *name, int32_t time_ms, int32_t otherwise_ms)
{
    struct step step = {.name = name, .begin_ns = clock_monotonic_ns()};
    int32_t ms = time_ms ? time_ms : otherwise_ms;

    step.deadline_ns = ms == WEIR_NEVER ? UINT64_MAX : step.begin_ns + (uint64_t)ms * NS_PER_MS;
    return step;
}

static void most_note(_Atomic uint64_t *most, uint64_t value)
{
    uint64_t before = atomic_load(most);

    while (value > before && !atomic_compare_exchange_weak(most, &before, value))
        continue;
}

static double ms_of(uint64_t ns)
{
    return (double)ns / (double)NS_PER_MS;
}

/* Past the deadline, but for what the machine let everybody wait since. */
static uint64_t late_of(const struct step *step, uint64_t end_ns)
{
    uint64_t late_ns = end_ns - step->deadline_ns, machine_ns = stalled_ns(step->deadline_ns);

    return late_ns > machine_ns ? late_ns - machine_ns : 0;
}

static void failure_tell(const struct round *round, const struct step *step, uint64_t end_ns,
                         const struct weir_error *error)
{
    uint64_t late_ns = end_ns > step->deadline_ns ? end_ns - step->deadline_ns : 0;
    enum weir_error_category category = (enum weir_error_category)round->category;

    if (atomic_fetch_add(&failures_told, 1) >= FAILURES_TOLD)
        return;
    tell(json_pack("{s:s,s:s,s:s,s:s,s:s,s:b,s:b,s:f,s:f,s:i,s:s,s:I}", "event", "failure", "step",
                   step->name, "category", weir_error_category_name(category), "sqlstate",
                   weir_error_sqlstate(error), "message", weir_error_message(error), "survived",
                   weir_error_connection_survived(error), "retryable",
                   weir_error_is_retryable(error), "took_ms", ms_of(end_ns - step->begin_ns),
                   "late_ms", ms_of(late_ns), "thread", (int)round->worker->number, "round",
                   round->text, "at_ns", tell_number(end_ns)));
}

/* Takes @error over. Returns whether the step succeeded. */
static bool step_end(struct round *round, const struct step *step, int result,
                     struct weir_error *error)
{
    uint64_t end_ns = clock_monotonic_ns();
    bool is_acquire = !strcmp(step->name, "acquire");

    if (is_acquire)
        most_note(&acquire_longest_ns, end_ns - step->begin_ns);
    if (end_ns > step->deadline_ns)
        most_note(is_acquire ? &acquire_late_ns : &statement_late_ns, late_of(step, end_ns));
    if (!result)
        return true;
    if (!round->category) { /* what follows from the first failure is not counted again */
        round->category = result;
        atomic_fetch_add(&counts[result % CATEGORIES], 1);
        most_note(&last_failure_ns, end_ns);
        failure_tell(round, step, end_ns, error);
    }
    weir_error_free(error);
    return false;
}

static int32_t acquire_default_ms(void)
{
    struct weir_pool_opts opts;

    weir_pool_opts_get(load.pool, &opts, sizeof(opts));
    return opts.acquire_timeout_ms;
}

static int32_t statement_default_ms(void)
{
    struct weir_pool_opts opts;

    weir_pool_opts_get(load.pool, &opts, sizeof(opts));
    return opts.statement_timeout_ms;
}

/* As an event loop does it: nothing but the request's descriptor tells when to go on. */
static int acquire_by_events(const struct weir_acquire_opts *opts,
                             struct weir_connection **ret_connection, struct weir_error **ret_error)
{
    struct weir_acquire *acquire;
    int r = weir_acquire_start(load.pool, opts, &acquire, ret_error);

    if (r)
        return r;
    while ((r = weir_acquire_step(acquire, ret_connection, ret_error)) == WEIR_PENDING) {
        struct pollfd at = {.fd = weir_acquire_fd(acquire), .events = POLLIN};
        (void)poll(&at, 1, -1);
    }
    return r;
}

static struct weir_connection *round_acquire(struct round *round)
{
    struct weir_acquire_opts opts = {.size = sizeof(opts), .timeout_ms = load.acquire_ms};
    struct step step = step_begin("acquire", load.acquire_ms, acquire_default_ms());
    struct weir_connection *connection = NULL;
    struct weir_error *error = NULL;
    int r = round->worker->group->work == WORK_EVENT
                ? acquire_by_events(&opts, &connection, &error)
                : weir_pool_acquire(load.pool, &opts, &connection, &error);

    return step_end(round, &step, r, error) ? connection : NULL;
}

static int round_statement(const struct round *round, struct weir_connection *connection,
                           struct weir_error **ret_error)
{
    const char *values[] = {round->text};
    bool has_parameter = strstr(round->worker->group->sql, "$1") != NULL;
    struct weir_statement_opts opts = {
        .size = sizeof(opts),
        .timeout_ms = load.statement_ms,
        .is_prepared = load.is_prepared,
        .count = has_parameter,
        .values = has_parameter ? values : NULL,
    };

    return weir_execute(connection, round->worker->group->sql, &opts, NULL, ret_error);
}

static bool round_execute(struct round *round, struct weir_connection *connection)
{
    struct step step = step_begin("execute", load.statement_ms, statement_default_ms());
    struct weir_error *error = NULL;
    int r = round_statement(round, connection, &error);

    return step_end(round, &step, r, error);
}

static void round_transaction(struct round *round, struct weir_connection *connection)
{
    int32_t statement_ms = statement_default_ms();
    struct step step = step_begin("begin", 0, statement_ms);
    struct weir_error *error = NULL;
    int r = weir_transaction_begin(connection, NULL, &error);

    if (!step_end(round, &step, r, error))
        return;
    error = NULL;
    if (round_execute(round, connection)) {
        step = step_begin("commit", 0, statement_ms);
        r = weir_transaction_commit(connection, &error);
    } else {
        step = step_begin("rollback", 0, statement_ms);
        r = weir_transaction_rollback(connection, &error);
    }
    (void)step_end(round, &step, r, error);
}

static int run_work(void *userdata, struct weir_connection *connection,
                    struct weir_error **ret_error)
{
    return round_statement(userdata, connection, ret_error);
}

static void round_run(struct round *round)
{
    struct weir_acquire_opts opts = {.size = sizeof(opts), .timeout_ms = load.acquire_ms};
    struct step step = step_begin("run", WEIR_NEVER, 0);
    struct weir_error *error = NULL;
    int r = weir_transaction_run(load.pool, &opts, NULL, run_work, round, &error);

    (void)step_end(round, &step, r, error);
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static void pause_us(unsigned us)
{
    struct timespec time = {.tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000};

    if (us)
        (void)nanosleep(&time, NULL);
}

static void round_do(struct round *round)
{
    enum load_work work = round->worker->group->work;
    struct weir_connection *connection;

    if (work == WORK_RUN) {
        round_run(round);
        return;
    }
    connection = round_acquire(round);
    if (!connection)
        return;
    if (work == WORK_STATEMENT || work == WORK_EVENT)
        (void)round_execute(round, connection);
    else if (work == WORK_TRANSACTION)
        round_transaction(round, connection);
    pause_us(load.hold_us);
    (void)weir_connection_release(connection);
}

static void *worker_run(void *userdata)
{
    struct worker *worker = userdata;

    for (unsigned i = 0; (!load.rounds || i < load.rounds) && !atomic_load(&is_stopping); i++) {
        struct round round = {.worker = worker};
        (void)snprintf(round.text, sizeof(round.text), "%u-%u", worker->number, i);
        round_do(&round);
        if (round.category == WEIR_ERROR_DRAINING)
            break;
        if (round.category) {
            atomic_fetch_add(&rounds_failed, 1);
            pause_us(PACE_AFTER_FAILURE);
        } else {
            atomic_fetch_add(&rounds_ok, 1);
            mark_reach(worker);
        }
        pause_us(load.pace_us);
    }
    atomic_fetch_add(&workers_over, 1);
    return NULL;
}

/* ---- as a whole ------------------------------------------------------------------------------ */

bool load_group_parse(const char *text, struct load_group *ret)
{
    static const char *const works[] = {"acquire", "statement", "transaction", "run", "event"};
    char *end;

    ret->threads = (unsigned)strtoul(text, &end, 10);
    if (*end++ != ':' || !ret->threads || ret->threads > LOAD_THREADS_MAX)
        return false;
    for (unsigned i = 0; i < sizeof(works) / sizeof(*works); i++) {
        size_t length = strlen(works[i]);
        if (strncmp(end, works[i], length) != 0 || (end[length] && end[length] != ':'))
            continue;
        ret->work = (enum load_work)i;
        ret->sql = end[length] ? end + length + 1 : "SELECT 1";
        return true;
    }
    return false;
}

void load_start(const struct load_opts *opts)
{
    load = *opts;
    for (unsigned i = 0; i < load.group_count; i++)
        for (unsigned j = 0; j < load.groups[i].threads && worker_count < LOAD_THREADS_MAX; j++) {
            workers[worker_count] =
                (struct worker){.number = worker_count, .group = &load.groups[i]};
            worker_count++;
        }
    for (unsigned i = 0; i < worker_count; i++)
        if (pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]))
            tell_fatal("starting a thread", NULL);
}

void load_count(uint64_t *ret_ok, uint64_t *ret_failed)
{
    *ret_ok = atomic_load(&rounds_ok);
    *ret_failed = atomic_load(&rounds_failed);
}

bool load_is_over(void)
{
    return worker_count && atomic_load(&workers_over) == worker_count;
}

void load_stop(void)
{
    atomic_store(&is_stopping, true);
    for (unsigned i = 0; i < worker_count; i++)
        (void)pthread_join(workers[i].thread, NULL);
    worker_count = 0;
}

json_t *load_sums(void)
{
    json_t *failed = json_object();

    for (unsigned i = 0; i < CATEGORIES; i++) {
        uint64_t count = atomic_load(&counts[i]);
        if (count)
            (void)json_object_set_new(failed, weir_error_category_name((enum weir_error_category)i),
                                      json_integer(tell_number(count)));
    }
    return json_pack("{s:I,s:o,s:f,s:f,s:f,s:I}", "ok", tell_number(atomic_load(&rounds_ok)),
                     "failed", failed, "acquire_late_ms", ms_of(atomic_load(&acquire_late_ns)),
                     "statement_late_ms", ms_of(atomic_load(&statement_late_ns)),
                     "acquire_longest_ms", ms_of(atomic_load(&acquire_longest_ns)),
                     "last_failure_ns", tell_number(atomic_load(&last_failure_ns)));
}
