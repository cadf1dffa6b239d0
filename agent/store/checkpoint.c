#include "agent/store/checkpoint.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/clock.h"

struct checkpoint {
    struct database *database;
    checkpoint_done_fn done;
    void *userdata;
    uv_async_t finished;
    pthread_t thread;
    bool has_thread;

    pthread_mutex_t mutex;
    pthread_cond_t wake;
    /* Under the mutex: */
    bool is_stopping, has_work, has_result;
    struct rows rows; /* the thread's own while has_work */
    int result;
    uint64_t duration_ns;
    char error[256];
};

static void checkpoint_work(struct checkpoint *checkpoint)
{
    uint64_t begin_ns = clock_monotonic_ns();
    int r = database_commit(checkpoint->database, &checkpoint->rows);

    checkpoint->duration_ns = clock_monotonic_ns() - begin_ns;
    checkpoint->result = r;
    checkpoint->error[0] = '\0';
    if (r < 0)
        (void)snprintf(checkpoint->error, sizeof(checkpoint->error), "%s",
                       database_error(checkpoint->database));
}

static void *checkpoint_run(void *userdata)
{
    struct checkpoint *checkpoint = userdata;

    pthread_mutex_lock(&checkpoint->mutex);
    for (;;) {
        while (!checkpoint->has_work && !checkpoint->is_stopping)
            pthread_cond_wait(&checkpoint->wake, &checkpoint->mutex);
        if (!checkpoint->has_work)
            break;
        pthread_mutex_unlock(&checkpoint->mutex);
        checkpoint_work(checkpoint);
        pthread_mutex_lock(&checkpoint->mutex);
        checkpoint->has_work = false;
        checkpoint->has_result = true;
        if (!checkpoint->is_stopping)
            (void)uv_async_send(&checkpoint->finished); /* fails only once it is closed */
    }
    pthread_mutex_unlock(&checkpoint->mutex);
    return NULL;
}

static void checkpoint_on_finished(uv_async_t *async)
{
    struct checkpoint *checkpoint = async->data;
    struct rows rows;
    bool has_result;

    pthread_mutex_lock(&checkpoint->mutex);
    has_result = checkpoint->has_result;
    checkpoint->has_result = false;
    rows = checkpoint->rows;
    if (has_result)
        rows_init(&checkpoint->rows, rows.bytes.length_max);
    pthread_mutex_unlock(&checkpoint->mutex);
    if (!has_result)
        return;
    checkpoint->done(checkpoint->userdata, checkpoint->result, checkpoint->error, &rows,
                     checkpoint->duration_ns);
    rows_deinit(&rows);
}

/* The thread takes no signals: they are the loop's. */
static int checkpoint_start_thread(struct checkpoint *checkpoint)
{
    sigset_t all, before;
    int r;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&checkpoint->thread, NULL, checkpoint_run, checkpoint);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    checkpoint->has_thread = r == 0;
    return -r;
}

int checkpoint_new(uv_loop_t *loop, struct database *database, checkpoint_done_fn done,
                   void *userdata, struct checkpoint **ret)
{
    struct checkpoint *checkpoint = calloc(1, sizeof(*checkpoint));
    int r;

    if (!checkpoint)
        return -ENOMEM;
    checkpoint->database = database;
    checkpoint->done = done;
    checkpoint->userdata = userdata;
    (void)pthread_mutex_init(&checkpoint->mutex, NULL); /* cannot fail with default attributes */
    (void)pthread_cond_init(&checkpoint->wake, NULL);
    r = uv_async_init(loop, &checkpoint->finished, checkpoint_on_finished);
    if (r < 0) {
        free(checkpoint);
        return r;
    }
    checkpoint->finished.data = checkpoint;
    r = database ? checkpoint_start_thread(checkpoint) : 0;
    if (r < 0) {
        checkpoint->database = NULL; /* still the caller's */
        (void)checkpoint_close(checkpoint);
        return r;
    }
    *ret = checkpoint;
    return 0;
}

void checkpoint_commit(struct checkpoint *checkpoint, struct rows *rows)
{
    bool failed = rows->bytes.failed;

    pthread_mutex_lock(&checkpoint->mutex);
    checkpoint->rows = *rows;
    rows_init(rows, rows->bytes.length_max);
    /* What only gauges changed for needs no disk. */
    if (checkpoint->database && checkpoint->rows.count && !failed) {
        checkpoint->has_work = true;
        pthread_cond_signal(&checkpoint->wake);
    } else {
        checkpoint->result = failed ? -ENOMEM : 0;
        (void)snprintf(checkpoint->error, sizeof(checkpoint->error), "%s",
                       failed ? "the rows do not fit in memory" : "");
        checkpoint->duration_ns = 0;
        checkpoint->has_result = true;
        (void)uv_async_send(&checkpoint->finished); /* fails only once it is closed */
    }
    pthread_mutex_unlock(&checkpoint->mutex);
}

static void checkpoint_on_closed(uv_handle_t *handle)
{
    struct checkpoint *checkpoint = handle->data;

    rows_deinit(&checkpoint->rows);
    (void)pthread_cond_destroy(&checkpoint->wake);
    (void)pthread_mutex_destroy(&checkpoint->mutex);
    free(checkpoint);
}

struct checkpoint *checkpoint_close(struct checkpoint *checkpoint)
{
    if (!checkpoint)
        return NULL;
    pthread_mutex_lock(&checkpoint->mutex);
    checkpoint->is_stopping = true;
    pthread_cond_signal(&checkpoint->wake);
    pthread_mutex_unlock(&checkpoint->mutex);
    if (checkpoint->has_thread)
        (void)pthread_join(checkpoint->thread, NULL);
    checkpoint->database = database_close(checkpoint->database);
    uv_close((uv_handle_t *)&checkpoint->finished, checkpoint_on_closed);
    return NULL;
}
