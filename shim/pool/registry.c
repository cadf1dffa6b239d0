/* All managers of the process, so that fork() finds them. Around a fork every lock of libweir is
 * held: the child, which has none of the other threads, finds whole lists, and begins anew on them.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "shim/pool/house.h"

static pthread_mutex_t registry_mutex = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static struct weir_manager *managers;
static bool is_watching;

static void fork_prepare(void)
{
    (void)pthread_mutex_lock(&registry_mutex);
    for (struct weir_manager *manager = managers; manager; manager = manager->next) {
        (void)pthread_mutex_lock(&manager->mutex);
        for (struct weir_pool *pool = manager->pools; pool; pool = pool->next)
            pool_lock(pool);
    }
}

static void fork_parent(void)
{
    for (struct weir_manager *manager = managers; manager; manager = manager->next) {
        for (struct weir_pool *pool = manager->pools; pool; pool = pool->next)
            pool_unlock(pool);
        (void)pthread_mutex_unlock(&manager->mutex);
    }
    (void)pthread_mutex_unlock(&registry_mutex);
}

static void conditions_renew(struct weir_manager *manager)
{
    pthread_condattr_t attributes;

    (void)pthread_condattr_init(&attributes); /* these cannot fail on Linux */
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&manager->wake, &attributes);
    (void)pthread_cond_init(&manager->drained, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

static void fork_child(void)
{
    holder_fork_child();
    for (struct weir_manager *manager = managers; manager; manager = manager->next) {
        manager->has_keeper = false;
        crew_fork_child(&manager->crew);
        conditions_renew(manager);
        for (struct weir_pool *pool = manager->pools; pool; pool = pool->next) {
            pool_fork_child(pool);
            pool_unlock(pool);
        }
        (void)pthread_mutex_unlock(&manager->mutex);
    }
    (void)pthread_mutex_unlock(&registry_mutex);
}

void registry_add(struct weir_manager *manager)
{
    (void)pthread_mutex_lock(&registry_mutex);
    if (!is_watching) /* failing means no memory: then a child may not use its pools */
        (void)pthread_atfork(fork_prepare, fork_parent, fork_child);
    is_watching = true;
    manager->next = managers;
    managers = manager;
    (void)pthread_mutex_unlock(&registry_mutex);
}

void registry_remove(struct weir_manager *manager)
{
    struct weir_manager **at = &managers;

    (void)pthread_mutex_lock(&registry_mutex);
    while (*at && *at != manager)
        at = &(*at)->next;
    if (*at)
        *at = manager->next;
    (void)pthread_mutex_unlock(&registry_mutex);
}
