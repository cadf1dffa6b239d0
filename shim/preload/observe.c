#include "shim/preload/observe.h"

#include <stdatomic.h>

static _Atomic bool is_told;

void observe_caller(const struct call *call)
{
    if (call->is_inner || !call->libpq || outer_call.frame ||
        !object_contains(&call->libpq->object, call->caller))
        return;
    if (!atomic_exchange_explicit(&is_told, true, memory_order_relaxed))
        weir_probe_observed(WEIR_OBSERVED_BYPASSED_LIBPQ, call->libpq->version);
}
