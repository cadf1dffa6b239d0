#include <limits.h>
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/pool/house.h"

/* Publishes @state and wakes who awaits it. The waiter may be gone the moment it sees the state;
 * the system call then wakes nobody at an address that it never reads. */
static void waiter_tell(struct waiter *waiter, enum waiter_state state)
{
    int event_fd = waiter->event_fd;
    uint64_t one = 1;

    atomic_store_explicit(&waiter->state, state, memory_order_release);
    if (event_fd >= 0)
        (void)!write(event_fd, &one, sizeof(one)); /* an eventfd of ours: has room */
    else
        (void)syscall(SYS_futex, &waiter->state, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void waiter_grant(struct waiter *waiter)
{
    struct slot *slot = waiter->slot;
    uint64_t lease = atomic_load_explicit(&slot->lease, memory_order_relaxed);

    slot->waiter = NULL;
    atomic_store_explicit(&slot->place, SLOT_OPEN, memory_order_relaxed);
    atomic_store_explicit(&slot->lease, lease + 1, memory_order_release);
    waiter_tell(waiter, WAITER_GRANTED);
}

void waiter_fail(struct waiter *waiter, struct weir_error *error)
{
    if (waiter->line)
        queue_leave(&waiter->pool->queue, waiter);
    waiter->error = error;
    waiter_tell(waiter, WAITER_FAILED);
}

bool waiter_withdraw(struct waiter *waiter)
{
    uint32_t state = atomic_load_explicit(&waiter->state, memory_order_relaxed);

    if (state == WAITER_QUEUED) {
        queue_leave(&waiter->pool->queue, waiter);
    } else if (state == WAITER_SERVED) {
        waiter->slot->waiter = NULL; /* its errand gives the slot to somebody else */
        waiter->slot = NULL;
    } else {
        return false;
    }
    return true;
}
