/* What the probe knows of the calling thread: 64 bytes of initial-exec thread-local storage, which
 * a library that is loaded late may still have. Zero is a thread's right beginning. */
#pragma once

#include <assert.h>
#include <stdint.h>

#include "shim/probe/segment.h"
#include "shim/probe/table.h"

enum { THREAD_EPOCH_MASK = 0x7fff };

struct thread {
    uint8_t trace_id[16];
    uint8_t parent_span_id[8];
    uint64_t tenant; /* name ids, 0 = none */
    uint64_t tracestate;
    uint64_t call_site;
    const void *caller;       /* of weir_probe_caller_set */
    uint32_t number;          /* the kernel's thread id; 0: not asked yet */
    uint16_t epoch : 15;      /* low bits of the one in which the names above were last announced */
    uint16_t has_context : 1; /* a trace, tenant or tracestate is set */
    uint8_t lane : 7;         /* own lane + 1; 0: none yet */
    uint8_t is_covered : 1;   /* of thread_connects_covered() */
    uint8_t trace_flags;
};

static_assert(sizeof(struct thread) == 64, "the surplus of static TLS is small");
static_assert(SEGMENT_LANES + 1 < 1 << 7, "seven bits hold a lane's number");

extern __thread struct thread thread_self;

/* Gives the thread its number and lane. */
void thread_arrive(void);

static inline struct thread *thread_enter(void)
{
    struct thread *self = &thread_self;

    if (__builtin_expect(!self->lane, 0))
        thread_arrive();
    return self;
}

/* Announces the thread's names again if the agent raised the epoch since. */
void thread_names_announce(const struct segment *segment, struct thread *self);

static inline void thread_names_renew(const struct segment *segment, struct thread *self)
{
    if (__builtin_expect(self->epoch != (segment_epoch(segment) & THREAD_EPOCH_MASK), 0))
        thread_names_announce(segment, self);
}

/* After fork: the surviving thread has a new number. */
void thread_fork_child(void);

/* weir_probe_tenant_set and its kin. */
void thread_tenant_set(const char *tenant);
void thread_trace_set(const char *traceparent, const char *tracestate);
void thread_call_site_set(const char *call_site);
void thread_caller_set(const void *return_address);
void thread_connects_covered(int is_covered);

/* Of the table: what table.h says. */
int thread_connects_are_covered(void);
void thread_context_save(struct probe_context *ret);
void thread_context_restore(const struct probe_context *context);
