/* What the parts of the pipeline share. Seen by this folder alone. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "agent/aggregate/aggregate.h"
#include "agent/aggregate/ledger.h"
#include "agent/config/config.h"
#include "agent/ingest/ingest.h"
#include "agent/pipeline/environment.h"
#include "agent/pipeline/outlet.h"
#include "agent/self/self.h"
#include "agent/serve/server.h"
#include "agent/statement/summaries.h"
#include "agent/store/checkpoint.h"
#include "agent/trace/trace.h"
#include "base/clock.h"

enum {
    UNSAVED_MS = 5000, /* from the first event that no checkpoint covers */
    WAITERS_MAX = 256, /* scrapes waiting for a checkpoint */
    ROWS_BYTES_MAX = 512 << 20,
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

/* intake.c: what clients say */
extern const struct ingest_ops pipeline_ingest_ops;
/* Brings the ledger's rows of living clients up to now. */
void pipeline_count_clients(struct pipeline *pipeline);
/* Keeps, and says once, whether a client's statements can be seen. */
void pipeline_note_observed(struct pipeline *pipeline, const struct live_board *board);

/* save.c: checkpoints */
/* Begins one, or asks for one after that under way. */
void pipeline_commit(struct pipeline *pipeline);
/* One whose snapshot is for the destination. */
void pipeline_export(struct pipeline *pipeline);
void pipeline_on_commit_done(void *userdata, int result, const char *error, const struct rows *rows,
                             uint64_t duration_ns);
void pipeline_on_unsaved(uv_timer_t *timer);
/* Scrapes that wait get the last snapshot now. */
void pipeline_answer_all(struct pipeline *pipeline);

/* facts.c: what the agent says of itself */
void pipeline_self_points(struct pipeline *pipeline, uint64_t now_ns,
                          struct snapshot_builder *builder);

/* source.c: what the endpoints ask */
struct serve_source pipeline_source(struct pipeline *pipeline);

/* life.c: time, signals, the end */
/* Timers and signals. 0 or negative errno. */
int pipeline_watch(struct pipeline *pipeline);
void pipeline_on_interval(uv_timer_t *timer);
void pipeline_on_arrived(void *userdata, uint64_t generation);
/* What the configuration and OpenTelemetry's variables say; tells of what they cannot mean. */
struct trace_policy pipeline_trace_policy(const struct config *config);
/* A checkpoint is over and the agent is to stop. */
void pipeline_stop_when_saved(struct pipeline *pipeline);
/* Closes all that keeps the loop turning. */
void pipeline_close(struct pipeline *pipeline);
