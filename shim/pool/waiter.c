#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/pool/house.h"

/* The descriptor is written before the word: after it the waiter may be gone, and its descriptor
 * with it. A step that comes in between finds it pending, and the descriptor still readable. */
static void waiter_tell(struct waiter *waiter)
{
    uint64_t one = 1;

    if (waiter->event_fd >= 0)
        (void)!write(waiter->event_fd, &one, sizeof(one)); /* an eventfd of ours: has room */
    if (atomic_exchange_explicit(&waiter->word, WORD_OVER, memory_order_acq_rel) == WORD_ASLEEP)
        /* Wakes nobody if the waiter is gone by now: the address is only compared. */
        (void)syscall(SYS_futex, &waiter->word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void waiters_tell(struct waiter *told)
{
    for (struct waiter *next; told; told = next) {
        next = told->told_next;
        waiter_tell(told);
    }
}

static void waiter_end(struct waiter *waiter, enum waiter_phase phase)
{
    struct weir_pool *pool = waiter->pool;

    waiter->phase = phase;
    waiter->told_next = NULL;
    *pool->told_last = waiter;
    pool->told_last = &waiter->told_next;
}

void waiter_grant(struct waiter *waiter)
{
    struct slot *slot = waiter->slot;
    uint64_t lease = atomic_load_explicit(&slot->lease, memory_order_relaxed);

    slot->waiter = NULL;
    atomic_store_explicit(&slot->place, SLOT_OPEN, memory_order_relaxed);
    atomic_store_explicit(&slot->lease, lease + 1, memory_order_release);
    waiter_end(waiter, WAITER_GRANTED);
}

void waiter_fail(struct waiter *waiter, struct weir_error *error)
{
    if (waiter->line)
        queue_leave(&waiter->pool->queue, waiter);
    waiter->error = error;
    waiter_end(waiter, WAITER_FAILED);
}

bool waiter_withdraw(struct waiter *waiter)
{
    if (waiter->phase == WAITER_QUEUED) {
        queue_leave(&waiter->pool->queue, waiter);
    } else if (waiter->phase == WAITER_SERVED) {
        waiter->slot->waiter = NULL; /* its errand gives the slot to somebody else */
        waiter->slot = NULL;
    } else {
        return false;
    }
    return true;
}
