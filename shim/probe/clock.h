/* CLOCK_MONOTONIC for the recording path. Where the kernel itself reads the time-stamp counter, so
 * do we, between readings of the real clock that are at most CLOCK_SPAN_NS apart: half the price,
 * and never a microsecond beside it (the kernel slews by at most 0.05 %, half a microsecond a
 * span). */
#pragma once

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/clock.h"

enum { CLOCK_SPAN_NS = 1000000, CLOCK_MULT_SHIFT = 32 };

/* Finds out whether the counter may be used; until then, and where not, the real clock is read. */
void probe_clock_start(void);

#if defined(__x86_64__)

/* What the counter's value means in this span. The owner of an odd sequence writes; a reader that
 * finds it odd or changed reads the real clock instead, so that a writer who dies costs speed. */
struct clock_span {
    alignas(64) _Atomic uint32_t sequence; /* 0: not calibrated yet */
    _Atomic uint64_t ticks;                /* at the span's beginning */
    _Atomic uint64_t ns;
    _Atomic uint64_t mult; /* ns a tick, times 2^CLOCK_MULT_SHIFT */
    _Atomic uint64_t length_ticks;
};

extern struct clock_span clock_span;

/* The real clock; begins a new span. */
uint64_t clock_span_renew(void);

static inline uint64_t probe_clock_ns(void)
{
    uint32_t sequence = atomic_load_explicit(&clock_span.sequence, memory_order_acquire);
    uint64_t ticks = atomic_load_explicit(&clock_span.ticks, memory_order_acquire);
    uint64_t ns = atomic_load_explicit(&clock_span.ns, memory_order_acquire);
    uint64_t mult = atomic_load_explicit(&clock_span.mult, memory_order_acquire);
    uint64_t length = atomic_load_explicit(&clock_span.length_ticks, memory_order_acquire);
    uint64_t passed = __builtin_ia32_rdtsc() - ticks;

    /* A counter that runs behind the span's beginning wraps to a huge number. */
    if (__builtin_expect(!sequence || (sequence & 1) || passed >= length ||
                             atomic_load_explicit(&clock_span.sequence, memory_order_relaxed) !=
                                 sequence,
                         0))
        return clock_span_renew();
    return ns + (passed * mult >> CLOCK_MULT_SHIFT);
}

#else

/* The virtual counter is what the vDSO reads too, at the same price. */
static inline uint64_t probe_clock_ns(void)
{
    return clock_monotonic_ns();
}

#endif

/* The time between two readings, which may be of two spans: never less than nothing. */
static inline uint64_t clock_between_ns(uint64_t begin_ns, uint64_t end_ns)
{
    return end_ns > begin_ns ? end_ns - begin_ns : 0;
}
