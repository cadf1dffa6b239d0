#include "shim/pool/canceller.h"

#include <pthread.h>
#include <stdlib.h>

#include "shim/pool/house.h"

struct weir_canceller {
    pthread_mutex_t mutex; /* guards what follows */
    struct waiter *waiters;
    bool is_cancelled;
};

struct weir_canceller *weir_canceller_new(void)
{
    struct weir_canceller *canceller = calloc(1, sizeof(*canceller));

    if (canceller)
        (void)pthread_mutex_init(&canceller->mutex, NULL); /* cannot fail without attributes */
    return canceller;
}

void weir_canceller_free(struct weir_canceller *canceller)
{
    if (!canceller)
        return;
    (void)pthread_mutex_destroy(&canceller->mutex);
    free(canceller);
}

static void waiter_cancel(struct waiter *waiter)
{
    struct weir_pool *pool = waiter->pool;
    struct weir_error *error = NULL;

    pool_lock(pool);
    if (waiter->phase == WAITER_NEW)
        waiter->is_cancelled = true; /* on its way to the queue: it will find out there */
    if (waiter_withdraw(waiter)) {
        (void)failure(&error, WEIR_ERROR_CANCELLED, "pool %s: the request was cancelled",
                      pool->options.name);
        waiter_fail(waiter, error);
        pool_settle(pool);
    }
    pool_unlock(pool);
}

void weir_canceller_cancel(struct weir_canceller *canceller)
{
    if (!canceller)
        return;
    (void)pthread_mutex_lock(&canceller->mutex);
    canceller->is_cancelled = true;
    for (struct waiter *waiter = canceller->waiters, *next; waiter; waiter = next) {
        next = waiter->canceller_next; /* it is gone once it knows, but not before it left here */
        waiter_cancel(waiter);
    }
    (void)pthread_mutex_unlock(&canceller->mutex);
}

bool canceller_enter(struct weir_canceller *canceller, struct waiter *waiter)
{
    bool is_cancelled;

    (void)pthread_mutex_lock(&canceller->mutex);
    is_cancelled = canceller->is_cancelled;
    if (!is_cancelled) {
        waiter->canceller = canceller;
        waiter->canceller_before = NULL;
        waiter->canceller_next = canceller->waiters;
        if (waiter->canceller_next)
            waiter->canceller_next->canceller_before = waiter;
        canceller->waiters = waiter;
    }
    (void)pthread_mutex_unlock(&canceller->mutex);
    return !is_cancelled;
}

void canceller_leave(struct waiter *waiter)
{
    struct weir_canceller *canceller = waiter->canceller;

    if (!canceller)
        return;
    (void)pthread_mutex_lock(&canceller->mutex);
    if (waiter->canceller_next)
        waiter->canceller_next->canceller_before = waiter->canceller_before;
    if (waiter->canceller_before)
        waiter->canceller_before->canceller_next = waiter->canceller_next;
    else
        canceller->waiters = waiter->canceller_next;
    (void)pthread_mutex_unlock(&canceller->mutex);
    waiter->canceller = NULL;
}
