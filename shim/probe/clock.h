/* CLOCK_MONOTONIC for the recording path. Where the kernel itself reads the time-stamp counter, so do
 * we, between readings of the real clock that are at most CLOCK_SPAN_NS apart: half the price, and
 * never a microsecond beside it (the kernel slews by at most 0.05 %, half a microsecond a span). */
#pragma once

#include <stdint.h>

enum { CLOCK_SPAN_NS = 1000000 };

/* Finds out whether the counter may be used; until then, and where not, the real clock is read. */
void probe_clock_start(void);

uint64_t probe_clock_ns(void);

/* The time between two readings, which may be of two spans: never less than nothing. */
static inline uint64_t clock_between_ns(uint64_t begin_ns, uint64_t end_ns)
{
    return end_ns > begin_ns ? end_ns - begin_ns : 0;
}
