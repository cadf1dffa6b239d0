#include "shim/preload/libpq.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "shim/preload/guard.h"

/* A function of every libpq that we do not stand in for, nor anybody who watches statements: whose
 * it is, the rest is too. */
#define ANCHOR "PQresultStatus"

/* As many as there are libraries; grows at its head, under the guard. */
static _Atomic(struct libpq *) libpqs;

static void *symbol(void *handle, const char *name)
{
    void *found = dlsym(handle, name);

    if (!found)
        (void)dlerror(); /* ours, not the program's */
    return found;
}

/* Where the caller's libpq lies. */
static void *anchor_of_caller(const void *caller)
{
    void *anchor = symbol(RTLD_NEXT, ANCHOR), *handle;
    struct object object;

    if (anchor)
        return anchor;
    if (!object_find(caller, &object))
        return NULL;
    handle = object_open(&object);
    if (!handle)
        return NULL;
    anchor = symbol(handle, ANCHOR);
    (void)dlclose(handle);
    return anchor;
}

/* True if the object of @function is a libpq and not somebody who stands in for some of it. */
static bool is_of_libpq(void *function)
{
    struct object object;
    void *handle, *anchor;

    if (!object_find(function, &object))
        return false;
    handle = object_open(&object);
    if (!handle)
        return false;
    anchor = symbol(handle, ANCHOR);
    (void)dlclose(handle);
    return anchor && object_contains(&object, anchor);
}

/* The function that we stand before: another interposer's if there is one behind us. */
static void *function_find(void *handle, const char *name)
{
    void *own = symbol(handle, name);
    void *next = symbol(RTLD_NEXT, name);

    return next && next != own && !is_of_libpq(next) ? next : own;
}

static void libpq_fill(struct libpq *libpq, const struct object *object, void *handle)
{
    void *function;

    libpq->object = *object;
#define FUNCTION(result, name, parameters)                                                         \
    function = function_find(handle, #name);                                                       \
    memcpy(&libpq->name, &function, sizeof(function));
#include "shim/preload/functions.def"
#undef FUNCTION
    libpq->version = libpq->PQlibVersion ? (uint32_t)libpq->PQlibVersion() : 0;
    libpq->is_bound =
        !object_refers_to(object, "PQgetResult") || !object_refers_to(object, "PQsendQuery");
}

static const struct libpq *libpq_known(uintptr_t begin)
{
    const struct libpq *libpq = atomic_load_explicit(&libpqs, memory_order_acquire);

    while (libpq && libpq->object.begin != begin)
        libpq = libpq->next;
    return libpq;
}

/* Under the guard. The handle stays open. */
static const struct libpq *libpq_add(const struct object *object)
{
    struct libpq *libpq = calloc(1, sizeof(*libpq));
    void *handle = object_open(object);

    if (!libpq || !handle) {
        free(libpq);
        return NULL;
    }
    libpq_fill(libpq, object, handle);
    libpq->next = atomic_load_explicit(&libpqs, memory_order_relaxed);
    atomic_store_explicit(&libpqs, libpq, memory_order_release);
    return libpq;
}

const struct libpq *libpq_of_caller(const void *caller)
{
    void *anchor = anchor_of_caller(caller);
    const struct libpq *libpq;
    struct object object;

    if (!anchor || !object_find(anchor, &object))
        return NULL;
    libpq = libpq_known(object.begin);
    if (libpq)
        return libpq;
    guard_lock();
    libpq = libpq_known(object.begin);
    if (!libpq)
        libpq = libpq_add(&object);
    guard_unlock();
    return libpq;
}

const struct libpq *libpq_any(void)
{
    return atomic_load_explicit(&libpqs, memory_order_acquire);
}
