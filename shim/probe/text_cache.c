/* Sets of four: the first two ways are for texts that came back, the last two for new ones, so that
 * a stream of texts with literals in them (each seen once) does not push out the ones in daily use.
 */
#include "shim/probe/text_cache.h"

#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

enum { SETS = 2048, WAYS = 4, KEPT_WAYS = 2 };

/* check_low and check_high are the key, each mixed with fingerprint and meta: words of two
 * different writers do not fit together. All zero: empty. */
struct entry {
    _Atomic uint64_t check_low;
    _Atomic uint64_t check_high;
    _Atomic uint64_t fingerprint;
    _Atomic uint64_t meta;
};

static struct entry entries[SETS][WAYS];
_Atomic uint64_t text_cache_seed_made;

uint64_t text_cache_seed_make(void)
{
    uint64_t made = 0, expected = 0;

    if (syscall(SYS_getrandom, &made, sizeof(made), 1 /* GRND_NONBLOCK */) != (long)sizeof(made))
        made = clock_monotonic_ns() ^ (uint64_t)(uintptr_t)&made << 16;
    made |= 1;
    if (!atomic_compare_exchange_strong_explicit(&text_cache_seed_made, &expected, made,
                                                 memory_order_relaxed, memory_order_relaxed))
        return expected;
    return made;
}

static uint64_t meta_of(const struct text_known *known)
{
    return (uint64_t)known->epoch | (uint64_t)known->is_announced << 16 |
           (uint64_t)known->verb << 24 | (uint64_t)known->flags << 32 | UINT64_C(1) << 63;
}

static bool entry_read(const struct entry *entry, struct text_key key, struct text_known *ret)
{
    uint64_t fingerprint = atomic_load_explicit(&entry->fingerprint, memory_order_relaxed);
    uint64_t meta = atomic_load_explicit(&entry->meta, memory_order_relaxed);
    uint64_t low = atomic_load_explicit(&entry->check_low, memory_order_relaxed);
    uint64_t high = atomic_load_explicit(&entry->check_high, memory_order_relaxed);

    if ((low ^ fingerprint ^ meta) != key.low || (high ^ fingerprint << 1 ^ meta) != key.high ||
        !meta)
        return false;
    ret->fingerprint = fingerprint;
    ret->epoch = (uint16_t)meta;
    ret->is_announced = meta >> 16 & 1;
    ret->verb = (uint8_t)(meta >> 24);
    ret->flags = (uint8_t)(meta >> 32);
    return true;
}

static void entry_write(struct entry *entry, struct text_key key, const struct text_known *known)
{
    uint64_t meta = meta_of(known);

    atomic_store_explicit(&entry->check_low, key.low ^ known->fingerprint ^ meta,
                          memory_order_relaxed);
    atomic_store_explicit(&entry->check_high, key.high ^ known->fingerprint << 1 ^ meta,
                          memory_order_relaxed);
    atomic_store_explicit(&entry->fingerprint, known->fingerprint, memory_order_relaxed);
    atomic_store_explicit(&entry->meta, meta, memory_order_relaxed);
}

static void entry_copy(struct entry *to, const struct entry *from)
{
    atomic_store_explicit(&to->check_low,
                          atomic_load_explicit(&from->check_low, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&to->check_high,
                          atomic_load_explicit(&from->check_high, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&to->fingerprint,
                          atomic_load_explicit(&from->fingerprint, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&to->meta, atomic_load_explicit(&from->meta, memory_order_relaxed),
                          memory_order_relaxed);
}

/* A text that came back moves to the front; the last kept one takes its place among the new. */
static void entry_keep(struct entry *set, unsigned way, struct text_key key,
                       const struct text_known *known)
{
    entry_copy(&set[way], &set[KEPT_WAYS - 1]);
    for (unsigned i = KEPT_WAYS - 1; i > 0; i--)
        entry_copy(&set[i], &set[i - 1]);
    entry_write(&set[0], key, known);
}

bool text_cache_find(struct text_key key, struct text_known *ret)
{
    struct entry *set = entries[key.low % SETS];

    for (unsigned way = 0; way < WAYS; way++) {
        if (!entry_read(&set[way], key, ret))
            continue;
        if (__builtin_expect(way >= KEPT_WAYS, 0))
            entry_keep(set, way, key, ret);
        return true;
    }
    return false;
}

void text_cache_store(struct text_key key, const struct text_known *known)
{
    struct entry *set = entries[key.low % SETS];
    struct text_known seen;

    for (unsigned way = 0; way < WAYS; way++)
        if (entry_read(&set[way], key, &seen)) {
            entry_write(&set[way], key, known);
            return;
        }
    for (unsigned way = WAYS - 1; way > KEPT_WAYS; way--)
        entry_copy(&set[way], &set[way - 1]);
    entry_write(&set[KEPT_WAYS], key, known);
}
