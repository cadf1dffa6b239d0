/* How long this machine kept a thread that was due from running. A test of a deadline is about our
 * code: what a thread that does nothing but sleep lost in the same moments is the machine's. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/clock.h"

enum {
    STALL_SLEEP_US = 1000,
    STALL_LEAST_US = 1000, /* later than that by less is no stall */
    STALLS = 4096,         /* remembered */
};

struct stall {
    _Atomic uint64_t end_ns, length_ns;
};

static struct stall stalls[STALLS];
static _Atomic size_t stall_count;

static void *stall_watch(void *unused)
{
    struct timespec pause = {.tv_nsec = STALL_SLEEP_US * 1000};

    for (;;) {
        uint64_t begin_ns = clock_monotonic_ns(), end_ns, late_ns;
        (void)nanosleep(&pause, NULL);
        end_ns = clock_monotonic_ns();
        late_ns = end_ns - begin_ns - STALL_SLEEP_US * NS_PER_US;
        if (late_ns > STALL_LEAST_US * NS_PER_US) {
            size_t count = atomic_load(&stall_count);
            atomic_store(&stalls[count % STALLS].length_ns, late_ns);
            atomic_store(&stalls[count % STALLS].end_ns, end_ns);
            atomic_store(&stall_count, count + 1);
        }
    }
    return unused;
}

/* The watch ends with the process. */
static __attribute__((constructor)) void stall_watch_start(void)
{
    pthread_t thread;

    if (!pthread_create(&thread, NULL, stall_watch, NULL))
        (void)pthread_detach(thread);
}

/* The sum of the stalls that ended since @since_ns, of a stall under way too if the watch noticed.
 */
static inline uint64_t stalled_ns(uint64_t since_ns)
{
    size_t count = atomic_load(&stall_count);
    uint64_t sum = 0;

    for (size_t i = count > STALLS ? count - STALLS : 0; i < count; i++)
        if (atomic_load(&stalls[i % STALLS].end_ns) >= since_ns)
            sum += atomic_load(&stalls[i % STALLS].length_ns);
    return sum;
}
