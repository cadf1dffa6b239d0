#include "shim/preload/guard.h"

#include <pthread.h>

static pthread_mutex_t guard_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t guard_once = PTHREAD_ONCE_INIT;

/* Some thread that the child does not have may have held it. What it guards changes word by word,
 * each of them whole at any time. */
static void guard_renew(void)
{
    (void)pthread_mutex_init(&guard_mutex, NULL); /* cannot fail without attributes */
}

static void guard_watch(void)
{
    /* Failing means no memory: then a child of such a fork may not connect. */
    (void)pthread_atfork(NULL, NULL, guard_renew);
}

void guard_lock(void)
{
    (void)pthread_once(&guard_once, guard_watch);
    (void)pthread_mutex_lock(&guard_mutex); /* cannot fail: never taken twice */
}

void guard_unlock(void)
{
    (void)pthread_mutex_unlock(&guard_mutex);
}
