/* What is known of raw statement texts: process-wide, keyed by a 128-bit hash that ignores
 * comments.
 *
 * Lock-free and wait-free: an entry is four words that verify each other, so that racing writers
 * can only make it unknown. It holds no pointers, nothing in it is ever freed. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shim/probe/normalize.h"

struct text_known {
    uint64_t fingerprint;
    uint16_t epoch; /* low bits of the epoch in which its text was announced; 0 with is_announced */
    bool is_announced;
    uint8_t verb;  /* enum statement_verb */
    uint8_t flags; /* enum normalize_flag */
};

/* The seed of the process's keys; 0: not made yet. */
extern _Atomic uint64_t text_cache_seed_made;
uint64_t text_cache_seed_make(void);

static inline uint64_t text_cache_seed(void)
{
    uint64_t made = atomic_load_explicit(&text_cache_seed_made, memory_order_relaxed);

    return __builtin_expect(made != 0, 1) ? made : text_cache_seed_make();
}

bool text_cache_find(struct text_key key, struct text_known *ret);
void text_cache_store(struct text_key key, const struct text_known *known);
