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

    if (!pool)
        return;
    if (!atomic_load_explicit(&pool->has_main, memory_order_relaxed))
        target_leave(segment, &pool->own); /* else its place is the first target's */
    target = atomic_load_explicit(&pool->targets, memory_order_acquire);
    for (; target; target = next) {
        next = target->next;
        target_leave(segment, target);
        free(target);
    }
    free(pool);
}

/* Claims a place on @segment's board for @target and shows what is known of it. */
static uint16_t target_place_claim(const struct segment *segment, struct pool_target *target)
{
    uint16_t place = board_pool_claim(segment);

    if (place == BOARD_NO_PLACE)
        return place;
    pool_limits_show(target->pool, &segment->pools[place]);
    BOARD_STORE(segment->pools[place].target, pool_target_name(segment, target));
    return place;
}

/* The first target of a pool goes on with the place that the pool has had so far. */
static void target_place_inherit(const struct segment *segment, struct pool_target *target)
{
    struct board_pool *board = pool_target_board(segment, &target->pool->own);

    atomic_store_explicit(&target->entry,
                          atomic_load_explicit(&target->pool->own.entry, memory_order_relaxed),
                          memory_order_relaxed);
    if (board)
        BOARD_STORE(board->target, pool_target_name(segment, target));
}

static struct pool_target *target_find(struct pool_target *from, const struct pool_target *until,
                                       uint64_t id)
{
    for (; from != until; from = from->next)
        if (from->id == id)
            return from;
    return NULL;
}

/* Links @target, unless another thread linked one of the same name meanwhile: returns that one. */
static struct pool_target *target_link(struct weir_probe_pool *pool, struct pool_target *target)
{
    struct pool_target *looked = target->next, *found;

    while (!atomic_compare_exchange_weak_explicit(&pool->targets, &target->next, target,
                                                  memory_order_release, memory_order_acquire)) {
        found = target_find(target->next, looked, target->id);
        if (found)
            return found;
        looked = target->next;
    }
    return target;
}

struct pool_target *pool_target_find(struct weir_probe_pool *pool,
                                     const struct weir_probe_target *target)
{
    static const struct weir_probe_target nowhere = {.size = sizeof(nowhere)};
    const struct segment *segment = segment_enter();
    CLEANUP(freep) struct pool_target *added = calloc(1, sizeof(*added));
    struct pool_target *found;
    unsigned count = 0;
    bool is_first;

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

    is_first = !atomic_exchange_explicit(&pool->has_main, 1, memory_order_relaxed);
    if (segment && is_first)
        target_place_inherit(segment, added);
    else if (segment)
        atomic_store_explicit(&added->entry,
                              (uint64_t)segment->generation << ENTRY_SHIFT |
                                  target_place_claim(segment, added),
                              memory_order_relaxed);
    found = target_link(pool, added);
    if (is_first)
        atomic_store_explicit(&pool->main, found, memory_order_release);
    if (found != added && !is_first)
        target_leave(segment, added);
    if (found == added)
        (void)STEAL(added); /* the pool's now */
    return found;
}

struct board_pool *pool_target_register(const struct segment *segment, struct pool_target *target)
{
    uint64_t entry = atomic_load_explicit(&target->entry, memory_order_acquire);
    uint64_t generation = (uint64_t)segment->generation << ENTRY_SHIFT;

    if (__builtin_expect(entry >> ENTRY_SHIFT != segment->generation, 0) &&
        atomic_compare_exchange_strong_explicit(&target->entry, &entry, generation | PLACE_PENDING,
                                                memory_order_acquire, memory_order_acquire)) {
        entry = generation | target_place_claim(segment, target);
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
