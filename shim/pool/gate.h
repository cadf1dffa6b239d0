/* The fast way in and out: a stack of idle slots, the last released on top, in one atomic word. As
 * long as nobody waits and no rule needs the pool's mutex, acquiring is one compare-and-swap and
 * releasing is another.
 *
 * The same word says whether somebody waits, so that "nobody waits" and "put it on the stack" are
 * one step: no released connection can lie there while a request sleeps, and none is taken past one
 * that waits. The tag makes a word that was read long ago fail (2^40 changes).
 *
 *    63            24 23     16 15           0
 *   |      tag       |  bits   |  top's index |
 */
#pragma once

#include "shim/session/slot.h"

enum gate_bit {
    GATE_WAITED = 1u << 0, /* somebody is in the queue */
    GATE_RULED = 1u << 1,  /* suspended, draining, or tenants are counted: only under the mutex */
};

struct gate {
    alignas(64) _Atomic uint64_t word;
};

static inline uint16_t gate_top(uint64_t word)
{
    return (uint16_t)word;
}

static inline uint32_t gate_bits(uint64_t word)
{
    return (uint32_t)(word >> 16 & 0xff);
}

static inline uint64_t gate_word(uint64_t before, uint16_t top, uint32_t bits)
{
    return ((before >> 24) + 1) << 24 | (uint64_t)bits << 16 | top;
}

static inline void gate_init(struct gate *gate)
{
    atomic_store_explicit(&gate->word, gate_word(0, SLOT_NONE, 0), memory_order_release);
}

/* The slot on top, or NULL. Without the mutex nothing is taken while a bit is set. */
static inline struct slot *gate_pop(struct gate *gate, struct slot *const *slots, bool has_mutex)
{
    uint64_t word = atomic_load_explicit(&gate->word, memory_order_acquire);
    struct slot *slot;

    do {
        if (gate_top(word) == SLOT_NONE || (gate_bits(word) && !has_mutex))
            return NULL;
        slot = slots[gate_top(word)];
        /* It may be taken by somebody else now: then the word has changed, and this is not used. */
    } while (!atomic_compare_exchange_weak_explicit(
        &gate->word, &word,
        gate_word(word, atomic_load_explicit(&slot->next_idle, memory_order_relaxed),
                  gate_bits(word)),
        memory_order_acq_rel, memory_order_acquire));
    return slot;
}

/* False, without the mutex: a bit is set. */
static inline bool gate_push(struct gate *gate, struct slot *slot, bool has_mutex)
{
    uint64_t word = atomic_load_explicit(&gate->word, memory_order_relaxed);

    do {
        if (gate_bits(word) && !has_mutex)
            return false;
        atomic_store_explicit(&slot->next_idle, gate_top(word), memory_order_relaxed);
    } while (!atomic_compare_exchange_weak_explicit(&gate->word, &word,
                                                    gate_word(word, slot->index, gate_bits(word)),
                                                    memory_order_acq_rel, memory_order_relaxed));
    return true;
}

/* Under the mutex: takes the whole stack; its slots follow each other through next_idle. */
static inline uint16_t gate_take_all(struct gate *gate)
{
    uint64_t word = atomic_load_explicit(&gate->word, memory_order_acquire);

    while (!atomic_compare_exchange_weak_explicit(&gate->word, &word,
                                                  gate_word(word, SLOT_NONE, gate_bits(word)),
                                                  memory_order_acq_rel, memory_order_acquire))
        continue;
    return gate_top(word);
}

/* Under the mutex. False if @only_empty and a slot lies on the stack. */
static inline bool gate_set(struct gate *gate, uint32_t bits, bool only_empty)
{
    uint64_t word = atomic_load_explicit(&gate->word, memory_order_acquire);

    do {
        if (only_empty && gate_top(word) != SLOT_NONE)
            return false;
        if ((gate_bits(word) & bits) == bits)
            return true;
    } while (!atomic_compare_exchange_weak_explicit(
        &gate->word, &word, gate_word(word, gate_top(word), gate_bits(word) | bits),
        memory_order_acq_rel, memory_order_acquire));
    return true;
}

static inline void gate_clear(struct gate *gate, uint32_t bits)
{
    uint64_t word = atomic_load_explicit(&gate->word, memory_order_relaxed);

    while (gate_bits(word) & bits)
        if (atomic_compare_exchange_weak_explicit(
                &gate->word, &word, gate_word(word, gate_top(word), gate_bits(word) & ~bits),
                memory_order_acq_rel, memory_order_relaxed))
            break;
}
