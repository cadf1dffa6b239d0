/* Chance, for jitter: rare enough to ask the kernel each time. */
#pragma once

#include <stdint.h>
#include <sys/random.h>

/* Somewhere in [0, below); 0 if the kernel has none to give. */
static inline uint64_t dice_below(uint64_t below)
{
    uint64_t value = 0;

    if (!below || getrandom(&value, sizeof(value), GRND_NONBLOCK) != sizeof(value))
        return 0;
    return value % below;
}
