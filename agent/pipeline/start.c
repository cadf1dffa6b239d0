/* How the agent begins, and runs. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "agent/pipeline/house.h"
#include "agent/pipeline/pipeline.h"
#include "agent/store/directory.h"

enum {
    EXIT_WRONG = 2,
    LOCK_WAIT_MS = 3000,
    STORED_MORE = 1024,       /* positions of clients that are away, beside the living ones */
    DESCRIPTORS_OTHERS = 600, /* greeting clients, files, destinations */
    LEDGER_ENDED_MAX = 1024,  /* rows of clients that ended, beside the living ones */
};

/* Says why the agent cannot run. */
static __attribute__((format(printf, 2, 3))) int fail(int exit_code, const char *format, ...)
{
    char line[1024];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments); /* cut is enough */
    va_end(arguments);
    log_line(LOG_LEVEL_ERROR, "%s", line);
    return exit_code;
}

static void on_row(void *userdata, const struct row *row)
{
    struct pipeline *pipeline = userdata;
    int r = -EBADMSG;

    switch (row->table) {
    case ROWS_LEDGER:
        r = ledger_restore(pipeline->ledger, row);
        break;
    case ROWS_POSITIONS:
        r = ingest_restore(pipeline->ingest, row);
        break;
    case ROWS_RESOURCES:
    case ROWS_SERIES:
    case ROWS_STATEMENTS:
    case ROWS_POOLS:
    case ROWS_NAMES:
        r = aggregate_restore(pipeline->aggregate, row);
        break;
    case ROWS_SPANS:
    case ROWS_END:
        break;
    }
    pipeline->restored += r == 0;
    pipeline->unreadable += r != 0;
}

static bool keeps_data(const struct pipeline *pipeline)
{
    return strcmp(pipeline->config->data, "none") != 0;
}

/* Each client costs two descriptors, and the soft limit is often made for select(). */
static void raise_descriptor_limit(const struct config *config)
{
    struct rlimit limit;
    rlim_t wanted = 2 * (rlim_t)config->limits.clients +
                    2 * (rlim_t)config->limits.http_connections + DESCRIPTORS_OTHERS;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        (void)getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < wanted)
        log_line(LOG_LEVEL_WARNING,
                 "%llu descriptors may be open at once, %llu are needed for limits.clients: %u",
                 (unsigned long long)limit.rlim_cur, (unsigned long long)wanted,
                 config->limits.clients);
}

/* The socket's directory, where only its last part is missing. */
static void make_directory_of(const char *path)
{
    char directory[PATH_MAX];
    char *slash;

    if ((size_t)snprintf(directory, sizeof(directory), "%s", path) >= sizeof(directory))
        return;
    slash = strrchr(directory, '/');
    if (!slash || slash == directory)
        return;
    *slash = '\0';
    (void)mkdir(directory, 0755); /* if it fails, the lock says why */
}

static int pipeline_lock(struct pipeline *pipeline)
{
    const struct config *config = pipeline->config;
    int r;

    make_directory_of(config->socket);
    r = ingest_lock(config->socket, LOCK_WAIT_MS, &pipeline->socket_lock);

    if (r == INGEST_E_TAKEN)
        return fail(EXIT_FAILURE, "another agent serves %s; stop it or give --socket another path",
                    config->socket);
    if (r < 0)
        return fail(EXIT_FAILURE,
                    "cannot use the socket %s: its lock %s.lock: %s; give --socket a path in a "
                    "directory that can be written",
                    config->socket, config->socket, strerror(-r));
    if (!keeps_data(pipeline))
        return 0;
    r = directory_lock(config->data, LOCK_WAIT_MS, &pipeline->data_lock);
    if (r == DIRECTORY_E_TAKEN)
        return fail(EXIT_FAILURE,
                    "another agent uses the data directory %s; stop it or give --data another path",
                    config->data);
    if (r < 0)
        return fail(EXIT_FAILURE,
                    "cannot use the data directory %s: %s; give --data a directory that can be "
                    "written, or none",
                    config->data, strerror(-r));
    return 0;
}

static int pipeline_open_store(struct pipeline *pipeline)
{
    struct database *CLEANUP(database_closep) database = NULL;
    char file[4096], note[512] = "";
    int r = 0;

    if (keeps_data(pipeline)) {
        if ((size_t)snprintf(file, sizeof(file), "%s/checkpoint.db", pipeline->config->data) >=
            sizeof(file))
            return fail(EXIT_WRONG, "the path of the data directory is too long");
        r = database_open(file, &database, note, sizeof(note));
        if (r < 0)
            return fail(EXIT_FAILURE, "cannot open the checkpoint: %s", note);
        if (note[0])
            log_line(LOG_LEVEL_WARNING, "%s", note);
        r = database_load(database, on_row, pipeline);
        if (r < 0)
            return fail(EXIT_FAILURE, "cannot read the checkpoint %s: %s", file, strerror(-r));
    }
    r = checkpoint_new(&pipeline->loop, database, pipeline_on_commit_done, pipeline,
                       &pipeline->checkpoint);
    if (r < 0)
        return fail(EXIT_FAILURE, "cannot start the store: %s", strerror(-r));
    (void)STEAL(database);
    if (pipeline->unreadable)
        log_line(LOG_LEVEL_WARNING,
                 "%llu rows of the checkpoint could not be read and are left out",
                 (unsigned long long)pipeline->unreadable);
    return 0;
}

static int pipeline_make_stages(struct pipeline *pipeline)
{
    const struct config *config = pipeline->config;
    uint64_t now_ns = clock_realtime_ns();
    const struct names_opts names = {config->limits.names, config->limits.names_bytes};
    const struct summaries_opts summaries = {config->limits.summaries,
                                             config->limits.summaries_bytes};
    const struct ledger_opts ledger = {config->limits.clients + LEDGER_ENDED_MAX,
                                       config->limits.services};
    int r = names_new(&names, &pipeline->names);

    if (r == 0)
        r = summaries_new(&summaries, &pipeline->summaries);
    if (r == 0)
        r = ledger_new(&ledger, now_ns, &pipeline->ledger);
    if (r == 0)
        r = self_new(now_ns, pipeline->environment.attributes, &pipeline->self);
    if (r == 0)
        r = aggregate_new(
            &(struct aggregate_opts){
                .sets_per_service_max = config->limits.sets_per_service,
                .sets_max = config->limits.sets,
                .statements_max = config->limits.statements,
                .pools_max = config->limits.pools,
                .services_max = config->limits.services,
                .histogram_bytes_max = config->limits.histogram_bytes,
                .statement_info = config->statement_text,
                .names = pipeline->names,
                .summary = summaries_find,
                .summary_userdata = pipeline->summaries,
            },
            now_ns, &pipeline->aggregate);
    if (r == 0)
        r = ingest_new(&pipeline->loop,
                       &(struct ingest_opts){
                           .socket_path = config->socket,
                           .clients_max = config->limits.clients,
                           .mapped_bytes_max = config->limits.mapped_bytes,
                           .stored_max = config->limits.clients + STORED_MORE,
                           .defaults = {view_from(config->default_service_name),
                                        pipeline->environment.attributes,
                                        view_from(pipeline->environment.seed)},
                           .ops = &pipeline_ingest_ops,
                           .userdata = pipeline,
                       },
                       &pipeline->ingest);
    return r == 0 ? 0 : fail(EXIT_FAILURE, "cannot start: %s", strerror(-r));
}

static int pipeline_listen(struct pipeline *pipeline)
{
    const struct config *config = pipeline->config;
    int r = server_new(
        &(struct serve_opts){
            .loop = &pipeline->loop,
            .http = config->http,
            .metrics_http = config->metrics_http,
            .token = config->token[0] ? config->token : NULL,
            .connections_max = config->limits.http_connections,
            .source = pipeline_source(pipeline),
        },
        &pipeline->server);

    if (r < 0)
        return fail(r == -EINVAL ? EXIT_WRONG : EXIT_FAILURE, "cannot serve HTTP at %s: %s",
                    config->http, strerror(-r));
    r = ingest_listen(pipeline->ingest);
    if (r < 0)
        return fail(EXIT_FAILURE, "cannot listen at %s: %s", config->socket, strerror(-r));
    pipeline->is_ready = true;
    return 0;
}

static int pipeline_make_trace(struct pipeline *pipeline)
{
    const struct config *config = pipeline->config;
    int r;

    if (!outlet_takes_spans(pipeline->outlet))
        return 0;
    r = trace_new(&(struct trace_opts){.policy = pipeline_trace_policy(config),
                                       .spans_per_second = config->traces.spans_per_second,
                                       .burst = config->traces.burst,
                                       .services_max = config->limits.services,
                                       .statement_text = config->statement_text,
                                       .names = pipeline->names,
                                       .summary = summaries_find,
                                       .summary_userdata = pipeline->summaries},
                  &pipeline->trace);
    return r == 0 ? 0 : fail(EXIT_FAILURE, "cannot start: %s", strerror(-r));
}

static int pipeline_open_outlet(struct pipeline *pipeline)
{
    char error[512] = "";
    int r = outlet_new(&pipeline->loop, pipeline->config, pipeline_on_arrived, pipeline,
                       &pipeline->outlet, error, sizeof(error));
    uint32_t interval_ms = outlet_interval_ms(pipeline->outlet);

    if (r == 0 && interval_ms)
        r = uv_timer_start(&pipeline->interval, pipeline_on_interval, interval_ms, interval_ms);
    if (r == OUTLET_E_WRONG)
        return fail(EXIT_WRONG, "%s", error);
    return r == 0 ? 0 : fail(EXIT_FAILURE, "cannot start exporting: %s", strerror(-r));
}

static int pipeline_start(struct pipeline *pipeline)
{
    int r = environment_read(pipeline->config->resource_attributes, &pipeline->environment);

    if (r < 0)
        return fail(r == -EINVAL ? EXIT_WRONG : EXIT_FAILURE,
                    "resource_attributes: expecting key=value,... percent-encoded");
    raise_descriptor_limit(pipeline->config);
    r = pipeline_watch(pipeline);
    if (r == 0)
        r = pipeline_open_outlet(pipeline);
    if (r == 0)
        r = pipeline_lock(pipeline);
    if (r == 0)
        r = pipeline_make_stages(pipeline);
    if (r == 0)
        r = pipeline_make_trace(pipeline);
    if (r == 0)
        r = pipeline_open_store(pipeline);
    if (r == 0)
        r = pipeline_listen(pipeline);
    return r;
}

int pipeline_check(const struct config *config)
{
    struct environment environment = {0};
    char error[512] = "";
    int r = outlet_check(config, error, sizeof(error));

    if (r == OUTLET_E_WRONG)
        return fail(EXIT_WRONG, "%s", error);
    if (r == 0)
        r = environment_read(config->resource_attributes, &environment);
    environment_deinit(&environment);
    if (r == -EINVAL)
        return fail(EXIT_WRONG, "resource_attributes: expecting key=value,... percent-encoded");
    if (r < 0)
        return fail(EXIT_FAILURE, "%s", strerror(-r));
    (void)printf("the configuration is right\n");
    return 0;
}

static void pipeline_deinit(struct pipeline *pipeline)
{
    pipeline->ingest = ingest_free(pipeline->ingest);
    pipeline->trace = trace_free(pipeline->trace);
    pipeline->aggregate = aggregate_free(pipeline->aggregate);
    pipeline->ledger = ledger_free(pipeline->ledger);
    pipeline->self = self_free(pipeline->self);
    pipeline->summaries = summaries_free(pipeline->summaries);
    pipeline->names = names_free(pipeline->names);
    pipeline->last = snapshot_unref(pipeline->last);
    pipeline->frozen = snapshot_unref(pipeline->frozen);
    rows_deinit(&pipeline->deletions);
    environment_deinit(&pipeline->environment);
    closep(&pipeline->socket_lock);
    closep(&pipeline->data_lock);
    pipeline->config = config_free(pipeline->config);
    free(pipeline);
}

int pipeline_run(struct config *config, int argc, char *const argv[])
{
    struct pipeline *pipeline = calloc(1, sizeof(*pipeline));
    int exit_code;

    (void)signal(SIGPIPE, SIG_IGN); /* a peer that went is an error of the write */
    log_setup(config->log_level, config->log_format);
    if (!pipeline || uv_loop_init(&pipeline->loop) < 0) {
        (void)config_free(config);
        free(pipeline);
        return fail(EXIT_FAILURE, "out of memory");
    }
    pipeline->config = config;
    pipeline->argc = argc;
    pipeline->argv = argv;
    pipeline->start_ns = clock_monotonic_ns();
    pipeline->socket_lock = pipeline->data_lock = -1;
    rows_init(&pipeline->deletions, ROWS_BYTES_MAX);
    exit_code = pipeline_start(pipeline);
    if (exit_code == 0)
        log_line(LOG_LEVEL_INFO,
                 "weir-agent " WEIR_VERSION ": services at %s, HTTP at %s, data in %s (%llu rows)",
                 config->socket, config->http, config->data,
                 (unsigned long long)pipeline->restored);
    else
        pipeline_close(pipeline);
    (void)uv_run(&pipeline->loop, UV_RUN_DEFAULT); /* until every handle is closed */
    (void)uv_loop_close(&pipeline->loop);
    if (exit_code == 0)
        exit_code = pipeline->exit_code;
    pipeline_deinit(pipeline);
    return exit_code;
}
