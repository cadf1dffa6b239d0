#include "workers.h"

#include <errno.h>
#include <stdlib.h>

#include "http_request.h"
#include "route.h"

enum { QUEUED_MAX = 1000 };

bool workers_submit(struct workers *workers, struct http_request *request)
{
    bool is_full;

    (void)pthread_mutex_lock(&workers->mutex);
    is_full = workers->queued >= QUEUED_MAX || workers->is_ending;
    if (!is_full) {
        /* Before a worker can have it, since he resumes it. */
        request->stage = HTTP_WITH_WORKER;
        MHD_suspend_connection(request->connection);
        request->next = NULL;
        *workers->end = request;
        workers->end = &request->next;
        workers->queued++;
        (void)pthread_cond_signal(&workers->wake);
    }
    (void)pthread_mutex_unlock(&workers->mutex);
    return !is_full;
}

/* Waits for the next request; NULL: there will be none. */
static struct http_request *workers_take(struct workers *workers)
{
    struct http_request *request;

    (void)pthread_mutex_lock(&workers->mutex);
    while (!workers->first && !workers->is_ending)
        (void)pthread_cond_wait(&workers->wake, &workers->mutex);
    request = workers->first;
    if (request) {
        workers->first = request->next;
        if (!workers->first)
            workers->end = &workers->first;
        workers->queued--;
    }
    (void)pthread_mutex_unlock(&workers->mutex);
    return request;
}

static void *worker_run(void *userdata)
{
    struct workers *workers = userdata;
    struct http_request *request;

    while ((request = workers_take(workers))) {
        request->route->serve(request);
        request->stage = HTTP_ANSWERED;
        MHD_resume_connection(request->connection);
    }
    return NULL;
}

int workers_start(struct workers *workers, unsigned count)
{
    *workers = (struct workers){.threads = calloc(count, sizeof(pthread_t))};
    if (!workers->threads)
        return -ENOMEM;
    workers->end = &workers->first;
    (void)pthread_mutex_init(&workers->mutex, NULL); /* these cannot fail on Linux */
    (void)pthread_cond_init(&workers->wake, NULL);
    for (; workers->count < count; workers->count++) {
        int r = pthread_create(&workers->threads[workers->count], NULL, worker_run, workers);
        if (r) {
            workers_stop(workers);
            return -r;
        }
    }
    return 0;
}

void workers_stop(struct workers *workers)
{
    (void)pthread_mutex_lock(&workers->mutex);
    workers->is_ending = true;
    (void)pthread_cond_broadcast(&workers->wake);
    (void)pthread_mutex_unlock(&workers->mutex);
    for (unsigned i = 0; i < workers->count; i++)
        (void)pthread_join(workers->threads[i], NULL);
    free(workers->threads);
    (void)pthread_cond_destroy(&workers->wake);
    (void)pthread_mutex_destroy(&workers->mutex);
}
