/* A statement waits twice, for a connection and for the answer, and both waits have the same form:
 * watch a descriptor, and when it is ready, step; WEIR_PENDING says to go on watching.
 *
 * The descriptor belongs to what is waited for, and may be gone after a step. libuv wants its watch
 * to end before: so it is stopped before each step and begins again after WEIR_PENDING. When a wait
 * is over its handle is closed, and what comes next is called as soon as the loop has done so. */
#include "job.h"

#include <poll.h>

static void on_closed(uv_handle_t *handle)
{
    struct job *job = handle->data;

    job->next(job);
}

static void job_leave_wait(struct job *job, job_fn next)
{
    job->next = next;
    uv_close((uv_handle_t *)&job->poll, on_closed);
}

static void job_finish(struct job *job)
{
    if (job->connection)
        (void)weir_connection_release(job->connection); /* never waits */
    job->connection = NULL;
    job->is_active = false;
    job->done(job);
}

static void on_later(uv_timer_t *timer)
{
    job_finish(timer->data);
}

/* Nothing is watched yet: done() is still to come from the loop. */
static void job_fail(struct job *job)
{
    job->is_failed = true;
    (void)uv_timer_start(&job->timer, on_later, 0, 0); /* fails only when closing */
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void on_answer(uv_poll_t *poll, int status, int events);
static void on_deadline(uv_timer_t *timer);

static int execution_watch(struct job *job)
{
    int events = weir_execution_events(job->execution);
    int timeout_ms = weir_execution_timeout_ms(job->execution);
    int wanted = (events & POLLIN ? UV_READABLE : 0) | (events & POLLOUT ? UV_WRITABLE : 0);

    if (timeout_ms >= 0)
        (void)uv_timer_start(&job->timer, on_deadline, (uint64_t)timeout_ms, 0);
    return uv_poll_start(&job->poll, wanted, on_answer);
}

static void execution_step(struct job *job)
{
    PGresult *result = NULL;
    int r;

    (void)uv_poll_stop(&job->poll); /* these fail only when closing */
    (void)uv_timer_stop(&job->timer);
    r = weir_execution_step(job->execution, &result, &job->error);
    if (r == WEIR_PENDING) {
        if (execution_watch(job) == 0)
            return;
        weir_execution_cancel(job->execution);
    }
    PQclear(result); /* a service would look at it here */
    job->execution = NULL;
    job->is_failed = r != 0;
    job_leave_wait(job, job_finish);
}

static void on_answer(uv_poll_t *poll, int status, int events)
{
    (void)status; /* an error of the socket is the step's to tell */
    (void)events;
    execution_step(poll->data);
}

/* The step cancels the statement on the server. */
static void on_deadline(uv_timer_t *timer)
{
    execution_step(timer->data);
}

static void job_execute(struct job *job)
{
    if (weir_execution_start(job->connection, job->statement, NULL, &job->execution, &job->error)) {
        job_fail(job);
        return;
    }
    if (uv_poll_init(job->loop, &job->poll, weir_execution_fd(job->execution)) ||
        execution_watch(job)) {
        weir_execution_cancel(job->execution);
        job->execution = NULL;
        job_fail(job);
    }
}

/* ---- the connection -------------------------------------------------------------------------- */

static void on_connection(uv_poll_t *poll, int status, int events)
{
    struct job *job = poll->data;
    int r;

    (void)status;
    (void)events;
    (void)uv_poll_stop(&job->poll); /* fails only when closing */
    r = weir_acquire_step(job->acquire, &job->connection, &job->error);
    if (r == WEIR_PENDING) {
        if (uv_poll_start(&job->poll, UV_READABLE, on_connection) == 0)
            return;
        weir_acquire_cancel(job->acquire);
    }
    job->acquire = NULL;
    job->is_failed = r != 0;
    job_leave_wait(job, r ? job_finish : job_execute);
}

void job_start(struct job *job)
{
    struct weir_acquire_opts opts = {.size = sizeof(opts), .call_site = "event-loop"};

    weir_error_free(job->error); /* of the time before */
    job->error = NULL;
    job->is_failed = false;
    job->is_active = true;
    if (weir_acquire_start(job->pool, &opts, &job->acquire, &job->error)) {
        job_fail(job);
        return;
    }
    /* Its deadline needs no timer: at the deadline the descriptor is readable. */
    if (uv_poll_init(job->loop, &job->poll, weir_acquire_fd(job->acquire)) ||
        uv_poll_start(&job->poll, UV_READABLE, on_connection)) {
        weir_acquire_cancel(job->acquire);
        job->acquire = NULL;
        job_fail(job);
    }
}

/* ---- its life -------------------------------------------------------------------------------- */

int job_init(struct job *job)
{
    int r = uv_timer_init(job->loop, &job->timer);

    job->timer.data = job->poll.data = job; /* uv_poll_init() leaves data alone */
    return r;
}

void job_cancel(struct job *job)
{
    if (!job->is_active)
        return;
    job->is_failed = true;
    if (!job->acquire && !job->execution) {
        job->next = job_finish; /* between two waits, or finishing anyway */
        return;
    }
    (void)uv_poll_stop(&job->poll); /* these fail only when closing */
    (void)uv_timer_stop(&job->timer);
    weir_acquire_cancel(job->acquire);
    if (job->execution)
        weir_execution_cancel(job->execution);
    job->acquire = NULL;
    job->execution = NULL;
    job_leave_wait(job, job_finish);
}

void job_close(struct job *job)
{
    weir_error_free(job->error);
    job->error = NULL;
    uv_close((uv_handle_t *)&job->timer, NULL);
}
