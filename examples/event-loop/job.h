/* One statement in an event loop: takes a connection, executes, gives it back, and blocks nowhere.
 */
#pragma once

#include <stdbool.h>
#include <uv.h>
#include <weir/manager.h>
#include <weir/statement.h>

struct job;
typedef void (*job_fn)(struct job *job);

struct job {
    uv_loop_t *loop;
    struct weir_pool *pool;
    const char *statement;
    job_fn done;    /* called from the loop; the job can be started again */
    void *userdata; /* of whoever made it */

    bool is_failed;           /* for done(): … */
    struct weir_error *error; /* … and why; NULL: libuv had no watch for it, or it was cancelled */

    /* its own */
    bool is_active;
    uv_poll_t poll;   /* on one descriptor after the other */
    uv_timer_t timer; /* the statement's deadline */
    job_fn next;      /* when the watch is closed */
    struct weir_acquire *acquire;
    struct weir_connection *connection;
    struct weir_execution *execution;
};

/* What comes before done() is the caller's to fill in. 0 or libuv's error. */
int job_init(struct job *job);
void job_start(struct job *job);
/* Gives up what is under way; done() follows, as after a failure. */
void job_cancel(struct job *job);
/* Closes the handles of a job that is not active; it stays until the loop has run. */
void job_close(struct job *job);
