/* Scope-bound ownership: a local with CLEANUP is released on every path, STEAL hands it out. */
#pragma once

#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))

/* Takes the value out of an owned local, so that its cleanup has nothing to do. */
#define STEAL(local)                                                                               \
    __extension__({                                                                                \
        __typeof__(local) steal_value = (local);                                                   \
        (local) = NULL;                                                                            \
        steal_value;                                                                               \
    })

/* Defines <type>_freep for CLEANUP from a <free_fn> that accepts NULL. */
#define CLEANUP_DEFINE(type, name, free_fn)                                                        \
    static inline void name(type *owned)                                                           \
    {                                                                                              \
        if (*owned)                                                                                \
            (void)free_fn(*owned);                                                                 \
    }

static inline void freep(void *owned)
{
    free(*(void **)owned);
}

static inline void closep(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* nothing useful can be done with an error here */
}

static inline int steal_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}
