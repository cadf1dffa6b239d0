/* The writing half of the board: slots between an odd and an even sequence, gauges by one atomic
 * step each. Never waits.
 *
 * A slot or waiter entry has one writer at a time (its connection's thread); a pool entry has many.
 */
#pragma once

#include "proto/wire/segment.h"

/* Partner: the reader's acquire load of the same word. Since every word is stored release, a reader
 * who sees a new word also sees the odd sequence that was stored before it. */
#define BOARD_STORE(word, value) atomic_store_explicit(&(word), (value), memory_order_release)
#define BOARD_LOAD(word)         atomic_load_explicit(&(word), memory_order_relaxed)

/* Odd: the writer is inside. An entry left odd by a writer that died is taken over as odd. */
static inline void board_entry_open(_Atomic uint32_t *sequence)
{
    uint32_t before = atomic_load_explicit(sequence, memory_order_relaxed);
    atomic_store_explicit(sequence, (before + 1) | 1, memory_order_relaxed);
}

static inline void board_entry_close(_Atomic uint32_t *sequence)
{
    uint32_t inside = atomic_load_explicit(sequence, memory_order_relaxed);
    atomic_store_explicit(sequence, inside + 1, memory_order_release);
}

/* Raises the high-water mark of the window that @now_ns lies in to at least @value. */
static inline void board_peak_raise(struct board_peak *peak, uint64_t now_ns, uint32_t value)
{
    uint64_t number = (now_ns / BOARD_PEAK_WINDOW_NS) & UINT32_MAX;
    uint64_t mark = number << 32 | value;
    _Atomic uint64_t *word = &peak->window[number & 1];
    uint64_t seen = atomic_load_explicit(word, memory_order_relaxed);

    while (seen < mark || seen >> 32 > number) {
        if (seen >> 32 > number)
            return; /* another thread read its clock later and is in a later window already */
        if (atomic_compare_exchange_weak_explicit(word, &seen, mark, memory_order_relaxed,
                                                  memory_order_relaxed))
            return;
    }
}

/* Adds to both counters at once; returns the higher of used before and after. */
static inline uint32_t board_pool_move(struct board_pool *pool, int32_t used, int32_t idle)
{
    uint64_t step = ((uint64_t)(int64_t)idle << 32) + (uint64_t)(int64_t)used;
    uint32_t before = (uint32_t)atomic_fetch_add_explicit(
        &pool->used_and_idle, step, memory_order_release); /* reader: acquire */

    return used > 0 ? before + (uint32_t)used : before;
}
