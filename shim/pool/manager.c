#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "shim/pool/house.h"

enum { END_WAIT_MS = 1000 }; /* for threads that a hook holds */

/* ---- the list of pools ----------------------------------------------------------------------- */

static struct weir_pool *pool_named(struct weir_manager *manager, const char *name)
{
    struct weir_pool *pool = manager->pools;

    while (pool && strcmp(pool->options.name, name) != 0)
        pool = pool->next;
    return pool;
}

/* One that is just being closed cannot be referred to any more. */
static bool pool_try_ref(struct weir_pool *pool)
{
    uint32_t references = atomic_load_explicit(&pool->references, memory_order_relaxed);

    while (references)
        if (atomic_compare_exchange_weak_explicit(&pool->references, &references, references + 1,
                                                  memory_order_acquire, memory_order_relaxed))
            return true;
    return false;
}

int manager_add_pool(struct weir_manager *manager, struct weir_pool *pool,
                     struct weir_error **ret_error)
{
    int r = 0;

    (void)pthread_mutex_lock(&manager->mutex);
    if (manager->is_draining || manager->is_ending)
        r = failure(ret_error, WEIR_ERROR_DRAINING, "pool %s: its manager is draining",
                    pool->options.name);
    else if (pool_named(manager, pool->options.name))
        r = failure(ret_error, WEIR_ERROR_USAGE, "name: a pool '%s' is open already",
                    pool->options.name);
    else if (keeper_start(manager))
        r = failure(ret_error, WEIR_ERROR_RESOURCE, "pool %s: no thread can be had",
                    pool->options.name);
    if (!r) {
        pool->next = manager->pools;
        manager->pools = pool;
        manager_stay(manager);
    }
    (void)pthread_mutex_unlock(&manager->mutex);
    return r;
}

void manager_remove_pool(struct weir_manager *manager, struct weir_pool *pool)
{
    struct weir_pool **at = &manager->pools;

    (void)pthread_mutex_lock(&manager->mutex);
    while (*at && *at != pool)
        at = &(*at)->next;
    if (*at)
        *at = pool->next;
    pool->next = NULL;
    (void)pthread_mutex_unlock(&manager->mutex);
}

struct weir_pool *manager_next_pool(struct weir_manager *manager, const struct weir_pool *pool)
{
    struct weir_pool *next;

    (void)pthread_mutex_lock(&manager->mutex);
    next = pool ? pool->next : manager->pools;
    while (next && !atomic_load_explicit(&next->references, memory_order_relaxed))
        next = next->next; /* just being closed */
    if (next) {
        pool_lock(next);
        next->visits++;
        pool_unlock(next);
    }
    (void)pthread_mutex_unlock(&manager->mutex);
    return next;
}

int weir_manager_pool(struct weir_manager *manager, const char *name, struct weir_pool **ret_pool,
                      struct weir_error **ret_error)
{
    struct weir_pool *pool;

    if (!manager || !name || !ret_pool)
        return failure(ret_error, WEIR_ERROR_USAGE, "weir_manager_pool: an argument is NULL");
    (void)pthread_mutex_lock(&manager->mutex);
    pool = pool_named(manager, name);
    if (pool && !pool_try_ref(pool))
        pool = NULL;
    (void)pthread_mutex_unlock(&manager->mutex);
    if (!pool)
        return failure(ret_error, WEIR_ERROR_USAGE, "no pool '%s' is open", name);
    *ret_pool = pool;
    return 0;
}

void manager_tell_drained(struct weir_manager *manager)
{
    (void)pthread_mutex_lock(&manager->mutex);
    (void)pthread_cond_broadcast(&manager->drained);
    (void)pthread_mutex_unlock(&manager->mutex);
}

/* ---- its life -------------------------------------------------------------------------------- */

void manager_stay(struct weir_manager *manager)
{
    atomic_fetch_add_explicit(&manager->lives, 1, memory_order_relaxed);
}

void manager_leave(struct weir_manager *manager)
{
    if (atomic_fetch_sub_explicit(&manager->lives, 1, memory_order_acq_rel) != 1)
        return;
    (void)pthread_mutex_destroy(&manager->mutex);
    (void)pthread_cond_destroy(&manager->wake);
    (void)pthread_cond_destroy(&manager->drained);
    free(manager->file);
    free(manager->service_name);
    free(manager);
}

#define OPTION_SET(opts, member)                                                                   \
    ((opts) && (opts)->size >= offsetof(struct weir_manager_opts, member) + sizeof((opts)->member) \
         ? (opts)->member                                                                          \
         : (__typeof__((opts)->member))0)

static void manager_identify(const struct weir_manager *manager)
{
    char library[32];
    int version = PQlibVersion();
    struct weir_probe_identity identity = {.size = sizeof(identity),
                                           .shim_name = "libweir",
                                           .service_name = manager->service_name,
                                           .library = library};

    (void)snprintf(library, sizeof(library), "libpq %d.%d", version / 10000, version % 10000);
    probe_table()->identify(&identity);
    probe_table()->observed(WEIR_OBSERVED_YES, (uint32_t)version);
}

static struct weir_manager *manager_make(void)
{
    struct weir_manager *manager = calloc(1, sizeof(*manager));
    pthread_condattr_t attributes;

    if (!manager)
        return NULL;
    (void)pthread_mutex_init(&manager->mutex, NULL); /* these cannot fail on Linux */
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&manager->wake, &attributes);
    (void)pthread_cond_init(&manager->drained, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    crew_init(&manager->crew);
    atomic_init(&manager->references, 1);
    atomic_init(&manager->lives, 1);
    registry_add(manager);
    return manager;
}

static int text_keep(const char *text, char **ret, struct weir_error **ret_error)
{
    if (!text)
        return 0;
    *ret = strdup(text);
    return *ret ? 0 : failure_memory(ret_error);
}

CLEANUP_DEFINE(struct weir_manager *, manager_freep, weir_manager_unref)

int weir_manager_new(const struct weir_manager_opts *opts, struct weir_manager **ret_manager,
                     struct weir_error **ret_error)
{
    CLEANUP(manager_freep) struct weir_manager *manager = NULL;
    int r;

    if (!ret_manager)
        return failure(ret_error, WEIR_ERROR_USAGE, "weir_manager_new: an argument is NULL");
    manager = manager_make();
    if (!manager)
        return failure_memory(ret_error);
    manager->log = OPTION_SET(opts, log);
    manager->log_userdata = OPTION_SET(opts, log_userdata);
    manager->hook_userdata = OPTION_SET(opts, hook_userdata);
    manager->before_connect = OPTION_SET(opts, before_connect);
    manager->after_connect = OPTION_SET(opts, after_connect);
    manager->before_acquire = OPTION_SET(opts, before_acquire);
    manager->after_release = OPTION_SET(opts, after_release);
    r = text_keep(OPTION_SET(opts, file), &manager->file, ret_error);
    if (!r)
        r = text_keep(OPTION_SET(opts, service_name), &manager->service_name, ret_error);
    if (!r && manager->file)
        r = manager_load(manager, ret_error);
    if (r)
        return r;
    manager_identify(manager);
    *ret_manager = STEAL(manager);
    return 0;
}

static struct weir_manager *manager_of_process;

static void manager_of_process_make(void)
{
    (void)weir_manager_new(NULL, &manager_of_process, NULL); /* NULL if there is no memory */
}

struct weir_manager *weir_manager_default(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, manager_of_process_make);
    return manager_of_process;
}

struct weir_manager *weir_manager_ref(struct weir_manager *manager)
{
    if (manager)
        atomic_fetch_add_explicit(&manager->references, 1, memory_order_relaxed);
    return manager;
}

struct weir_manager *weir_manager_unref(struct weir_manager *manager)
{
    if (!manager || atomic_fetch_sub_explicit(&manager->references, 1, memory_order_acq_rel) != 1)
        return NULL;
    (void)weir_manager_drain(manager, 1, NULL);
    registry_remove(manager);
    keeper_stop(manager);
    manager_unload(manager);
    /* A thread that a hook holds goes on in this memory: then it stays. */
    if (crew_end(&manager->crew, clock_monotonic_ns() + END_WAIT_MS * NS_PER_MS))
        manager_leave(manager);
    return NULL;
}

/* ---- health ---------------------------------------------------------------------------------- */

/* Under the pool's mutex. "" if it is ready. */
static void pool_health(const struct weir_pool *pool, char *reason, size_t size)
{
    const struct attempts *attempts = &pool->attempts;
    const char *name = pool->options.name;

    *reason = 0;
    if (pool->is_closed)
        return;
    if (pool->rules & RULE_DRAINING)
        (void)snprintf(reason, size, "pool %s: draining", name);
    else if (pool->rules & RULE_SUSPENDED)
        (void)snprintf(reason, size, "pool %s: suspended", name);
    else if (attempts->last_error && pool->total == attempts->running)
        (void)snprintf(reason, size, "pool %s: no connection, and %u attempts failed: %s", name,
                       attempts->failures, weir_error_message(attempts->last_error));
}

void weir_manager_health(struct weir_manager *manager, struct weir_health *ret_health, size_t size)
{
    struct weir_health health = {.size = size < sizeof(health) ? size : sizeof(health),
                                 .is_ready = 1};
    struct weir_pool *pool, *next;

    for (pool = manager_next_pool(manager, NULL); pool; pool = next) {
        if (health.is_ready) {
            pool_lock(pool);
            pool_health(pool, health.reason, sizeof(health.reason));
            pool_unlock(pool);
            health.is_ready = !*health.reason;
        }
        next = manager_next_pool(manager, pool);
        pool_leave(pool);
    }
    memcpy(ret_health, &health, health.size);
}
