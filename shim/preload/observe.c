#include "shim/preload/observe.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum told {
    TOLD_NOTHING,
    TOLD_REASON,
    TOLD_YES,
};

static _Atomic int told;

static void observe_not(enum weir_observed reason, uint32_t library_version)
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

/* ---- a libpq inside the program -------------------------------------------------------------- */

/* What only libpq says. */
static bool holds_libpq(const char *bytes, size_t size)
{
    static const char said[] = "fe_sendauth: no password supplied";

    return memmem(bytes, size, said, sizeof(said) - 1) != NULL;
}

static int look_into_program(struct dl_phdr_info *program, size_t size, void *argument)
{
    bool *is_found = argument;

    (void)size; /* we read only what every version has */
    for (ElfW(Half) i = 0; i < program->dlpi_phnum && !*is_found; i++) {
        const ElfW(Phdr) *header = &program->dlpi_phdr[i];
        if (header->p_type == PT_LOAD && header->p_flags & PF_R && !(header->p_flags & PF_W))
            *is_found =
                holds_libpq((const char *)(program->dlpi_addr + header->p_vaddr), header->p_filesz);
    }
    return 1; /* the program is the first; we look no further */
}

/* A program that contains its libpq never calls us, so its start is the only time to see it. */
static __attribute__((constructor)) void observe_program(void)
{
    const char *disabled = secure_getenv("WEIR_DISABLED");
    bool is_found = false;

    if (disabled && !strcasecmp(disabled, "true"))
        return;
    (void)dl_iterate_phdr(look_into_program, &is_found); /* its result is is_found */
    if (is_found)
        observe_not(WEIR_OBSERVED_STATIC_LIBPQ, 0);
}
