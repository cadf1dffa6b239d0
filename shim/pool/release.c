/* Giving a connection back. Where nothing has to be undone it is one compare-and-swap; else a
 * thread of the crew undoes it (errand.c), so that no holder ever waits for the network here. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "shim/pool/house.h"
#include "shim/session/exchange.h"
#include "shim/session/log.h"

/* ---- handles --------------------------------------------------------------------------------- */

static void misuse_tell(struct weir_pool *pool, const char *doing, struct weir_error **ret_error)
{
    pool_count(&pool->counters.misused);
    log_line(pool, WEIR_LOG_MISUSE, "%s: the connection is not held: it was released before",
             doing);
    (void)failure(ret_error, WEIR_ERROR_USAGE,
                  "pool %s: %s: the connection is not held: it was released before",
                  pool->options.name, doing);
}

/* Whether @lease is the one that @handle was given out for. */
static bool lease_is_of(const struct slot *slot, const struct weir_connection *handle,
                        uint64_t lease)
{
    return lease & 1 && (const unsigned char *)handle == &slot->leases[lease / 2 % LEASES];
}

struct slot *slot_held(const struct weir_connection *handle, const char *doing,
                       struct weir_error **ret_error)
{
    struct slot *slot;

    if (!handle) {
        (void)failure(ret_error, WEIR_ERROR_USAGE, "%s: the connection is NULL", doing);
        return NULL;
    }
    slot = slot_of_handle(handle);
    if (__builtin_expect(
            lease_is_of(slot, handle, atomic_load_explicit(&slot->lease, memory_order_relaxed)), 1))
        return slot;
    misuse_tell(slot->pool, doing, ret_error);
    return NULL;
}

void slot_lose(struct slot *slot, bool is_server_lost)
{
    slot->is_lost = true;
    if (is_server_lost)
        pool_doubt(slot->pool);
}

PGconn *weir_connection_pgconn(struct weir_connection *connection)
{
    struct slot *slot = slot_held(connection, "weir_connection_pgconn", NULL);

    if (!slot)
        return NULL;
    if (!slot->is_blocking && PQsetnonblocking(slot->conn, 0) == 0)
        slot->is_blocking = true;
    slot->changes |= CHANGED_UNKNOWN;
    return slot->conn;
}

uint32_t weir_connection_backend_pid(const struct weir_connection *connection)
{
    const struct slot *slot = slot_held(connection, "weir_connection_backend_pid", NULL);

    return slot ? atomic_load_explicit(&slot->backend_pid, memory_order_relaxed) : 0;
}

void weir_connection_discard(struct weir_connection *connection)
{
    struct slot *slot = slot_held(connection, "weir_connection_discard", NULL);

    if (slot)
        slot->is_lost = true;
}

/* ---- release --------------------------------------------------------------------------------- */

static bool slot_wants_reset(const struct slot *slot, PGTransactionStatusType status)
{
    const struct options *options = &slot->pool->options;
    int32_t policy = OPTION_OF(options, reset);

    if (status != PQTRANS_IDLE || slot->has_settings || options->after_release ||
        !exchange_is_settled(slot))
        return true;
    if (policy == WEIR_RESET_CHANGED)
        return slot->changes != 0;
    return policy != WEIR_RESET_NOTHING;
}

static void hold_sampled(struct slot *slot)
{
    uint64_t begin_ns = atomic_exchange_explicit(&slot->sampled_ns, 0, memory_order_relaxed);
    struct weir_pool *pool = slot->pool;
    struct sizing_hold hold;

    if (!begin_ns || pthread_mutex_trylock(&pool->sizing_mutex))
        return; /* the keeper is just looking: leaving one out favours no length */
    hold = (struct sizing_hold){
        .seconds = (double)(clock_monotonic_ns() - begin_ns) / (double)NS_PER_S,
        .used = atomic_load_explicit(&pool->used_seen, memory_order_relaxed),
    };
    sizing_hold(&pool->sizing, &hold, (uint32_t)OPTION_OF(&pool->options, connections_max));
    (void)pthread_mutex_unlock(&pool->sizing_mutex);
}

static void rolled_back_tell(struct slot *slot, uint64_t lease)
{
    struct weir_pool *pool = slot->pool;
    CLEANUP(freep) char *statement = NULL;
    struct holder_text holder;
    struct weir_log_entry entry = {
        .kind = WEIR_LOG_ROLLED_BACK,
        .message = "released with an open transaction, which is rolled back",
    };

    pool_count(&pool->counters.rolled_back);
    if (!log_is_wanted(pool))
        return;
    (void)holder_read(slot, lease, &holder);
    statement = slot_statement(slot);
    entry.statement = statement;
    entry.call_site = holder.call_site;
    entry.tenant = holder.tenant;
    entry.thread = holder.thread;
    entry.traceparent = holder.traceparent;
    entry.backend_pid = atomic_load_explicit(&slot->backend_pid, memory_order_relaxed);
    log_tell(pool, &entry);
}

/* Where it needs more than to be put back. */
static void release_slowly(struct slot *slot, bool wants_reset)
{
    struct weir_pool *pool = slot->pool;

    pool_lock(pool);
    if (wants_reset && !slot->is_lost && !(pool->rules & RULE_DRAINING)) {
        pool_count(&pool->counters.reset);
        errand_start(slot, ERRAND_RESET,
                     clock_monotonic_ns() + OPTION_NS(&pool->options, reset_timeout_ms));
    } else {
        pool_give(pool, slot);
    }
    pool_unlock_closing(pool);
}

/* Doubted or evicted since it was acquired: the mutex's way tells which. */
static bool slot_is_old(const struct weir_pool *pool, const struct slot *slot)
{
    return atomic_load_explicit(&slot->epoch, memory_order_relaxed) !=
           atomic_load_explicit(&pool->epoch, memory_order_relaxed);
}

int weir_connection_release(struct weir_connection *connection)
{
    struct slot *slot = slot_held(connection, "weir_connection_release", NULL);
    PGTransactionStatusType status;
    struct weir_pool *pool;
    bool is_open, wants_reset;
    uint64_t lease;

    if (!slot)
        return WEIR_ERROR_USAGE;
    pool = slot->pool;
    lease = atomic_load_explicit(&slot->lease, memory_order_relaxed);
    /* Of two threads that release it at once, one does; the other touches nothing of it, nor of the
     * next holder's. */
    if (!lease_is_of(slot, connection, lease) ||
        !atomic_compare_exchange_strong_explicit(&slot->lease, &lease, lease + 1,
                                                 memory_order_acq_rel, memory_order_relaxed)) {
        misuse_tell(pool, "weir_connection_release", NULL);
        return WEIR_ERROR_USAGE;
    }
    status = PQtransactionStatus(slot->conn);
    is_open = status == PQTRANS_INTRANS || status == PQTRANS_INERROR || status == PQTRANS_ACTIVE;
    wants_reset = slot_wants_reset(slot, status);
    exchange_abandon(slot);
    if (__builtin_expect(slot->sampled_ns != 0, 0))
        hold_sampled(slot);
    if (__builtin_expect(is_open, 0))
        rolled_back_tell(slot, lease);
    pool->table->release_noting(slot->probe, is_open ? WEIR_PROBE_RELEASE_ROLLED_BACK : 0);
    slot->depth = 0;
    slot->was_first_sent = false;
    if (__builtin_expect(wants_reset || slot->is_lost || slot->tenant || slot_is_old(pool, slot) ||
                             !gate_push(&pool->gate, slot, false),
                         0))
        release_slowly(slot, wants_reset);
    return 0;
}
