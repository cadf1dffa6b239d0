#include "shim/probe/clock.h"

#include "base/clock.h"

void probe_clock_start(void)
{
}

uint64_t probe_clock_ns(void)
{
    return clock_monotonic_ns();
}
