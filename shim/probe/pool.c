#include "shim/probe/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "shim/probe/names.h"
#include "shim/probe/normalize.h"
#include "shim/probe/process.h"

enum { PENDING_SPINS = 10000 };

#define OPTION(opts, member)                                                                       \
    ((opts)->size >= offsetof(__typeof__(*(opts)), member) + sizeof((opts)->member)                \
         ? (opts)->member                                                                          \
         : (__typeof__((opts)->member))0)

static void pool_limits_keep(struct weir_probe_pool *pool, const struct weir_probe_pool_opts *opts)
{
    atomic_store_explicit(&pool->connections_max, OPTION(opts, connections_max),
                          memory_order_relaxed);
    atomic_store_explicit(&pool->connections_min, OPTION(opts, connections_min),
                          memory_order_relaxed);
    atomic_store_explicit(&pool->idle_max, OPTION(opts, idle_max), memory_order_relaxed);
    atomic_store_explicit(&pool->idle_min, OPTION(opts, idle_min), memory_order_relaxed);
}

static void pool_limits_show(struct weir_probe_pool *pool, struct board_pool *board)
{
    uint32_t max = atomic_load_explicit(&pool->connections_max, memory_order_relaxed);
    uint32_t min = atomic_load_explicit(&pool->connections_min, memory_order_relaxed);
    uint32_t idle_max = atomic_load_explicit(&pool->idle_max, memory_order_relaxed);
    uint32_t idle_min = atomic_load_explicit(&pool->idle_min, memory_order_relaxed);
    uint32_t flags = 0;

    BOARD_STORE(board->connections_max, max);
    BOARD_STORE(board->connections_min, min);
    BOARD_STORE(board->idle_max, idle_max);
    BOARD_STORE(board->idle_min, idle_min);
    if (pool->flags & WEIR_PROBE_POOL_OBSERVES_ACQUIRE)
        flags |= POOL_HAS_WAITERS;
    if (max || min || idle_max || idle_min)
        flags |= POOL_HAS_LIMITS;
    BOARD_STORE(board->flags, flags);
}

/* The four lines of a NAME_TARGET. NULL @target: of the pool before its first connection. */
static void target_write(const struct weir_probe_pool *pool, const struct weir_probe_target *target,
                         struct pool_target *ret)
{
    const char *address = target && target->address ? target->address : "";
    const char *database = target && target->database ? target->database : "";
    const char *schema = target && target->schema ? target->schema : "";
    unsigned port = target && target->port ? target->port : 5432;
    char namespace_text[200], name[360], lines[TARGET_TEXT_MAX + 1];
    int length;

    (void)snprintf(namespace_text, sizeof(namespace_text), "%.128s%s%.64s", database,
                   *schema ? "|" : "", schema); /* cutting an overlong name is right */
    if (pool->has_name)
        (void)snprintf(name, sizeof(name), "%s", pool->name);
    else
        (void)snprintf(name, sizeof(name), "%.108s:%u/%s", address, port, namespace_text);
    if (!target)
        length = snprintf(lines, sizeof(lines), "%s\n\n\n", name);
    else
        length = snprintf(lines, sizeof(lines), "%s\n%s\n%.108s\n%u", name, namespace_text, address,
                          port);
    if (length < 0)
        length = 0;
    ret->text_length =
        (uint16_t)((size_t)length < sizeof(ret->text) ? (size_t)length : sizeof(ret->text));
    memcpy(ret->text, lines, ret->text_length);
    ret->id = name_id((struct view){ret->text, ret->text_length});
}

struct weir_probe_pool *pool_open(const struct weir_probe_pool_opts *opts)
{
    struct weir_probe_pool *pool = calloc(1, sizeof(*pool));
    const struct segment *segment;

    if (!pool)
        return NULL;
    if (opts) {
        const char *name = OPTION(opts, name);
        pool->has_name = name && *name;
        if (pool->has_name)
            (void)snprintf(pool->name, sizeof(pool->name), "%s", name); /* cut if overlong */
        for (char *c = pool->name; *c; c++)
            if (*c == '\n')
                *c = ' '; /* lines separate the parts of a target's name */
        pool->flags = OPTION(opts, flags);
        pool_limits_keep(pool, opts);
    }
    pool->own.pool = pool;
    target_write(pool, NULL, &pool->own);
    atomic_store_explicit(&pool->main, &pool->own, memory_order_relaxed);
    segment = process_start();
    if (segment && pool->has_name)
        (void)pool_target_board(segment, &pool->own); /* no room: counted */
    return pool;
}

void pool_limits(struct weir_probe_pool *pool, const struct weir_probe_pool_opts *opts)
{
    const struct segment *segment = segment_enter();
    struct board_pool *board;

    if (!pool || !opts)
        return;
    pool_limits_keep(pool, opts);
    if (!segment)
        return;
    board = pool_target_board(segment, atomic_load_explicit(&pool->main, memory_order_acquire));
    if (board)
        pool_limits_show(pool, board);
}

static void target_leave(const struct segment *segment, const struct pool_target *target)
{
    uint64_t entry = atomic_load_explicit(&target->entry, memory_order_relaxed);
    uint16_t place = (uint16_t)entry;

    if (segment && entry >> ENTRY_SHIFT == segment->generation && place < PLACE_PENDING)
        board_pool_free(segment, place);
}

void pool_close(struct weir_probe_pool *pool)
{
    const struct segment *segment = segment_enter();
    struct pool_target *target, *next;
    bool is_inherited = false;
    uint64_t own;

    if (!pool)
        return;
    own = atomic_load_explicit(&pool->own.entry, memory_order_relaxed);
    target = atomic_load_explicit(&pool->targets, memory_order_acquire);
    for (; target; target = next) {
        next = target->next;
        is_inherited |= atomic_load_explicit(&target->entry, memory_order_relaxed) == own;
        target_leave(segment, target);
        free(target);
    }
    if (!is_inherited)
        target_leave(segment, &pool->own);
    free(pool);
}

static uint64_t entry_of(const struct segment *segment, uint16_t place)
{
    return (uint64_t)segment->generation << ENTRY_SHIFT | place;
}

/* Shows at @place what is known of @target. */
static void target_show(const struct segment *segment, struct pool_target *target, uint16_t place)
{
    if (place >= PLACE_PENDING)
        return;
    pool_limits_show(target->pool, &segment->pools[place]);
    BOARD_STORE(segment->pools[place].target, pool_target_name(segment, target));
}

static uint16_t target_place_claim(const struct segment *segment, struct pool_target *target)
{
    uint16_t place = board_pool_claim(segment);

    target_show(segment, target, place);
    return place;
}

static struct pool_target *target_find(struct pool_target *from, const struct pool_target *until,
                                       uint64_t id)
{
    for (; from != until; from = from->next)
        if (from->id == id)
            return from;
    return NULL;
}

/* Gives @target, which is about to be linked, its place; nothing shows it yet. The first target of
 * a pool goes on with the place that the pool has had so far. @claimed: by an earlier try. Returns
 * what is claimed for @target alone. */
static uint16_t target_place_take(const struct segment *segment, struct pool_target *target,
                                  uint16_t claimed)
{
    struct board_pool *own = target->next ? NULL : pool_target_board(segment, &target->pool->own);
    uint16_t place = own ? (uint16_t)(own - segment->pools) : claimed;

    if (place == BOARD_NO_PLACE)
        place = claimed = board_pool_claim(segment);
    atomic_store_explicit(&target->entry, entry_of(segment, place), memory_order_relaxed);
    return claimed;
}

/* Links @target, unless another thread linked one of the same name meanwhile: returns that one.
 * Whoever finds a target in the list finds its place with it. */
static struct pool_target *target_link(const struct segment *segment, struct weir_probe_pool *pool,
                                       struct pool_target *target)
{
    struct pool_target *looked = target->next, *found;
    uint16_t claimed = BOARD_NO_PLACE;

    for (;;) {
        if (segment)
            claimed = target_place_take(segment, target, claimed);
        if (atomic_compare_exchange_weak_explicit(&pool->targets, &target->next, target,
                                                  memory_order_release, memory_order_acquire))
            return target;
        found = target_find(target->next, looked, target->id);
        if (found)
            break;
        looked = target->next;
    }
    if (claimed != BOARD_NO_PLACE)
        board_pool_free(segment, claimed);
    return found;
}

struct pool_target *pool_target_find(struct weir_probe_pool *pool,
                                     const struct weir_probe_target *target)
{
    static const struct weir_probe_target nowhere = {.size = sizeof(nowhere)};
    const struct segment *segment = segment_enter();
    CLEANUP(freep) struct pool_target *added = calloc(1, sizeof(*added));
    struct pool_target *found;
    unsigned count = 0;

    if (!added)
        return NULL;
    added->pool = pool;
    target_write(pool, target ? target : &nowhere, added);
    added->next = atomic_load_explicit(&pool->targets, memory_order_acquire);
    found = target_find(added->next, NULL, added->id);
    if (found)
        return found;
    for (found = added->next; found; found = found->next)
        count++;
    if (count >= POOL_TARGETS_MAX)
        return atomic_load_explicit(&pool->main, memory_order_acquire);

    found = target_link(segment, pool, added);
    if (found != added)
        return found;
    if (segment)
        target_show(segment, added,
                    (uint16_t)atomic_load_explicit(&added->entry, memory_order_relaxed));
    if (!added->next)
        atomic_store_explicit(&pool->main, added, memory_order_release);
    return STEAL(added); /* the pool's now */
}

struct board_pool *pool_target_register(const struct segment *segment, struct pool_target *target)
{
    uint64_t entry = atomic_load_explicit(&target->entry, memory_order_acquire);

    if (__builtin_expect(entry >> ENTRY_SHIFT != segment->generation, 0) &&
        atomic_compare_exchange_strong_explicit(&target->entry, &entry,
                                                entry_of(segment, PLACE_PENDING),
                                                memory_order_acquire, memory_order_acquire)) {
        entry = entry_of(segment, target_place_claim(segment, target));
        atomic_store_explicit(&target->entry, entry, memory_order_release);
    }
    /* Only at the first use after fork, when several threads come at once. */
    for (int spins = 0; (uint16_t)entry == PLACE_PENDING && spins < PENDING_SPINS; spins++)
        entry = atomic_load_explicit(&target->entry, memory_order_acquire);
    return (uint16_t)entry < PLACE_PENDING ? &segment->pools[(uint16_t)entry] : NULL;
}

void pool_target_announce(const struct segment *segment, struct pool_target *target)
{
    uint32_t epoch = segment_epoch(segment);

    if (names_announce(segment, NAME_TARGET, target->id,
                       (struct view){target->text, target->text_length}, 0))
        atomic_store_explicit(&target->epoch, epoch, memory_order_relaxed);
}
