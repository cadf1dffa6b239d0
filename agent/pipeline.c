#include "agent/pipeline.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "agent/aggregate/aggregate.h"
#include "agent/aggregate/ledger.h"
#include "agent/environment.h"
#include "agent/ingest/ingest.h"
#include "agent/outlet.h"
#include "agent/self/self.h"
#include "agent/serve/server.h"
#include "agent/statement/summaries.h"
#include "agent/store/checkpoint.h"
#include "agent/store/directory.h"
#include "agent/trace/trace.h"
#include "base/clock.h"
#include "proto/wire/lane_reader.h"
#include "proto/wire/message_codec.h"

enum {
    EXIT_WRONG = 2,
    LOCK_WAIT_MS = 3000,
    TICK_MS = 1000,
    COMMITS_APART_MS = 250, /* unless there is need */
    UNSAVED_MS = 5000,      /* from the first event that no checkpoint covers */
    RETURN_MS = 10000,      /* in which shims of an agent before us come back */
    ABSENT_MS = 60000,      /* after which one that did not is given up */
    WAITERS_MAX = 256,      /* scrapes waiting for a checkpoint */
    ROWS_BYTES_MAX = 512 << 20,
    LEDGER_ENDED_MAX = 1024, /* rows of clients that ended, beside the living ones */
};

struct waiter {
    snapshot_done_fn done;
    void *token;
};

struct pipeline {
    struct config *config;
    int argc;
    char *const *argv;
    int exit_code;
    uv_loop_t loop;
    int socket_lock, data_lock;

    struct environment environment;
    struct names *names;
    struct summaries *summaries;
    struct aggregate *aggregate;
    struct ledger *ledger;
    struct self *self;
    struct ingest *ingest;
    struct checkpoint *checkpoint;
    struct server *server;
    struct outlet *outlet; /* NULL: no OTLP */
    struct trace *trace;   /* NULL: spans go nowhere */

    uv_timer_t tick, unsaved, grace, interval;
    uv_signal_t terminate, interrupt, hangup;
    uint64_t start_ns;             /* monotonic */
    uint64_t restored, unreadable; /* rows */
    bool is_ready, is_announcing, closed_absent;

    /* The checkpoint under way, and what is asked of the next one. */
    bool is_committing, wants_commit, wants_snapshot;
    bool wants_export, is_exporting; /* the next one's snapshot goes to the outlet; this one's */
    const struct snapshot *frozen;   /* becomes last when the commit succeeds */
    struct rows deletions;           /* of a commit that failed: nobody else remembers them */
    uint64_t failed_commits;         /* in a row */
    uint64_t commit_ns;              /* monotonic: when the last one began */
    uint64_t generation;
    const struct snapshot *last;
    struct waiter waiters[WAITERS_MAX]; /* the first @waiters_frozen wait for this one */
    uint32_t waiter_count, waiters_frozen;

    bool is_stopping, is_flushed, is_closed;
    uint64_t stop_ns; /* monotonic: the end of the grace period */
};

/* ---- checkpoints ----------------------------------------------------------------------------- */

static void count_client(void *userdata, const struct process *process,
                         const struct ingest_counts *counts);
static void pipeline_stop_when_saved(struct pipeline *pipeline);

static void on_board(void *userdata, const struct live_board *board)
{
    struct pipeline *pipeline = userdata;

    aggregate_look(pipeline->aggregate, board, clock_realtime_ns());
}

static const char *text_of(const struct attributes *attributes, const char *key, char *ret,
                           size_t size)
{
    const struct attribute *found = attributes_find(attributes, view_from(key));

    ret[0] = '\0';
    if (found && found->type == ATTRIBUTE_STRING)
        (void)snprintf(ret, size, "%.*s", (int)found->value.string.length,
                       found->value.string.bytes);
    return ret;
}

/* Clients by the version of their shim; the texts live in @versions. */
struct version_count {
    struct self_counts *counts;
    char versions[SELF_COUNTS_MAX][32];
};

static void count_version(void *userdata, const struct process *process,
                          const struct ingest_counts *counts)
{
    struct version_count *by = userdata;
    char version[32];
    (void)counts;

    text_of(process->hello, HELLO_KEY_SHIM_VERSION, version, sizeof(version));
    for (uint32_t i = 0; i < by->counts->count; i++) {
        if (strcmp(by->counts->items[i].value, version) == 0) {
            by->counts->items[i].count++;
            return;
        }
    }
    if (by->counts->count == SELF_COUNTS_MAX)
        return;
    memcpy(by->versions[by->counts->count], version, sizeof(version));
    self_counts_add(by->counts, by->versions[by->counts->count], NULL, 1);
}

static const char *const record_reasons[RECORD_E_END] = {
    [RECORD_E_UNKNOWN_KIND] = "unknown_kind",
    [RECORD_E_LENGTH] = "length",
    [RECORD_E_ENUM] = "value",
    [RECORD_E_TEXT] = "text",
};

static void pipeline_self_points(struct pipeline *pipeline, uint64_t now_ns,
                                 struct snapshot_builder *builder)
{
    struct ingest_stats stats = ingest_stats(pipeline->ingest);
    struct names_stats names = names_stats(pipeline->names);
    struct self_facts facts = {.names = names.entries, .names_evicted = names.evicted};
    struct version_count versions = {.counts = &facts.clients};

    ingest_counts(pipeline->ingest, count_version, &versions);
    for (uint32_t i = 1; i < REFUSAL_END; i++) {
        if (stats.refused[i])
            self_counts_add(&facts.clients_refused, refusal_token(i), NULL, stats.refused[i]);
    }
    if (stats.hello_timeouts)
        self_counts_add(&facts.clients_refused, "hello_timeout", NULL, stats.hello_timeouts);
    if (stats.frame_timeouts)
        self_counts_add(&facts.clients_refused, "frame_timeout", NULL, stats.frame_timeouts);
    for (uint32_t i = LANE_FAULT_NONE + 1; i < LANE_FAULT_END; i++) {
        if (stats.lanes_bad[i])
            self_counts_add(&facts.records_bad, lane_fault_token((enum lane_fault)i), NULL,
                            stats.lanes_bad[i]);
    }
    for (uint32_t i = 1; i < RECORD_E_END; i++) {
        if (stats.records_bad[i])
            self_counts_add(&facts.records_bad, record_reasons[i], NULL, stats.records_bad[i]);
    }
    outlet_facts(pipeline->outlet, &facts);
    if (pipeline->trace) {
        struct trace_stats spans = trace_stats(pipeline->trace);
        self_counts_add(&facts.spans, "sampled_out", NULL, spans.sampled_out);
        self_counts_add(&facts.spans, "limited", NULL, spans.limited);
    }
    self_points(pipeline->self, now_ns, &facts, builder);
}

/* Everything at one moment: positions, series, ledger, and where somebody asked the snapshot. */
static void pipeline_freeze(struct pipeline *pipeline, struct rows *rows, bool with_snapshot)
{
    uint64_t now_ns = clock_realtime_ns();
    struct snapshot_builder *builder = with_snapshot ? snapshot_builder_new() : NULL;

    rows_move(rows, &pipeline->deletions);
    if (with_snapshot)
        ingest_drain(pipeline->ingest);
    ingest_freeze(pipeline->ingest, rows);
    ingest_look(pipeline->ingest, on_board, pipeline);
    ingest_counts(pipeline->ingest, count_client, pipeline);
    outlet_freeze(pipeline->outlet);
    pipeline->generation++;
    if (pipeline->is_exporting || !outlet_interval_ms(pipeline->outlet))
        ledger_mark(pipeline->ledger, pipeline->generation);
    aggregate_freeze(pipeline->aggregate, now_ns, rows, builder);
    ledger_freeze(pipeline->ledger, rows, builder);
    if (!builder)
        return;
    pipeline_self_points(pipeline, now_ns, builder);
    pipeline->frozen = snapshot_builder_finish(builder, now_ns, pipeline->generation);
}

/* Begins a checkpoint, or asks for one after that under way. */
static void pipeline_commit(struct pipeline *pipeline)
{
    struct rows rows;

    if (pipeline->is_committing) {
        pipeline->wants_commit = true;
        return;
    }
    pipeline->is_committing = true;
    pipeline->commit_ns = clock_monotonic_ns();
    pipeline->wants_commit = false;
    pipeline->is_exporting = pipeline->wants_export;
    pipeline->wants_export = false;
    rows_init(&rows, ROWS_BYTES_MAX);
    pipeline_freeze(pipeline, &rows, pipeline->wants_snapshot);
    pipeline->wants_snapshot = false;
    pipeline->waiters_frozen = pipeline->waiter_count;
    (void)uv_timer_stop(&pipeline->unsaved);
    checkpoint_commit(pipeline->checkpoint, &rows);
}

static void waiters_answer(struct pipeline *pipeline)
{
    uint32_t count = pipeline->waiters_frozen;
    struct waiter answered[WAITERS_MAX];

    memcpy(answered, pipeline->waiters, count * sizeof(answered[0]));
    pipeline->waiter_count -= count;
    pipeline->waiters_frozen = 0;
    memmove(pipeline->waiters, pipeline->waiters + count,
            pipeline->waiter_count * sizeof(pipeline->waiters[0]));
    for (uint32_t i = 0; i < count; i++)
        answered[i].done(answered[i].token, pipeline->last);
}

static void on_unsaved(uv_timer_t *timer)
{
    pipeline_commit(timer->data);
}

static void pipeline_committed(struct pipeline *pipeline)
{
    ingest_commit(pipeline->ingest);
    if (!outlet_interval_ms(pipeline->outlet)) /* who scrapes is the destination */
        ledger_exported(pipeline->ledger, pipeline->generation);
    outlet_commit(pipeline->outlet, pipeline->is_exporting ? pipeline->frozen : NULL);
    if (pipeline->failed_commits)
        log_line(LOG_LEVEL_INFO, "checkpoints are written again");
    pipeline->failed_commits = 0;
    if (pipeline->frozen) {
        (void)snapshot_unref(pipeline->last);
        pipeline->last = STEAL(pipeline->frozen);
    }
}

/* What lives is written anew by the next one; of what was to be deleted only these rows know. */
static void pipeline_commit_failed(struct pipeline *pipeline, const char *error,
                                   const struct rows *rows)
{
    size_t offset = 0;
    struct row row;

    while (rows_next(rows, &offset, &row)) {
        if (!row.value.length)
            rows_put(&pipeline->deletions, row.table, row.key, row.value);
    }
    ingest_commit_failed(pipeline->ingest);
    outlet_commit_failed(pipeline->outlet);
    aggregate_mark_unsaved(pipeline->aggregate);
    ledger_mark_unsaved(pipeline->ledger);
    if (pipeline->failed_commits++ == 0)
        log_line(LOG_LEVEL_ERROR,
                 "cannot write the checkpoint in %s: %s; metrics stand still until it can be "
                 "written again, then catch up",
                 pipeline->config->data, error);
    pipeline->frozen = snapshot_unref(pipeline->frozen);
    (void)uv_timer_start(&pipeline->unsaved, on_unsaved, UNSAVED_MS, 0);
}

static void on_commit_done(void *userdata, int result, const char *error, const struct rows *rows,
                           uint64_t duration_ns)
{
    struct pipeline *pipeline = userdata;

    pipeline->is_committing = false;
    self_checkpoint(pipeline->self, result == 0, duration_ns);
    if (result == 0)
        pipeline_committed(pipeline);
    else
        pipeline_commit_failed(pipeline, error, rows);
    waiters_answer(pipeline);
    if (pipeline->wants_commit || pipeline->wants_snapshot)
        pipeline_commit(pipeline);
    else if (pipeline->is_stopping)
        pipeline_stop_when_saved(pipeline);
}

/* ---- what comes in --------------------------------------------------------------------------- */

static struct ledger_counts ledger_counts_of(const struct ingest_counts *counts)
{
    struct ledger_counts ret = {counts->recorded, counts->read, counts->in_lanes, {0}};

    memcpy(ret.dropped, counts->dropped, sizeof(ret.dropped));
    return ret;
}

static void count_client(void *userdata, const struct process *process,
                         const struct ingest_counts *counts)
{
    struct pipeline *pipeline = userdata;
    struct ledger_counts row = ledger_counts_of(counts);

    ledger_update(pipeline->ledger, process, &row);
}

/* Whoever recorded for an agent before us announced its names to that one. */
static void on_client(void *userdata, const struct process *process)
{
    struct pipeline *pipeline = userdata;

    ledger_client(pipeline->ledger, process);
    if (clock_monotonic_ns() - pipeline->start_ns < RETURN_MS * NS_PER_MS)
        pipeline->is_announcing = true;
}

static void on_name(void *userdata, const struct process *process, const struct record_name *name,
                    struct view text)
{
    struct pipeline *pipeline = userdata;
    (void)process;

    /* What cannot be kept costs a text, never a count; the table counts it. */
    (void)names_add(pipeline->names, (enum name_kind)name->name_kind, name->id, name->flags, text);
}

static void on_observation(void *userdata, const struct observation *observation)
{
    struct pipeline *pipeline = userdata;

    if (aggregate_observe(pipeline->aggregate, observation) == AGGREGATE_E_DROPPED)
        ledger_lost(pipeline->ledger, observation->process);
    if (!pipeline->trace)
        return;
    const struct span *span =
        trace_observe(pipeline->trace, observation, uv_now(&pipeline->loop) * NS_PER_MS);
    if (span)
        outlet_add_span(pipeline->outlet, span);
}

static void on_ended(void *userdata, const struct process *process, enum client_end end,
                     const struct live_board *board, const struct ingest_counts *counts)
{
    struct pipeline *pipeline = userdata;
    struct ledger_counts row = ledger_counts_of(counts);
    (void)end;
    (void)board;

    aggregate_process_ended(pipeline->aggregate, process);
    ledger_ended(pipeline->ledger, process, &row);
    if (!uv_is_active((const uv_handle_t *)&pipeline->unsaved))
        (void)uv_timer_start(&pipeline->unsaved, on_unsaved, UNSAVED_MS, 0);
}

/* While one lane of a client is full its writers take others, so there is time to save up for a
 * checkpoint; when all together are half full there is none. */
static bool is_urgent(const struct pipeline *pipeline, const struct ingest_pass *pass)
{
    return pass->fill > 0.5 ||
           (pass->lane_fill > 0.5 &&
            clock_monotonic_ns() - pipeline->commit_ns > COMMITS_APART_MS * NS_PER_MS);
}

static void on_pass(void *userdata, const struct ingest_pass *pass)
{
    struct pipeline *pipeline = userdata;

    if (pipeline->is_announcing) {
        pipeline->is_announcing = false;
        ingest_announce(pipeline->ingest);
    }
    if (!pipeline->is_committing && is_urgent(pipeline, pass))
        pipeline_commit(pipeline);
    else if (pass->events && !uv_is_active((const uv_handle_t *)&pipeline->unsaved))
        (void)uv_timer_start(&pipeline->unsaved, on_unsaved, UNSAVED_MS, 0);
}

static void on_ingest_log(void *userdata, bool is_warning, const char *line)
{
    (void)userdata;
    log_line(is_warning ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "%s", line);
}

static const struct ingest_ops ingest_ops = {
    .on_client = on_client,
    .on_name = on_name,
    .on_observation = on_observation,
    .on_ended = on_ended,
    .on_pass = on_pass,
    .on_log = on_ingest_log,
};

/* ---- what goes out --------------------------------------------------------------------------- */

static void source_request_snapshot(void *userdata, snapshot_done_fn done, void *token)
{
    struct pipeline *pipeline = userdata;

    if (pipeline->waiter_count == WAITERS_MAX || pipeline->is_stopping) {
        done(token, pipeline->last);
        return;
    }
    pipeline->waiters[pipeline->waiter_count++] = (struct waiter){done, token};
    pipeline->wants_snapshot = true;
    pipeline_commit(pipeline);
}

static const struct snapshot *source_last_snapshot(void *userdata)
{
    const struct pipeline *pipeline = userdata;

    return snapshot_ref(pipeline->last);
}

static void source_statements(void *userdata, statement_row_fn fn, void *fn_userdata)
{
    struct pipeline *pipeline = userdata;

    ingest_drain(pipeline->ingest); /* the API is live */
    aggregate_statements(pipeline->aggregate, fn, fn_userdata);
}

static void source_boards(void *userdata, live_board_fn fn, void *fn_userdata)
{
    struct pipeline *pipeline = userdata;

    ingest_look(pipeline->ingest, fn, fn_userdata);
}

static void source_ledger(void *userdata, ledger_row_fn fn, void *fn_userdata)
{
    struct pipeline *pipeline = userdata;

    ingest_counts(pipeline->ingest, count_client, pipeline);
    ledger_rows(pipeline->ledger, fn, fn_userdata);
}

static char *source_config_json(void *userdata)
{
    const struct pipeline *pipeline = userdata;

    return config_json(pipeline->config);
}

static bool source_is_healthy(void *userdata, char *reason, size_t reason_size)
{
    (void)userdata;
    (void)reason;
    (void)reason_size;
    return true; /* who answers is alive */
}

static bool source_is_ready(void *userdata, char *reason, size_t reason_size)
{
    const struct pipeline *pipeline = userdata;

    if (pipeline->is_ready && !pipeline->is_stopping)
        return true;
    (void)snprintf(reason, reason_size, "%s",
                   pipeline->is_stopping ? "stopping" : "not listening for services yet");
    return false;
}

static void source_log(void *userdata, enum serve_level level, const char *message)
{
    (void)userdata;
    log_line(level == SERVE_WARNING ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "%s", message);
}

/* ---- time and signals ------------------------------------------------------------------------ */

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

/* The destination's turn: a checkpoint whose snapshot is for it. */
static void pipeline_export(struct pipeline *pipeline)
{
    pipeline->wants_snapshot = true;
    pipeline->wants_export = true;
    pipeline_commit(pipeline);
}

static void on_interval(uv_timer_t *timer)
{
    pipeline_export(timer->data);
}

static void on_arrived(void *userdata, uint64_t generation)
{
    struct pipeline *pipeline = userdata;

    ledger_exported(pipeline->ledger, generation);
}

/* Our own setting beats OpenTelemetry's variables. */
static struct trace_policy trace_policy_of(const struct config *config)
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
        trace_set_policy(pipeline->trace, trace_policy_of(config));
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
static void pipeline_close(struct pipeline *pipeline)
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
    pipeline->waiters_frozen = pipeline->waiter_count;
    waiters_answer(pipeline);
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
static void pipeline_stop_when_saved(struct pipeline *pipeline)
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

    log_line(LOG_LEVEL_WARNING, "stopped after the grace period of %u ms with work left to do",
             pipeline->config->grace_ms);
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

/* ---- beginning ------------------------------------------------------------------------------- */

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

static int pipeline_lock(struct pipeline *pipeline)
{
    const struct config *config = pipeline->config;
    int r = ingest_lock(config->socket, LOCK_WAIT_MS, &pipeline->socket_lock);

    if (r == INGEST_E_TAKEN)
        return fail(EXIT_FAILURE, "another agent serves %s; stop it or give --socket another path",
                    config->socket);
    if (r < 0)
        return fail(EXIT_FAILURE, "cannot lock %s.lock: %s", config->socket, strerror(-r));
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
    r = checkpoint_new(&pipeline->loop, database, on_commit_done, pipeline, &pipeline->checkpoint);
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
                           .defaults = {view_from(config->default_service_name),
                                        pipeline->environment.attributes,
                                        view_from(pipeline->environment.seed)},
                           .ops = &ingest_ops,
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
            .source = {.userdata = pipeline,
                       .request_snapshot = source_request_snapshot,
                       .last_snapshot = source_last_snapshot,
                       .statements = source_statements,
                       .boards = source_boards,
                       .ledger = source_ledger,
                       .config_json = source_config_json,
                       .is_healthy = source_is_healthy,
                       .is_ready = source_is_ready,
                       .log = source_log,
                       .names = pipeline->names},
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

static int pipeline_watch(struct pipeline *pipeline)
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
    return r == 0 ? 0 : fail(EXIT_FAILURE, "cannot start: %s", uv_strerror(r));
}

static int pipeline_make_trace(struct pipeline *pipeline)
{
    const struct config *config = pipeline->config;
    int r;

    if (!outlet_takes_spans(pipeline->outlet))
        return 0;
    r = trace_new(&(struct trace_opts){.policy = trace_policy_of(config),
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
    int r = outlet_new(&pipeline->loop, pipeline->config, on_arrived, pipeline, &pipeline->outlet,
                       error, sizeof(error));
    uint32_t interval_ms = outlet_interval_ms(pipeline->outlet);

    if (r == 0 && interval_ms)
        r = uv_timer_start(&pipeline->interval, on_interval, interval_ms, interval_ms);
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
    return r == 0 ? 0 : fail(EXIT_FAILURE, "%s", strerror(-r));
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
    pipeline_deinit(pipeline);
    return exit_code;
}
