/* Checkpoints: everything of one moment is frozen, committed by the store, and only then shown. */
#include <string.h>

#include "agent/pipeline/house.h"

enum { STOPPING_RETRY_MS = 200 };

static void on_board(void *userdata, const struct live_board *board)
{
    struct pipeline *pipeline = userdata;

    aggregate_look(pipeline->aggregate, board, clock_realtime_ns());
    pipeline_note_observed(pipeline, board);
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
    pipeline_count_clients(pipeline);
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
void pipeline_commit(struct pipeline *pipeline)
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

void pipeline_answer_all(struct pipeline *pipeline)
{
    pipeline->waiters_frozen = pipeline->waiter_count;
    waiters_answer(pipeline);
}

void pipeline_on_unsaved(uv_timer_t *timer)
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
    if (pipeline->is_stopping) /* all of it again, while the grace period lasts */
        pipeline->wants_export = pipeline->wants_snapshot = !pipeline->is_flushed;
    (void)uv_timer_start(&pipeline->unsaved, pipeline_on_unsaved,
                         pipeline->is_stopping ? STOPPING_RETRY_MS : UNSAVED_MS, 0);
}

void pipeline_on_commit_done(void *userdata, int result, const char *error, const struct rows *rows,
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
    if (result == 0 && (pipeline->wants_commit || pipeline->wants_snapshot))
        pipeline_commit(pipeline);
    else if (result == 0 && pipeline->is_stopping)
        pipeline_stop_when_saved(pipeline);
}

/* The destination's turn: a checkpoint whose snapshot is for it. */
void pipeline_export(struct pipeline *pipeline)
{
    pipeline->wants_snapshot = true;
    pipeline->wants_export = true;
    pipeline_commit(pipeline);
}
