/* What clients say, passed on to the stages. */
#include <string.h>

#include "agent/pipeline/house.h"

enum {
    COMMITS_APART_MS = 250, /* unless there is need */
    RETURN_MS = 10000,      /* in which shims of an agent before us come back */
};

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

void pipeline_count_clients(struct pipeline *pipeline)
{
    ingest_counts(pipeline->ingest, count_client, pipeline);
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

void pipeline_note_observed(struct pipeline *pipeline, const struct live_board *board)
{
    const struct process *process = board->process;
    struct view service = attributes_text(process->resource, "service.name");

    if (ledger_observed(pipeline->ledger, process, board->observed) &&
        board->observed >= OBSERVED_STATIC_LIBPQ)
        log_line(LOG_LEVEL_WARNING, "service %.*s, process %u: attached, not observed: %s",
                 (int)service.length, service.bytes, process->pid, observed_token(board->observed));
}

static void on_ended(void *userdata, const struct process *process, enum client_end end,
                     const struct live_board *board, const struct ingest_counts *counts)
{
    struct pipeline *pipeline = userdata;
    struct ledger_counts row = ledger_counts_of(counts);
    (void)end;

    pipeline_note_observed(pipeline, board);
    aggregate_look(pipeline->aggregate, board, clock_realtime_ns()); /* up to its last moment */
    aggregate_process_ended(pipeline->aggregate, process);
    ledger_ended(pipeline->ledger, process, &row);
    if (!uv_is_active((const uv_handle_t *)&pipeline->unsaved))
        (void)uv_timer_start(&pipeline->unsaved, pipeline_on_unsaved, UNSAVED_MS, 0);
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
        (void)uv_timer_start(&pipeline->unsaved, pipeline_on_unsaved, UNSAVED_MS, 0);
}

static void on_ingest_log(void *userdata, bool is_warning, const char *line)
{
    (void)userdata;
    log_line(is_warning ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "%s", line);
}

const struct ingest_ops pipeline_ingest_ops = {
    .on_client = on_client,
    .on_name = on_name,
    .on_observation = on_observation,
    .on_ended = on_ended,
    .on_pass = on_pass,
    .on_log = on_ingest_log,
};
