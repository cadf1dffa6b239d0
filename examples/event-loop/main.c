/* A load of statements in one thread: many in flight, and nothing ever blocks the loop. A timer
 * that looks how late it comes shows the latter. README.md tells more. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "arguments.h"
#include "job.h"

enum { BEAT_MS = 5, DRAIN_MS = 2000, EXIT_SOME_FAILED = 1, EXIT_USAGE = 2, NS_PER_MS = 1000000 };

struct load {
    const struct arguments *arguments;
    uv_loop_t loop;
    uv_timer_t beat;
    uv_signal_t interrupt;
    struct weir_manager *manager;
    struct weir_pool *pool;
    struct job *jobs;
    uint32_t active, active_peak, started, succeeded, failed;
    uint64_t begin_ns, beat_ns, latest_ns;
    bool has_told;
};

/* ---- how the loop fares ---------------------------------------------------------------------- */

static void on_beat(uv_timer_t *timer)
{
    struct load *load = timer->data;
    uint64_t now_ns = uv_hrtime(), late_ns = now_ns - load->beat_ns;

    if (late_ns > load->latest_ns)
        load->latest_ns = late_ns;
    load->beat_ns = now_ns;
}

static void on_interrupt(uv_signal_t *interrupt, int number)
{
    struct load *load = interrupt->data;

    (void)number;
    load->started = load->arguments->requests; /* no more begin */
    for (uint32_t i = 0; i < load->arguments->in_flight; i++)
        job_cancel(&load->jobs[i]);
}

static int watches_init(struct load *load)
{
    int r = uv_timer_init(&load->loop, &load->beat);

    if (r == 0)
        r = uv_signal_init(&load->loop, &load->interrupt);
    load->beat.data = load->interrupt.data = load;
    load->beat_ns = uv_hrtime();
    if (r == 0)
        r = uv_timer_start(&load->beat, on_beat, BEAT_MS, BEAT_MS);
    return r ? r : uv_signal_start(&load->interrupt, on_interrupt, SIGINT);
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static void load_start_job(struct load *load, struct job *job)
{
    load->started++;
    load->active++;
    if (load->active > load->active_peak)
        load->active_peak = load->active;
    job_start(job);
}

/* The last job is done: without handles the loop ends. */
static void load_close(struct load *load)
{
    for (uint32_t i = 0; i < load->arguments->in_flight; i++)
        job_close(&load->jobs[i]);
    uv_close((uv_handle_t *)&load->beat, NULL);
    uv_close((uv_handle_t *)&load->interrupt, NULL);
}

static void load_tell(struct load *load, const struct job *job)
{
    if (!load->has_told) /* once: the others are alike */
        (void)fprintf(stderr, "weir-event-loop: %s\n",
                      job->error ? weir_error_message(job->error) : "given up");
    load->has_told = true;
}

static void on_done(struct job *job)
{
    struct load *load = job->userdata;

    load->active--;
    if (job->is_failed) {
        load->failed++;
        load_tell(load, job);
    } else {
        load->succeeded++;
    }
    if (load->started < load->arguments->requests)
        load_start_job(load, job);
    else if (load->active == 0)
        load_close(load);
}

static int jobs_init(struct load *load)
{
    int r = 0;

    load->jobs = calloc(load->arguments->in_flight, sizeof(*load->jobs));
    if (!load->jobs)
        return UV_ENOMEM;
    for (uint32_t i = 0; r == 0 && i < load->arguments->in_flight; i++) {
        load->jobs[i] = (struct job){.loop = &load->loop,
                                     .pool = load->pool,
                                     .statement = load->arguments->statement,
                                     .done = on_done,
                                     .userdata = load};
        r = job_init(&load->jobs[i]);
    }
    return r;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int load_open_pool(struct load *load, struct weir_error **ret_error)
{
    const struct arguments *arguments = load->arguments;
    struct weir_pool_opts opts;
    int r = weir_manager_new(NULL, &load->manager, ret_error);

    weir_pool_opts_init(&opts, sizeof(opts));
    opts.name = "event-loop";
    opts.conninfo = arguments->conninfo;
    opts.connections_max = arguments->connections;
    opts.acquire_timeout_ms = arguments->acquire_timeout_ms;
    opts.statement_timeout_ms = arguments->statement_timeout_ms;
    return r ? r : weir_pool_open(load->manager, &opts, &load->pool, ret_error);
}

static int load_run(struct load *load)
{
    int r = uv_loop_init(&load->loop);

    if (r == 0)
        r = watches_init(load);
    if (r == 0)
        r = jobs_init(load);
    if (r < 0) {
        (void)fprintf(stderr, "weir-event-loop: %s\n", uv_strerror(r));
        return r;
    }
    load->begin_ns = uv_hrtime();
    for (uint32_t i = 0;
         i < load->arguments->in_flight && load->started < load->arguments->requests; i++)
        load_start_job(load, &load->jobs[i]);
    (void)uv_run(&load->loop, UV_RUN_DEFAULT); /* until load_close() */
    return uv_loop_close(&load->loop);
}

static void load_print(const struct load *load)
{
    (void)printf("{\"succeeded\":%u,\"failed\":%u,\"in_flight_peak\":%u,\"seconds\":%.3f,"
                 "\"loop_latest_ms\":%.3f}\n",
                 load->succeeded, load->failed, load->active_peak,
                 (double)(uv_hrtime() - load->begin_ns) / 1e9,
                 (double)load->latest_ns / NS_PER_MS - BEAT_MS);
}

int main(int argc, char *argv[])
{
    struct arguments arguments;
    struct load load = {.arguments = &arguments};
    struct weir_error *error = NULL;
    int r = arguments_parse(&arguments, argc, argv);

    if (r)
        return r == ARGUMENTS_E_HELP ? 0 : EXIT_USAGE;
    r = load_open_pool(&load, &error);
    if (r)
        (void)fprintf(stderr, "weir-event-loop: %s\n", weir_error_message(error));
    else
        r = load_run(&load);
    if (r == 0)
        load_print(&load);
    weir_error_free(error);
    free(load.jobs);
    if (load.manager) /* what was cancelled is ended on the server before the process ends */
        (void)weir_manager_drain(load.manager, DRAIN_MS, NULL);
    load.pool = weir_pool_unref(load.pool);
    load.manager = weir_manager_unref(load.manager);
    return r ? EXIT_USAGE : load.failed > 0 ? EXIT_SOME_FAILED : 0;
}
