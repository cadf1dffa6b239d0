#include "shim/session/crew.h"

#include <errno.h>
#include <signal.h>

#include "base/clock.h"

enum {
    CREW_IDLE_MS = 5000,    /* then a thread without work ends */
    CREW_STACK = 512 << 10, /* name resolution and TLS want some */
};

static void queue_init(struct crew_queue *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
    queue->count = 0;
}

static void queue_put(struct crew_queue *queue, struct crew_job *job)
{
    job->next = NULL;
    *queue->last = job;
    queue->last = &job->next;
    queue->count++;
}

static struct crew_job *queue_take(struct crew_queue *queue)
{
    struct crew_job *job = queue->first;

    queue->first = job->next;
    if (!queue->first)
        queue->last = &queue->first;
    queue->count--;
    return job;
}

void crew_init(struct crew *crew)
{
    pthread_condattr_t attributes;

    (void)pthread_mutex_init(&crew->mutex, NULL); /* these cannot fail on Linux */
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&crew->work, &attributes);
    (void)pthread_cond_init(&crew->ended, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    queue_init(&crew->jobs);
    queue_init(&crew->endless);
    crew->threads = crew->sleeping = crew->endless_running = 0;
    crew->is_ending = crew->is_joining = crew->has_last = false;
}

static struct timespec moment(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
}

/* Under the mutex: jobs that a thread may begin now. */
static uint32_t crew_ready(const struct crew *crew)
{
    uint32_t room = CREW_ENDLESS_MAX - crew->endless_running;

    return crew->jobs.count + (crew->endless.count < room ? crew->endless.count : room);
}

/* Under the mutex. False: the thread is to end. */
static bool crew_await(struct crew *crew)
{
    struct timespec until = moment(clock_monotonic_ns() + CREW_IDLE_MS * NS_PER_MS);
    int r = 0;

    while (!crew_ready(crew) && !crew->is_ending && r != ETIMEDOUT) {
        crew->sleeping++;
        r = pthread_cond_timedwait(&crew->work, &crew->mutex, &until);
        crew->sleeping--;
    }
    return crew_ready(crew) > 0;
}

/* Under the mutex, which is let go while the job runs. */
static void crew_run_one(struct crew *crew)
{
    bool is_endless = !crew->jobs.count;
    struct crew_job *job = queue_take(is_endless ? &crew->endless : &crew->jobs);

    crew->endless_running += is_endless;
    (void)pthread_mutex_unlock(&crew->mutex);
    job->run(job);
    (void)pthread_mutex_lock(&crew->mutex);
    crew->endless_running -= is_endless;
}

/* What a thread leaves behind (TLS libraries have words of their own in each) is gone when the crew
 * has ended: else it would still be tidied up while the process exits. */
static void *crew_work(void *userdata)
{
    struct crew *crew = userdata;
    pthread_t before;
    bool has_before;

    (void)pthread_mutex_lock(&crew->mutex);
    while (crew_await(crew))
        crew_run_one(crew);
    before = crew->last;
    has_before = crew->is_joining && crew->has_last;
    if (crew->is_joining) {
        crew->last = pthread_self();
        crew->has_last = true;
    } else {
        (void)pthread_detach(pthread_self());
    }
    crew->threads--;
    (void)pthread_cond_broadcast(&crew->ended);
    (void)pthread_mutex_unlock(&crew->mutex);
    if (has_before)
        (void)pthread_join(before, NULL);
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
    (void)pthread_attr_setstacksize(&attributes, CREW_STACK);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&thread, &attributes, crew_work, crew);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    return -r;
}

static bool crew_put(struct crew *crew, struct crew_queue *queue, struct crew_job *job)
{
    bool is_taken, is_full;

    (void)pthread_mutex_lock(&crew->mutex);
    if (!crew->is_ending && crew_ready(crew) >= crew->sleeping && crew->threads < CREW_MAX &&
        !crew_thread_start(crew))
        crew->threads++;
    is_full = queue == &crew->endless && queue->count >= CREW_ENDLESS_QUEUED_MAX;
    /* Also while it ends: a thread looks for work once more before it goes, and what follows from
     * the last jobs (closing what was just opened) is theirs to do. */
    is_taken = crew->threads > 0 && !is_full;
    if (is_taken) {
        queue_put(queue, job);
        (void)pthread_cond_signal(&crew->work);
    }
    (void)pthread_mutex_unlock(&crew->mutex);
    return is_taken;
}

bool crew_submit(struct crew *crew, struct crew_job *job)
{
    return crew_put(crew, &crew->jobs, job);
}

bool crew_submit_endless(struct crew *crew, struct crew_job *job)
{
    return crew_put(crew, &crew->endless, job);
}

bool crew_end(struct crew *crew, uint64_t deadline_ns)
{
    struct timespec until = moment(deadline_ns);
    bool is_empty, has_last;
    pthread_t last;
    int r = 0;

    (void)pthread_mutex_lock(&crew->mutex);
    crew->is_ending = crew->is_joining = true;
    (void)pthread_cond_broadcast(&crew->work);
    while (crew->threads && r != ETIMEDOUT)
        r = pthread_cond_timedwait(&crew->ended, &crew->mutex, &until);
    is_empty = !crew->threads;
    crew->is_joining = false;
    has_last = crew->has_last;
    last = crew->last;
    crew->has_last = false;
    (void)pthread_mutex_unlock(&crew->mutex);
    if (has_last && is_empty)
        (void)pthread_join(last, NULL);
    else if (has_last)
        (void)pthread_detach(last);
    return is_empty;
}

void crew_fork_child(struct crew *crew)
{
    /* Jobs that were queued belong to the parent; their memory is let go. */
    crew_init(crew);
}
