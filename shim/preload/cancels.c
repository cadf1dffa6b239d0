#include "shim/preload/cancels.h"

#include <sched.h>
#include <stdatomic.h>

#include "include/weir/probe.h"
#include "shim/preload/guard.h"

enum {
    PLACES = 4096,   /* a power of two */
    PROBES_MAX = 64, /* from a key's first place on; beyond: it has no place */
    WAIT_MAX = 1000, /* yields to a thread that is just recording a cancel */
};

struct place {
    _Atomic uintptr_t key; /* 0: free; published after the rest (release) */
    _Atomic(struct weir_probe_connection *) connection;
    _Atomic(const struct libpq *) libpq;
};

static struct place places[PLACES];
static _Atomic unsigned places_used, recording;

static struct place *place_of(uintptr_t key, uintptr_t wanted)
{
    size_t first = (size_t)((key >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 40);

    for (size_t i = 0; i < PROBES_MAX; i++) {
        struct place *place = &places[(first + i) & (PLACES - 1)];
        if (atomic_load_explicit(&place->key, memory_order_acquire) == wanted)
            return place;
    }
    return NULL;
}

void cancels_add(const void *key, struct weir_probe_connection *connection,
                 const struct libpq *libpq)
{
    struct place *place;

    if (!key)
        return;
    guard_lock();
    place = place_of((uintptr_t)key, (uintptr_t)key);
    if (!place) {
        place = place_of((uintptr_t)key, 0);
        atomic_fetch_add_explicit(&places_used, place != NULL, memory_order_relaxed);
    }
    if (place) {
        atomic_store_explicit(&place->connection, connection, memory_order_relaxed);
        atomic_store_explicit(&place->libpq, libpq, memory_order_relaxed);
        atomic_store_explicit(&place->key, (uintptr_t)key, memory_order_release);
    }
    guard_unlock();
}

void cancels_remove(const void *key)
{
    struct place *place;

    if (!key)
        return;
    guard_lock();
    place = place_of((uintptr_t)key, (uintptr_t)key);
    if (place) {
        atomic_store_explicit(&place->key, 0, memory_order_release);
        atomic_fetch_sub_explicit(&places_used, 1, memory_order_relaxed);
    }
    guard_unlock();
}

void cancels_forget(const struct weir_probe_connection *connection)
{
    if (!atomic_load_explicit(&places_used, memory_order_relaxed))
        return;
    guard_lock();
    for (size_t i = 0; i < PLACES; i++)
        if (atomic_load_explicit(&places[i].connection, memory_order_relaxed) == connection)
            atomic_store(&places[i].connection, NULL);
    guard_unlock();
    /* Somebody in another thread may have read it just before. In our own thread nobody can: a
     * signal handler is done when we go on. */
    for (unsigned i = 0; i < WAIT_MAX && atomic_load(&recording); i++)
        (void)sched_yield(); /* never fails on Linux */
}

const struct libpq *cancels_record(const void *key)
{
    struct place *place = key ? place_of((uintptr_t)key, (uintptr_t)key) : NULL;
    struct weir_probe_connection *connection;

    if (!place)
        return NULL;
    /* Sequentially consistent with cancels_forget(): it sees us, or we see its NULL. */
    atomic_fetch_add(&recording, 1);
    connection = atomic_load(&place->connection);
    if (connection)
        weir_probe_cancel(connection);
    atomic_fetch_sub(&recording, 1);
    return atomic_load_explicit(&place->libpq, memory_order_relaxed);
}
