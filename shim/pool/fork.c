/* What fork() means for a pool: the child has the parent's memory and descriptors, and must touch
 * neither the parent's sockets nor what the parent's other threads were at. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "shim/pool/house.h"

/* The number stays taken, so that a file that the child opens never gets it: a library that still
 * knows the old connection writes into nothing. */
static void socket_leave(struct slot *slot, int nothing_fd)
{
    int fd = atomic_load_explicit(&slot->fd, memory_order_relaxed);

    if (fd >= 0 && nothing_fd >= 0)
        (void)dup3(nothing_fd, fd, O_CLOEXEC);
    else if (fd >= 0)
        (void)close(fd);
    atomic_store_explicit(&slot->fd, -1, memory_order_relaxed);
}

/* Its thread, or the event loop that knows it, is the parent's; a step of the child ends it. */
static void waiter_fork_child(struct waiter *waiter)
{
    (void)failure(&waiter->error, WEIR_ERROR_USAGE,
                  "pool %s: the request was made before fork(), by the parent",
                  waiter->pool->options.name);
    waiter->phase = WAITER_FAILED;
    waiter->line = NULL;
    atomic_store_explicit(&waiter->word, WORD_OVER, memory_order_relaxed);
}

/* The connection's memory is let go: ending it could say goodbye to the server in the parent's
 * name, and another thread may have been inside it. */
static void slot_fork_child(struct slot *slot, int nothing_fd)
{
    uint64_t lease = atomic_load_explicit(&slot->lease, memory_order_relaxed);

    socket_leave(slot, nothing_fd);
    if (lease & 1) /* the handle is the parent's: here it is refused */
        atomic_store_explicit(&slot->lease, lease + 1, memory_order_relaxed);
    slot->conn = NULL;
    slot->cancel = NULL;
    slot->prepared = NULL;
    slot->probe = NULL;
    slot->tenant = NULL;
    if (slot->waiter)
        waiter_fork_child(slot->waiter);
    slot->waiter = NULL;
    slot->errand.settings = NULL;
    pool_free_slot(slot->pool, slot);
}

void pool_fork_child(struct weir_pool *pool)
{
    int nothing_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (struct line *line = pool->queue.lines; line; line = line->next)
        for (struct waiter *waiter = line->first; waiter; waiter = waiter->next)
            waiter_fork_child(waiter);
    gate_init(&pool->gate);
    pool->slots_free = SLOT_NONE;
    for (uint16_t i = 0; i < pool->slots_made; i++)
        slot_fork_child(pool->slots[i], nothing_fd);
    if (nothing_fd >= 0)
        (void)close(nothing_fd);
    pool->told = NULL;
    pool->told_last = &pool->told;
    memset(&pool->queue, 0, sizeof(pool->queue)); /* its waiters are threads of the parent */
    memset(&pool->attempts, 0, sizeof(pool->attempts));
    pool->total = pool->errands = pool->visits = 0;
    pool_rule(pool, (enum rule)0, false);                /* the gate is told what is in force */
    (void)pthread_mutex_init(&pool->sizing_mutex, NULL); /* cannot fail without attributes */
    sizing_start(&pool->sizing, clock_monotonic_ns(), 0);
}
