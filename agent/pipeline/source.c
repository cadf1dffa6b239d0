/* What the HTTP endpoints ask of the other parts. */
#include <stdio.h>

#include "agent/pipeline/house.h"

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

static void on_board(void *userdata, const struct live_board *board)
{
    pipeline_note_observed(userdata, board);
}

static void source_ledger(void *userdata, ledger_row_fn fn, void *fn_userdata)
{
    struct pipeline *pipeline = userdata;

    pipeline_count_clients(pipeline);
    ingest_look(pipeline->ingest, on_board, pipeline);
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

struct serve_source pipeline_source(struct pipeline *pipeline)
{
    return (struct serve_source){
        .userdata = pipeline,
        .request_snapshot = source_request_snapshot,
        .last_snapshot = source_last_snapshot,
        .statements = source_statements,
        .boards = source_boards,
        .ledger = source_ledger,
        .config_json = source_config_json,
        .is_healthy = source_is_healthy,
        .is_ready = source_is_ready,
        .log = source_log,
        .names = pipeline->names,
    };
}
