#include "shim/probe/process.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "shim/probe/attach.h"
#include "shim/probe/board.h"
#include "shim/probe/clock.h"
#include "shim/probe/fork.h"
#include "shim/probe/text.h"
#include "shim/probe/thread.h"

enum {
    CREATE_ATTEMPTS_MAX = 8, /* then the system means it */
    START_WAIT_MS = 100,     /* for another thread that is just making the segment */
};

static pthread_mutex_t process_mutex = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static struct segment segments[2]; /* two, since fork may interrupt a user of the parent's */
static uint32_t generation;
static unsigned create_attempts;
static struct process_identity identity;

static _Atomic uint32_t observed_now, library_version_now;

static bool process_lock(void)
{
    struct timespec until;

    if (!pthread_mutex_trylock(&process_mutex))
        return true;
    (void)clock_gettime(CLOCK_REALTIME, &until); /* cannot fail */
    until.tv_nsec += START_WAIT_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_nsec -= 1000000000L;
        until.tv_sec++;
    }
    return !pthread_mutex_timedlock(&process_mutex, &until);
}

static void process_unlock(void)
{
    (void)pthread_mutex_unlock(&process_mutex); /* ours: cannot fail */
}

static bool process_is_disabled(void)
{
    const char *disabled = secure_getenv("WEIR_DISABLED");

    return disabled && !strcasecmp(disabled, "true");
}

static void process_show_observed(const struct segment *segment)
{
    BOARD_STORE(segment->process->library_version,
                atomic_load_explicit(&library_version_now, memory_order_relaxed));
    BOARD_STORE(segment->process->observed,
                atomic_load_explicit(&observed_now, memory_order_relaxed));
}

/* Under the mutex. */
static const struct segment *process_segment_create(void)
{
    struct segment *segment;
    int fd = -1;

    if (create_attempts >= CREATE_ATTEMPTS_MAX)
        return NULL;
    if (process_is_disabled()) {
        create_attempts = CREATE_ATTEMPTS_MAX;
        return NULL;
    }
    create_attempts++;
    generation++;
    segment = &segments[generation % 2];
    if (segment_create(segment_size_parse(secure_getenv("WEIR_SEGMENT_SIZE")), generation, segment,
                       &fd) < 0)
        return NULL;
    fork_watch();
    probe_clock_start();
    process_show_observed(segment);
    /* Partner: the acquire in segment_enter(). */
    atomic_store_explicit(&segment_current, segment, memory_order_release);
    attach_start(segment, &identity, fd);
    return segment;
}

const struct segment *process_start(void)
{
    const struct segment *segment = segment_enter();

    if (segment) {
        process_tend();
        return segment;
    }
    if (!process_lock())
        return NULL;
    segment = atomic_load_explicit(&segment_current, memory_order_acquire);
    if (segment && !atomic_load_explicit(segment->alive, memory_order_relaxed)) {
        fork_child_forget(); /* a bare clone(): no fork handler ran */
        segment = NULL;
    }
    if (!segment)
        segment = process_segment_create();
    process_unlock();
    return segment;
}

void process_tend(void)
{
    if (attach_has_leftovers() && !pthread_mutex_trylock(&process_mutex)) {
        attach_leftovers_close();
        process_unlock();
    }
}

void process_mutex_renew(void)
{
    (void)pthread_mutex_init(&process_mutex, NULL); /* cannot fail without attributes */
}

void process_fork_child(void)
{
    const struct segment *parents = atomic_load_explicit(&segment_current, memory_order_relaxed);

    atomic_store_explicit(&segment_current, NULL, memory_order_release);
    if (parents)
        segment_shadow(parents);
    create_attempts = create_attempts >= CREATE_ATTEMPTS_MAX ? CREATE_ATTEMPTS_MAX : 0;
    board_reset();
}

static void identity_copy(char *to, const char *from)
{
    if (from)
        (void)snprintf(to, IDENTITY_TEXT_MAX, "%s", from); /* cut if overlong */
}

#define IDENTITY_HAS(identity, member)                                                             \
    ((identity)->size >= offsetof(struct weir_probe_identity, member) + sizeof((identity)->member))

void process_identify(const struct weir_probe_identity *told)
{
    if (!told || !process_lock())
        return;
    if (IDENTITY_HAS(told, shim_name))
        identity_copy(identity.shim_name, told->shim_name);
    if (IDENTITY_HAS(told, service_name))
        identity_copy(identity.service_name, told->service_name);
    if (IDENTITY_HAS(told, library))
        identity_copy(identity.library, told->library);
    process_unlock();
}

void process_observed(enum weir_observed observed, uint32_t library_version)
{
    const struct segment *segment;

    atomic_store_explicit(&observed_now, (uint32_t)observed, memory_order_relaxed);
    if (library_version)
        atomic_store_explicit(&library_version_now, library_version, memory_order_relaxed);
    /* A process whose calls cannot be seen will never connect under our eyes: it has to appear with
     * its reason all the same. */
    segment = observed == WEIR_OBSERVED_STATIC_LIBPQ || observed == WEIR_OBSERVED_BYPASSED_LIBPQ
                  ? process_start()
                  : segment_enter();
    if (segment)
        process_show_observed(segment);
}
