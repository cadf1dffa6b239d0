/* Threads for what may wait: connecting, hooks, resetting, closing, cancelling. Made on demand,
 * gone after some seconds without work, at most CREW_MAX of them. All signals are blocked in them.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { CREW_MAX = 96 };

struct crew_job {
    struct crew_job *next;             /* the crew's, while it is queued */
    void (*run)(struct crew_job *job); /* owns the job */
};

struct crew {
    pthread_mutex_t mutex;
    pthread_cond_t work, ended;
    struct crew_job *first, **last;
    uint32_t threads, sleeping, queued;
    bool is_ending;
};

void crew_init(struct crew *crew);
/* Never waits. False: no thread can be had, or the crew has ended; the job stays the caller's. */
bool crew_submit(struct crew *crew, struct crew_job *job);
/* Runs what is queued, and waits for all threads until @deadline_ns (CLOCK_MONOTONIC). False: some
 * are still busy; the crew must then not be freed. */
bool crew_end(struct crew *crew, uint64_t deadline_ns);
/* In a forked child: no thread, no work. */
void crew_fork_child(struct crew *crew);
