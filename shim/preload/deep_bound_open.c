#include "shim/preload/deep_bound.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <string.h>

#include "shim/preload/observe.h"

dlopen_fn deep_bound_original(void)
{
    static _Atomic(dlopen_fn) original;
    dlopen_fn known = atomic_load_explicit(&original, memory_order_relaxed);
    void *found;

    if (known)
        return known;
    found = dlsym(RTLD_NEXT, "dlopen"); /* always there: we need its library ourselves */
    memcpy(&known, &found, sizeof(found));
    atomic_store_explicit(&original, known, memory_order_relaxed);
    return known;
}

void *deep_bound_open(const char *file, int mode)
{
    void *handle = deep_bound_original()(file, mode);

    if (handle && !(mode & RTLD_NOLOAD))
        observe_deep_bound(handle);
    return handle;
}
