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
    _Atomic uint32_t has_main;          /* somebody is making the first target */
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

/* The target's gauges on @segment's board, put there if it is a new segment (after fork); NULL:
 * there is no room for it. */
struct board_pool *pool_target_board(const struct segment *segment, struct pool_target *target);

/* Moves one connection between gauges, in one step where it is between used and idle. */
void pool_target_move(const struct segment *segment, struct pool_target *target, enum gauge from,
                      enum gauge to, uint64_t now_ns);

/* The target's name id, announced in the current epoch. */
uint64_t pool_target_name(const struct segment *segment, struct pool_target *target);
