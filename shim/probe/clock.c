#include "shim/probe/clock.h"

#include "base/clock.h"

#if !defined(__x86_64__)

void probe_clock_start(void)
{
}

#else

#include <cpuid.h>
#include <fcntl.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#include <x86intrin.h>

enum {
    CALIBRATE_MIN_MS = 10,  /* the error of two pairs over it: some millionths */
    CALIBRATE_MAX_MS = 100, /* then a new beginning, as the kernel slews its clock over time */
    PAIR_TICKS_MAX = 4000,  /* a pair that took longer was interrupted */
};

struct clock_span clock_span;

/* The writer's own. */
static struct {
    alignas(64) _Atomic uint32_t owner;
    bool is_usable;
    uint64_t anchor_ticks, anchor_ns; /* beginning of the calibration; 0: none */
    uint64_t mult;                    /* 0: not known */
} calibration = {.owner = 1};         /* nobody calibrates before probe_clock_start() */

static bool counter_is_invariant(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & 1u << 8);
}

/* The kernel watches the counter, and stops using it when it finds it wrong. */
static bool counter_is_the_kernels(void)
{
    char name[16] = {0};
    int fd = open("/sys/devices/system/clocksource/clocksource0/current_clocksource",
                  O_RDONLY | O_CLOEXEC);
    ssize_t length;

    if (fd < 0)
        return false;
    length = read(fd, name, sizeof(name) - 1);
    (void)close(fd); /* only read from */
    return length >= 4 && !memcmp(name, "tsc\n", 4);
}

void probe_clock_start(void)
{
    calibration.is_usable = counter_is_invariant() && counter_is_the_kernels();
    calibration.anchor_ns = 0;
    calibration.mult = 0;
    atomic_store_explicit(&clock_span.sequence, 0, memory_order_relaxed);
    if (calibration.is_usable)
        atomic_store_explicit(&calibration.owner, 0, memory_order_release);
}

static void span_write(uint64_t ticks, uint64_t ns, uint64_t mult)
{
    uint32_t sequence = atomic_load_explicit(&clock_span.sequence, memory_order_relaxed);
    uint64_t length = (uint64_t)(((unsigned __int128)CLOCK_SPAN_NS << CLOCK_MULT_SHIFT) / mult);

    atomic_store_explicit(&clock_span.sequence, sequence | 1, memory_order_relaxed);
    /* Release: whoever sees one of these also sees the odd sequence. */
    atomic_store_explicit(&clock_span.ticks, ticks, memory_order_release);
    atomic_store_explicit(&clock_span.ns, ns, memory_order_release);
    atomic_store_explicit(&clock_span.mult, mult, memory_order_release);
    atomic_store_explicit(&clock_span.length_ticks, length, memory_order_release);
    sequence = (sequence | 1) + 1;
    atomic_store_explicit(&clock_span.sequence, sequence ? sequence : 2, memory_order_release);
}

/* How fast the counter runs, from the anchor until now; 0: not known yet. */
static uint64_t calibrate(uint64_t ticks, uint64_t ns)
{
    uint64_t passed_ns = ns - calibration.anchor_ns, passed_ticks, mult;

    if (!calibration.anchor_ns || ticks <= calibration.anchor_ticks ||
        passed_ns > 100 * CALIBRATE_MAX_MS * NS_PER_MS) {
        /* The first time; or a pause, in which the machine may have slept and the counter not. */
        calibration.anchor_ticks = ticks;
        calibration.anchor_ns = ns;
        return calibration.mult;
    }
    if (passed_ns < CALIBRATE_MIN_MS * NS_PER_MS ||
        (calibration.mult && passed_ns < CALIBRATE_MAX_MS * NS_PER_MS))
        return calibration.mult;
    passed_ticks = ticks - calibration.anchor_ticks;
    mult = (uint64_t)(((unsigned __int128)passed_ns << CLOCK_MULT_SHIFT) / passed_ticks);
    calibration.anchor_ticks = ticks;
    calibration.anchor_ns = ns;
    /* Two measurements that differ by more than a thousandth: one was disturbed, believe none. */
    if (calibration.mult && (mult > calibration.mult + calibration.mult / 1000 ||
                             mult < calibration.mult - calibration.mult / 1000))
        mult = 0;
    calibration.mult = mult;
    return mult;
}

uint64_t clock_span_renew(void)
{
    uint64_t before, ns, after, mult;
    uint32_t expected = 0;
    unsigned cpu;

    if (!atomic_compare_exchange_strong_explicit(&calibration.owner, &expected, 1,
                                                 memory_order_acquire, memory_order_relaxed))
        return clock_monotonic_ns();
    before = __rdtscp(&cpu);
    ns = clock_monotonic_ns();
    after = __rdtscp(&cpu);
    if (after > before && after - before < PAIR_TICKS_MAX) {
        before += (after - before) / 2;
        mult = calibrate(before, ns);
        if (mult)
            span_write(before, ns, mult);
        else
            atomic_store_explicit(&clock_span.sequence, 0, memory_order_relaxed);
    }
    atomic_store_explicit(&calibration.owner, 0, memory_order_release);
    return ns;
}

#endif
