#include "shim/pool/crew.h"

#include <errno.h>
#include <signal.h>

#include "base/clock.h"

enum {
    CREW_IDLE_MS = 5000,    /* then a thread without work ends */
    CREW_STACK = 512 << 10, /* name resolution and TLS want some */
};

void crew_init(struct crew *crew)
{
    pthread_condattr_t attributes;

    (void)pthread_mutex_init(&crew->mutex, NULL); /* these cannot fail on Linux */
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&crew->work, &attributes);
    (void)pthread_cond_init(&crew->ended, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    crew->first = NULL;
    crew->last = &crew->first;
    crew->threads = crew->sleeping = crew->queued = 0;
    crew->is_ending = false;
}

static struct timespec moment(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
}

/* Under the mutex. NULL: the thread is to end. */
static struct crew_job *crew_next(struct crew *crew)
{
    struct timespec until = moment(clock_monotonic_ns() + CREW_IDLE_MS * NS_PER_MS);
    struct crew_job *job;
    int r = 0;

    while (!crew->first && !crew->is_ending && r != ETIMEDOUT) {
        crew->sleeping++;
        r = pthread_cond_timedwait(&crew->work, &crew->mutex, &until);
        crew->sleeping--;
    }
    job = crew->first;
    if (!job)
        return NULL;
    crew->first = job->next;
    if (!crew->first)
        crew->last = &crew->first;
    crew->queued--;
    return job;
}

static void *crew_work(void *userdata)
{
    struct crew *crew = userdata;
    struct crew_job *job;

    (void)pthread_mutex_lock(&crew->mutex);
    while ((job = crew_next(crew))) {
        (void)pthread_mutex_unlock(&crew->mutex);
        job->run(job);
        (void)pthread_mutex_lock(&crew->mutex);
    }
    crew->threads--;
    (void)pthread_cond_broadcast(&crew->ended);
    (void)pthread_mutex_unlock(&crew->mutex);
    return NULL;
}

static int crew_thread_start(struct crew *crew)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_t thread;
    int r;

    if (pthread_attr_init(&attributes))
        return -ENOMEM;
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attributes, CREW_STACK);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&thread, &attributes, crew_work, crew);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    return -r;
}

bool crew_submit(struct crew *crew, struct crew_job *job)
{
    bool is_taken;

    (void)pthread_mutex_lock(&crew->mutex);
    if (!crew->is_ending && crew->queued >= crew->sleeping && crew->threads < CREW_MAX &&
        !crew_thread_start(crew))
        crew->threads++;
    is_taken = !crew->is_ending && crew->threads > 0;
    if (is_taken) {
        job->next = NULL;
        *crew->last = job;
        crew->last = &job->next;
        crew->queued++;
        (void)pthread_cond_signal(&crew->work);
    }
    (void)pthread_mutex_unlock(&crew->mutex);
    return is_taken;
}

bool crew_end(struct crew *crew, uint64_t deadline_ns)
{
    struct timespec until = moment(deadline_ns);
    bool is_empty;
    int r = 0;

    (void)pthread_mutex_lock(&crew->mutex);
    crew->is_ending = true;
    (void)pthread_cond_broadcast(&crew->work);
    while (crew->threads && r != ETIMEDOUT)
        r = pthread_cond_timedwait(&crew->ended, &crew->mutex, &until);
    is_empty = !crew->threads;
    (void)pthread_mutex_unlock(&crew->mutex);
    return is_empty;
}

void crew_fork_child(struct crew *crew)
{
    /* Jobs that were queued belong to the parent; their memory is let go. */
    crew_init(crew);
}
