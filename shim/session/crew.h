/* Threads for what may wait: connecting, hooks, resetting, closing, cancelling. Made on demand,
 * gone after some seconds without work, at most CREW_MAX of them. All signals are blocked in them.
 *
 * What has no deadline of its own, and may hang for as long as a network is silent, is done by
 * CREW_ENDLESS_MAX of them at most, so that the others are there for the rest. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    CREW_MAX = 96,
    CREW_ENDLESS_MAX = 32,
    CREW_ENDLESS_QUEUED_MAX = 1024, /* waiting for one of those; more are refused */
};

struct crew_job {
    struct crew_job *next;             /* the crew's, while it is queued */
    void (*run)(struct crew_job *job); /* owns the job */
};

struct crew_queue {
    struct crew_job *first, **last;
    uint32_t count;
};

struct crew {
    pthread_mutex_t mutex;
    pthread_cond_t work, ended;
    struct crew_queue jobs, endless;
    uint32_t threads, sleeping;
    uint32_t endless_running;
    bool is_ending;
    bool is_joining; /* somebody waits for the threads to be gone */
    bool has_last;
    pthread_t last; /* of those that ended since, each of which joins the one before it */
};

void crew_init(struct crew *crew);
/* Never waits. False: no thread can be had, or the crew has ended; the job stays the caller's. */
bool crew_submit(struct crew *crew, struct crew_job *job);
/* The same for a job without a deadline of its own. False also: too many of them wait. */
bool crew_submit_endless(struct crew *crew, struct crew_job *job);
/* Runs what is queued, and waits for all threads until @deadline_ns (CLOCK_MONOTONIC). False: some
 * are still busy; the crew must then not be freed. */
bool crew_end(struct crew *crew, uint64_t deadline_ns);
/* In a forked child: no thread, no work. */
void crew_fork_child(struct crew *crew);
