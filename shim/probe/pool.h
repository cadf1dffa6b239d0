/* A pool, and the targets that its connections go to: each target has its own gauges on the board
 * and its own name on events. */
#pragma once

#include <stdbool.h>

#include "include/weir/probe.h"
#include "shim/probe/board.h"

enum {
    TARGET_TEXT_MAX = 640,
    POOL_TARGETS_MAX = 64, /* further targets of one pool share the first one's gauges and name */
};

/* Where a connection stands in its pool's gauges. */
enum gauge {
    GAUGE_NONE = 0,
    GAUGE_CONNECTING,
    GAUGE_IDLE,
    GAUGE_USED,
};

struct pool_target {
    struct pool_target *next; /* set before it is linked */
    struct weir_probe_pool *pool;
    uint64_t id;            /* name id */
    _Atomic uint32_t epoch; /* in which the name was announced */
    _Atomic uint64_t entry; /* on the board: the segment's generation and the place, see pool.c */
    uint16_t text_length;
    char text[TARGET_TEXT_MAX];
};

struct weir_probe_pool {
    struct pool_target own;             /* the pool before its first connection: only its name */
    _Atomic(struct pool_target *) main; /* whose gauges count waiters: own, then the first target */
    _Atomic(struct pool_target *) targets; /* newest first */
    _Atomic uint32_t connections_max, connections_min, idle_max, idle_min;
    uint32_t flags; /* enum weir_probe_pool_flag */
    bool has_name;
    char name[128];
};

struct weir_probe_pool *pool_open(const struct weir_probe_pool_opts *opts);
void pool_limits(struct weir_probe_pool *pool, const struct weir_probe_pool_opts *opts);
void pool_close(struct weir_probe_pool *pool);

/* The pool's entry for connections to @target; NULL only if memory ran out. */
struct pool_target *pool_target_find(struct weir_probe_pool *pool,
                                     const struct weir_probe_target *target);

/* pool_target.entry: generation << ENTRY_SHIFT | place, in one word so that the two never disagree.
 */
enum { ENTRY_SHIFT = 16 };
#define PLACE_PENDING (BOARD_NO_PLACE - 1) /* another thread is just claiming one */

/* Claims a place on a new segment's board (after fork), or waits for the thread that does. */
struct board_pool *pool_target_register(const struct segment *segment, struct pool_target *target);

/* The target's gauges on @segment's board; NULL: there is no room for it. */
static inline struct board_pool *pool_target_board(const struct segment *segment,
                                                   struct pool_target *target)
{
    /* Partner: the release in pool_target_register(): the place's entry is filled. */
    uint64_t entry = atomic_load_explicit(&target->entry, memory_order_acquire);

    if (__builtin_expect(
            entry >> ENTRY_SHIFT != segment->generation || (uint16_t)entry >= PLACE_PENDING, 0))
        return pool_target_register(segment, target);
    return &segment->pools[(uint16_t)entry];
}

/* Moves one connection between gauges, in one step where it is between used and idle. */
static inline void pool_target_move(const struct segment *segment, struct pool_target *target,
                                    enum gauge from, enum gauge to, uint64_t now_ns)
{
    struct board_pool *board = pool_target_board(segment, target);
    int32_t used = (to == GAUGE_USED) - (from == GAUGE_USED);
    int32_t idle = (to == GAUGE_IDLE) - (from == GAUGE_IDLE);
    int32_t connecting = (to == GAUGE_CONNECTING) - (from == GAUGE_CONNECTING);

    if (!board)
        return;
    if (connecting)
        atomic_fetch_add_explicit(&board->connecting, (uint32_t)connecting, memory_order_release);
    if (used || idle) {
        uint32_t peak = board_pool_move(board, used, idle);
        if (used)
            board_peak_raise(&board->used_peak, now_ns, peak);
    }
}

/* Announces the target's name in the current epoch. */
void pool_target_announce(const struct segment *segment, struct pool_target *target);

/* The target's name id, announced. */
static inline uint64_t pool_target_name(const struct segment *segment, struct pool_target *target)
{
    if (__builtin_expect(atomic_load_explicit(&target->epoch, memory_order_relaxed) !=
                             segment_epoch(segment),
                         0))
        pool_target_announce(segment, target);
    return target->id;
}
