#include "shim/preload/observe.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <string.h>

enum told {
    TOLD_NOTHING,
    TOLD_REASON,
    TOLD_YES,
};

static _Atomic int told;

void observe_not(enum weir_observed reason, uint32_t library_version)
{
    int nothing = TOLD_NOTHING;

    if (atomic_compare_exchange_strong_explicit(&told, &nothing, TOLD_REASON, memory_order_relaxed,
                                                memory_order_relaxed))
        weir_probe_observed(reason, library_version);
}

void observe_yes(uint32_t library_version)
{
    if (atomic_exchange_explicit(&told, TOLD_YES, memory_order_relaxed) != TOLD_YES)
        weir_probe_observed(WEIR_OBSERVED_YES, library_version);
}

bool observe_caller(const struct call *call)
{
    if (call->is_inner || !call->libpq || outer_call.frame ||
        !object_contains(&call->libpq->object, call->caller))
        return false;
    observe_not(WEIR_OBSERVED_BYPASSED_LIBPQ, call->libpq->version);
    return true;
}

void observe_deep_bound(void *handle)
{
    int (*version)(void);
    void *found = dlsym(handle, "PQlibVersion");

    if (!found) {
        (void)dlerror(); /* ours, not the program's */
        return;
    }
    memcpy(&version, &found, sizeof(found));
    observe_not(WEIR_OBSERVED_BYPASSED_LIBPQ, (uint32_t)version());
}
