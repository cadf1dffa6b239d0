#include "shim/probe/board.h"

enum { CLAIM_BITS = 64 };

/* One bit a place; the lowest free one first, so that few pages are touched. */
static _Atomic uint64_t pools_claimed[(SEGMENT_POOLS + CLAIM_BITS - 1) / CLAIM_BITS];
static _Atomic uint64_t slots_claimed[(SEGMENT_SLOTS + CLAIM_BITS - 1) / CLAIM_BITS];
static _Atomic uint64_t waiters_claimed[(SEGMENT_WAITERS + CLAIM_BITS - 1) / CLAIM_BITS];

static uint16_t place_claim(_Atomic uint64_t *claimed, uint32_t count, _Atomic uint64_t *refused)
{
    for (uint32_t word = 0; word * CLAIM_BITS < count; word++) {
        uint64_t seen = atomic_load_explicit(&claimed[word], memory_order_relaxed);
        while (~seen) {
            uint32_t bit = (uint32_t)__builtin_ctzll(~seen);
            if (word * CLAIM_BITS + bit >= count)
                break;
            /* Partner: the release in place_free: the entry is empty by then. */
            if (atomic_compare_exchange_weak_explicit(&claimed[word], &seen,
                                                      seen | UINT64_C(1) << bit,
                                                      memory_order_acquire, memory_order_relaxed))
                return (uint16_t)(word * CLAIM_BITS + bit);
        }
    }
    atomic_fetch_add_explicit(refused, 1, memory_order_relaxed);
    return BOARD_NO_PLACE;
}

static void place_free(_Atomic uint64_t *claimed, uint16_t place)
{
    atomic_fetch_and_explicit(&claimed[place / CLAIM_BITS], ~(UINT64_C(1) << place % CLAIM_BITS),
                              memory_order_release);
}

uint16_t board_pool_claim(const struct segment *segment)
{
    return place_claim(pools_claimed, segment->pool_count, &segment->header->pools_refused);
}

uint16_t board_slot_claim(const struct segment *segment)
{
    return place_claim(slots_claimed, segment->slot_count, &segment->header->slots_refused);
}

uint16_t board_waiter_claim(const struct segment *segment)
{
    return place_claim(waiters_claimed, segment->waiter_count, &segment->header->waiters_refused);
}

void board_pool_free(const struct segment *segment, uint16_t place)
{
    struct board_pool *pool = &segment->pools[place];

    BOARD_STORE(pool->target, 0);
    BOARD_STORE(pool->flags, 0);
    BOARD_STORE(pool->used, 0);
    BOARD_STORE(pool->idle, 0);
    BOARD_STORE(pool->waiting, 0);
    BOARD_STORE(pool->connecting, 0);
    BOARD_STORE(pool->timeouts, 0);
    for (unsigned i = 0; i < 2; i++) {
        BOARD_STORE(pool->used_peak.window[i], 0);
        BOARD_STORE(pool->waiting_peak.window[i], 0);
    }
    place_free(pools_claimed, place);
}

void board_slot_free(const struct segment *segment, uint16_t place)
{
    struct board_slot *slot = &segment->slots[place];

    board_entry_open(&slot->sequence);
    BOARD_STORE(slot->state, SLOT_FREE);
    BOARD_STORE(slot->connection, 0);
    BOARD_STORE(slot->hold_id, 0);
    BOARD_STORE(slot->acquired_ns, 0);
    BOARD_STORE(slot->fingerprint, 0);
    BOARD_STORE(slot->statement_since_ns, 0);
    BOARD_STORE(slot->oldest_open, 0);
    BOARD_STORE(slot->newest_sent, 0);
    BOARD_STORE(slot->backend_pid, 0);
    BOARD_STORE(slot->opened_ns, 0);
    board_entry_close(&slot->sequence);
    place_free(slots_claimed, place);
}

void board_waiter_free(const struct segment *segment, uint16_t place)
{
    struct board_waiter *waiter = &segment->waiters[place];

    board_entry_open(&waiter->sequence);
    BOARD_STORE(waiter->since_ns, 0);
    board_entry_close(&waiter->sequence);
    place_free(waiters_claimed, place);
}

static void claims_reset(_Atomic uint64_t *claimed, uint32_t count)
{
    for (uint32_t word = 0; word * CLAIM_BITS < count; word++)
        atomic_store_explicit(&claimed[word], 0, memory_order_relaxed);
}

void board_reset(void)
{
    claims_reset(pools_claimed, SEGMENT_POOLS);
    claims_reset(slots_claimed, SEGMENT_SLOTS);
    claims_reset(waiters_claimed, SEGMENT_WAITERS);
}
