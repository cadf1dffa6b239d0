/* Time, signals, and how the agent ends. */
#include <signal.h>
#include <string.h>

#include "agent/pipeline/house.h"

enum {
    TICK_MS = 1000,
    ABSENT_MS = 60000, /* after which a client of the agent before us is given up */
};

static void on_tick(uv_timer_t *timer)
{
    struct pipeline *pipeline = timer->data;

    aggregate_tick(pipeline->aggregate, clock_realtime_ns());
    if (!pipeline->closed_absent &&
        clock_monotonic_ns() - pipeline->start_ns > ABSENT_MS * NS_PER_MS) {
        pipeline->closed_absent = true;
        ledger_close_absent(pipeline->ledger);
    }
}

void pipeline_on_interval(uv_timer_t *timer)
{
    pipeline_export(timer->data);
}

void pipeline_on_arrived(void *userdata, uint64_t generation)
{
    struct pipeline *pipeline = userdata;

    ledger_exported(pipeline->ledger, generation);
}

/* Our own setting beats OpenTelemetry's variables. */
struct trace_policy pipeline_trace_policy(const struct config *config)
{
    struct trace_policy policy = trace_policy_default();
    int r;

    switch (config->traces.mode) {
    case TRACES_UNSET:
        r = trace_policy_from_sampler(getenv("OTEL_TRACES_SAMPLER"),
                                      getenv("OTEL_TRACES_SAMPLER_ARG"), &policy);
        if (r == TRACE_POLICY_E_UNKNOWN)
            log_line(LOG_LEVEL_WARNING,
                     "OTEL_TRACES_SAMPLER: no sampler of that name here; taking parent");
        if (r == TRACE_POLICY_E_ARGUMENT)
            log_line(LOG_LEVEL_WARNING,
                     "OTEL_TRACES_SAMPLER_ARG: expecting a ratio from 0 to 1; taking 1");
        break;
    case TRACES_OFF:
        policy.mode = TRACE_OFF;
        break;
    case TRACES_KEPT:
        policy.mode = TRACE_KEPT;
        break;
    case TRACES_PARENT:
        policy.mode = TRACE_PARENT;
        break;
    case TRACES_ALL:
        policy.mode = TRACE_ALL;
        break;
    }
    return policy;
}

/* What can change while running; the rest needs a restart, and is said to. */
static void on_hangup(uv_signal_t *handle, int number)
{
    struct pipeline *pipeline = handle->data;
    struct config *CLEANUP(config_freep) config = NULL;
    char error[1024];
    int r = config_load(pipeline->argc, pipeline->argv, NULL, &config, error, sizeof(error));
    (void)number;

    if (r != 0) {
        log_line(LOG_LEVEL_ERROR, "the configuration is wrong, the old one stays in force: %s",
                 r == CONFIG_E_WRONG ? error : strerror(-r));
        return;
    }
    log_setup(config->log_level, config->log_format);
    pipeline->config->traces.mode = config->traces.mode;
    if (pipeline->trace)
        trace_set_policy(pipeline->trace, pipeline_trace_policy(config));
    pipeline->config->log_level = config->log_level;
    pipeline->config->log_format = config->log_format;
    pipeline->config->grace_ms = config->grace_ms;
    log_line(LOG_LEVEL_INFO, "configuration read again: log, traces.mode and grace period are in "
                             "force, other settings from the next start on");
}

static void on_handle_closed(uv_handle_t *handle)
{
    (void)handle; /* part of the pipeline */
}

static void on_ingest_closed(void *userdata)
{
    struct pipeline *pipeline = userdata;

    pipeline->ingest = ingest_free(pipeline->ingest);
}

/* Everything that keeps the loop turning goes; pipeline_run goes on when it is empty. */
void pipeline_close(struct pipeline *pipeline)
{
    uv_handle_t *handles[] = {
        (uv_handle_t *)&pipeline->tick,      (uv_handle_t *)&pipeline->unsaved,
        (uv_handle_t *)&pipeline->grace,     (uv_handle_t *)&pipeline->terminate,
        (uv_handle_t *)&pipeline->interrupt, (uv_handle_t *)&pipeline->hangup,
        (uv_handle_t *)&pipeline->interval,
    };

    if (pipeline->is_closed)
        return;
    pipeline->is_closed = true;
    pipeline_answer_all(pipeline);
    pipeline->server = server_free(pipeline->server);
    pipeline->outlet = outlet_close(pipeline->outlet);
    pipeline->checkpoint = checkpoint_close(pipeline->checkpoint);
    if (pipeline->ingest)
        ingest_close(pipeline->ingest, on_ingest_closed, pipeline);
    for (size_t i = 0; i < sizeof(handles) / sizeof(handles[0]); i++) {
        if (handles[i]->loop && !uv_is_closing(handles[i]))
            uv_close(handles[i], on_handle_closed);
    }
}

/* All that was read is in a checkpoint: what is for the destination goes there, and one more
 * checkpoint says that it arrived. */
void pipeline_stop_when_saved(struct pipeline *pipeline)
{
    uint64_t now_ns = clock_monotonic_ns();

    if (pipeline->outlet && !pipeline->is_flushed) {
        uint64_t left_ns = pipeline->stop_ns > now_ns ? pipeline->stop_ns - now_ns : 0;
        pipeline->is_flushed = true;
        if (outlet_flush(pipeline->outlet, left_ns / NS_PER_MS) < 0)
            log_line(LOG_LEVEL_WARNING,
                     "the grace period of %u ms was too short for the "
                     "destination to take everything",
                     pipeline->config->grace_ms);
        pipeline_commit(pipeline);
        return;
    }
    log_line(LOG_LEVEL_INFO, "stopped: all that was read is saved");
    pipeline_close(pipeline);
}

static void on_grace_over(uv_timer_t *timer)
{
    struct pipeline *pipeline = timer->data;

    if (pipeline->failed_commits) {
        pipeline->exit_code = EXIT_FAILURE;
        log_line(
            LOG_LEVEL_ERROR,
            "stopped: what was read since the last checkpoint could not be saved within %u ms; "
            "services that live on hand it to the next agent",
            pipeline->config->grace_ms);
    } else {
        log_line(LOG_LEVEL_WARNING, "stopped after the grace period of %u ms with work left to do",
                 pipeline->config->grace_ms);
    }
    pipeline_close(pipeline);
}

static void on_terminate(uv_signal_t *handle, int number)
{
    struct pipeline *pipeline = handle->data;

    if (pipeline->is_stopping)
        return;
    log_line(LOG_LEVEL_INFO, "asked to stop by signal %d", number);
    pipeline->is_stopping = true;
    pipeline->stop_ns = clock_monotonic_ns() + pipeline->config->grace_ms * NS_PER_MS;
    (void)uv_timer_start(&pipeline->grace, on_grace_over, pipeline->config->grace_ms, 0);
    (void)uv_timer_stop(&pipeline->interval);
    pipeline_export(pipeline); /* which reads what is left */
}

int pipeline_watch(struct pipeline *pipeline)
{
    uv_timer_t *timers[] = {&pipeline->tick, &pipeline->unsaved, &pipeline->grace,
                            &pipeline->interval};
    struct {
        uv_signal_t *handle;
        uv_signal_cb fn;
        int number;
    } signals[] = {{&pipeline->terminate, on_terminate, SIGTERM},
                   {&pipeline->interrupt, on_terminate, SIGINT},
                   {&pipeline->hangup, on_hangup, SIGHUP}};
    int r = 0;

    for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]) && r == 0; i++) {
        r = uv_timer_init(&pipeline->loop, timers[i]);
        timers[i]->data = pipeline;
    }
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]) && r == 0; i++) {
        r = uv_signal_init(&pipeline->loop, signals[i].handle);
        signals[i].handle->data = pipeline;
        if (r == 0)
            r = uv_signal_start(signals[i].handle, signals[i].fn, signals[i].number);
    }
    if (r == 0)
        r = uv_timer_start(&pipeline->tick, on_tick, TICK_MS, TICK_MS);
    return r;
}
