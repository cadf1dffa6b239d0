/* An open-addressing table of words. Writers hold the guard; a reader looks for a key that nobody
 * else adds or removes meanwhile, since a PGconn is used by one thread at a time, so all it needs
 * is that no place between a key's first one and its own ever looks free. */
#include "shim/preload/connections.h"

#include <stdatomic.h>

#include "shim/preload/guard.h"

struct place {
    _Atomic uintptr_t key; /* published after the session (release; acquire in the look-up) */
    _Atomic(struct session *) session;
};

enum {
    KEY_FREE = 0,
    KEY_REMOVED = 1, /* no pointer has this value */
};

static struct place places[CONNECTIONS_PLACES];
static unsigned places_used; /* under the guard; those removed not counted */

static size_t place_first(uintptr_t key)
{
    return (size_t)((key >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 40) & (CONNECTIONS_PLACES - 1);
}

static size_t place_next(size_t place)
{
    return (place + 1) & (CONNECTIONS_PLACES - 1);
}

static struct place *place_of(uintptr_t key)
{
    size_t at = place_first(key);

    for (unsigned i = 0; i < CONNECTIONS_PLACES; i++, at = place_next(at)) {
        uintptr_t found = atomic_load_explicit(&places[at].key, memory_order_acquire);
        if (found == key)
            return &places[at];
        if (found == KEY_FREE)
            return NULL;
    }
    return NULL;
}

struct session *connections_find(const void *key)
{
    struct place *place = key ? place_of((uintptr_t)key) : NULL;

    return place ? atomic_load_explicit(&place->session, memory_order_relaxed) : NULL;
}

static bool add_locked(uintptr_t key, struct session *session, struct session **ret_old)
{
    struct place *place = place_of(key);
    size_t at = place_first(key);

    *ret_old = NULL;
    if (place) {
        *ret_old = atomic_load_explicit(&place->session, memory_order_relaxed);
        atomic_store_explicit(&place->session, session, memory_order_relaxed);
        return true;
    }
    if (places_used >= CONNECTIONS_MAX)
        return false;
    while (atomic_load_explicit(&places[at].key, memory_order_relaxed) > KEY_REMOVED)
        at = place_next(at);
    atomic_store_explicit(&places[at].session, session, memory_order_relaxed);
    atomic_store_explicit(&places[at].key, key, memory_order_release);
    places_used++;
    return true;
}

bool connections_add(const void *key, struct session *session, struct session **ret_old)
{
    bool is_added;

    guard_lock();
    is_added = add_locked((uintptr_t)key, session, ret_old);
    guard_unlock();
    return is_added;
}

/* A removed place that nothing stands behind is free, and so are those before it. */
static void places_tidy(size_t at)
{
    if (atomic_load_explicit(&places[place_next(at)].key, memory_order_relaxed) != KEY_FREE)
        return;
    while (atomic_load_explicit(&places[at].key, memory_order_relaxed) == KEY_REMOVED) {
        atomic_store_explicit(&places[at].key, KEY_FREE, memory_order_release);
        at = (at - 1) & (CONNECTIONS_PLACES - 1);
    }
}

struct session *connections_remove(const void *key)
{
    struct session *session = NULL;
    struct place *place;

    if (!key)
        return NULL;
    guard_lock();
    place = place_of((uintptr_t)key);
    if (place) {
        session = atomic_load_explicit(&place->session, memory_order_relaxed);
        atomic_store_explicit(&place->key, KEY_REMOVED, memory_order_release);
        places_used--;
        places_tidy((size_t)(place - places));
    }
    guard_unlock();
    return session;
}
