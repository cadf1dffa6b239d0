/* A statement's way from its text to its last result: prepared if need be, sent, answered,
 * cancelled at its deadline. Never waits by itself, so that blocking and non-blocking calls are the
 * same. */
#pragma once

#include "shim/session/arguments.h"
#include "shim/session/exchange.h"
#include "shim/session/prepared.h"

enum { RUN_CLOSINGS_MAX = 16 };

enum run_kind {
    RUN_EXECUTE = 0,
    RUN_STREAM, /* rows one by one */
    RUN_COPY,
};

enum run_turn {
    RUN_PENDING = 0, /* wait, then go on */
    RUN_ROW,         /* STREAM: in row */
    RUN_COPIES,      /* COPY: data can flow; go on when it has ended */
    RUN_OVER,        /* run_end() says how */
};

struct run {
    struct exchange exchange;
    struct account account;
    const struct arguments *arguments; /* borrowed until the end */
    enum run_kind kind;
    uint64_t hash; /* of the text */
    const char *doing;
    PGresult *result; /* the last one, or the first error */
    PGresult *row;

    struct prepared_entry *entry; /* NULL: without a name */
    bool is_preparing;
    bool is_fresh;     /* the entry was made by this run */
    bool is_pipelined; /* while preparing */
    uint32_t syncs;    /* that are outstanding */
    uint32_t closings_count, closings_done;
    struct prepared_entry *closings[RUN_CLOSINGS_MAX];
    uint64_t parse_begin_ns;

    bool is_refused;  /* libpq did not take it */
    bool is_complete; /* the server said that it is ready again */
    bool is_misused;  /* a COPY where none was expected */
    bool is_passing;  /* what it still delivers is passed over */
};

struct run_opts {
    enum run_kind kind;
    const char *doing;
    const void *caller;
    bool is_logged;
};

/* Sends. On failure there is nothing to end. */
int run_start(struct run *run, struct slot *slot, const struct arguments *arguments,
              const struct run_opts *opts, struct weir_error **ret_error);
enum run_turn run_step(struct run *run);
/* Until it is not pending. */
enum run_turn run_await(struct run *run);
/* After RUN_OVER. The result goes to the caller if he wants it, on success alone. */
int run_end(struct run *run, PGresult **ret_result, struct weir_error **ret_error);
/* Its connection goes on without it: exchange_settle() ends what is under way there. */
void run_detach(struct run *run);
/* Before RUN_OVER: cancels what is left, passes it over and ends it. */
void run_abandon(struct run *run);
