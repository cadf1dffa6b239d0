#include "shim/probe/acquire.h"

#include <string.h>

#include "shim/probe/clock.h"
#include "shim/probe/hold.h"
#include "shim/probe/lanes.h"
#include "shim/probe/names.h"
#include "shim/probe/normalize.h"
#include "shim/probe/thread.h"
#include "shim/probe/transaction.h"

/* Lies in the caller's struct weir_probe_acquire. */
struct acquire {
    struct pool_target *target; /* NULL: not recorded */
    uint64_t begin_ns;
    struct origin origin;
    uint32_t generation;
    uint16_t waiter; /* place on the board */
};
static_assert(sizeof(struct acquire) <= sizeof(struct weir_probe_acquire),
              "opaque is large enough");

static struct acquire *acquire_in(struct weir_probe_acquire *room)
{
    return (struct acquire *)(void *)room;
}

static void waiter_show(const struct segment *segment, struct acquire *acquire,
                        struct board_pool *pool)
{
    struct board_waiter *waiter;
    uint64_t trace[2] = {0, 0};
    uint32_t waiting, idle;

    acquire->waiter = BOARD_NO_PLACE;
    if (!pool)
        return;
    waiting = atomic_fetch_add_explicit(&pool->waiting, 1, memory_order_release) + 1;
    idle = atomic_load_explicit(&pool->idle, memory_order_relaxed);
    /* A request that finds an idle connection passes through without waiting for anybody. */
    if (waiting > idle)
        board_peak_raise(&pool->waiting_peak, acquire->begin_ns, waiting - idle);
    acquire->waiter = board_waiter_claim(segment);
    if (acquire->waiter == BOARD_NO_PLACE)
        return;
    waiter = &segment->waiters[acquire->waiter];
    if (acquire->origin.has_context)
        memcpy(trace, acquire->origin.trace_id, sizeof(trace));
    board_entry_open(&waiter->sequence);
    BOARD_STORE(waiter->pool, (uint32_t)(pool - segment->pools));
    BOARD_STORE(waiter->call_site, acquire->origin.call_site);
    BOARD_STORE(waiter->tenant, acquire->origin.has_context ? acquire->origin.tenant : 0);
    BOARD_STORE(waiter->trace_id[0], trace[0]);
    BOARD_STORE(waiter->trace_id[1], trace[1]);
    BOARD_STORE(waiter->thread, thread_self.number);
    BOARD_STORE(waiter->since_ns, acquire->begin_ns);
    board_entry_close(&waiter->sequence);
}

static void acquire_origin(const struct segment *segment, const char *call_site, const void *caller,
                           struct origin *ret)
{
    struct view site = {call_site, call_site ? strnlen(call_site, NAME_TEXT_MAX) : 0};

    origin_of_thread(segment, ret);
    if (site.length) {
        ret->call_site = name_id(site);
        (void)names_announce(segment, NAME_CALL_SITE, ret->call_site, site,
                             0); /* refused: counted; told again at the next acquire */
    }
    origin_add_caller(segment, caller, ret);
}

void acquire_begin(struct weir_probe_pool *pool, struct weir_probe_acquire *room,
                   const char *call_site, const void *caller)
{
    const struct segment *segment = segment_enter();
    struct acquire *acquire;

    if (!room)
        return;
    acquire = acquire_in(room);
    acquire->target = NULL;
    if (!pool || !segment)
        return;
    acquire_origin(segment, call_site, caller, &acquire->origin);
    acquire->target = atomic_load_explicit(&pool->main, memory_order_acquire);
    acquire->generation = segment->generation;
    acquire->begin_ns = probe_clock_ns();
    waiter_show(segment, acquire, pool_target_board(segment, acquire->target));
}

static void acquire_record(const struct segment *segment, const struct acquire *acquire,
                           const struct weir_probe_connection *connection,
                           enum weir_failure failure, const char *sqlstate, uint64_t now_ns)
{
    bool has_context = acquire->origin.has_context;
    uint32_t length = EVENT_CORE_SIZE + (has_context ? EVENT_CONTEXT_SIZE : 0);
    struct pool_target *target = connection ? connection->target : acquire->target;
    struct record_acquire *record;
    struct lane_record taken;

    if (!lanes_take(segment, length, &taken))
        return;
    record = (struct record_acquire *)(void *)taken.header;
    *record = (struct record_acquire){
        .head = {.header = {.kind = RECORD_ACQUIRE, .length = (uint16_t)length, .time_ns = now_ns},
                 .target = pool_target_name(segment, target),
                 .hold_id = connection ? connection->hold.id : 0},
        .wait_ns = clock_between_ns(acquire->begin_ns, now_ns),
        .failure = (uint8_t)failure,
        .slot = connection ? connection_slot(connection) : RECORD_NO_SLOT,
        .call_site = acquire->origin.call_site,
    };
    sqlstate_copy(sqlstate, record->sqlstate);
    if (has_context) {
        record->head.flags |= EVENT_HAS_CONTEXT;
        origin_write(&acquire->origin, 0, connection ? connection->backend_pid : 0,
                     (struct event_context *)(void *)(record + 1));
    }
    lanes_publish(segment, &taken);
}

static void waiter_leave(const struct segment *segment, struct acquire *acquire,
                         enum weir_failure failure)
{
    struct board_pool *pool = pool_target_board(segment, acquire->target);

    if (pool) {
        atomic_fetch_sub_explicit(&pool->waiting, 1, memory_order_release);
        if (failure == WEIR_FAILURE_TIMEOUT)
            atomic_fetch_add_explicit(&pool->timeouts, 1, memory_order_release);
    }
    if (acquire->waiter != BOARD_NO_PLACE)
        board_waiter_free(segment, acquire->waiter);
}

void acquire_end(struct weir_probe_acquire *room, struct weir_probe_connection *connection,
                 enum weir_failure failure, const char *sqlstate)
{
    const struct segment *segment = connection ? connection_enter(connection) : segment_enter();
    struct acquire *acquire;
    struct hold *hold;
    uint64_t now_ns;

    if (!room)
        return;
    acquire = acquire_in(room);
    if (!acquire->target || !segment || acquire->generation != segment->generation)
        return;
    now_ns = probe_clock_ns();
    if (connection && failure == WEIR_FAILURE_NONE) {
        hold_end(segment, connection, now_ns, true); /* the pool's own use of it, if any */
        hold = hold_begin(connection, HOLD_ACQUIRED, now_ns,
                          clock_between_ns(acquire->begin_ns, now_ns));
        origin_copy(&acquire->origin, &hold->origin);
    }
    acquire_record(segment, acquire, connection, failure, sqlstate, now_ns);
    waiter_leave(segment, acquire, failure);
    if (connection)
        connection_show(segment, connection, now_ns);
    acquire->target = NULL;
}

/* The release tells the acquire too: one event less, and a third of the price. */
void acquire_immediate(struct weir_probe_pool *pool, struct weir_probe_connection *connection,
                       const char *call_site, const void *caller)
{
    const struct segment *segment = pool && connection ? connection_enter(connection) : NULL;
    struct hold *hold;
    uint64_t now_ns;

    if (!segment)
        return;
    now_ns = probe_clock_ns();
    hold_end(segment, connection, now_ns, true); /* the pool's own use of it, if any */
    hold = hold_begin(connection, HOLD_ACQUIRED, now_ns, 0);
    hold->flags = RELEASE_HAS_ACQUIRE;
    acquire_origin(segment, call_site, caller, &hold->origin);
    connection_show(segment, connection, now_ns);
}

void acquire_release_noting(struct weir_probe_connection *connection, uint32_t flags)
{
    const struct segment *segment = connection ? connection_enter(connection) : NULL;
    uint64_t now_ns;

    if (!segment || connection->hold.kind != HOLD_ACQUIRED)
        return;
    now_ns = probe_clock_ns();
    if (__builtin_expect(flags & WEIR_PROBE_RELEASE_ROLLED_BACK, 0)) {
        connection->hold.flags |= RELEASE_ROLLED_BACK;
        if (connection->transaction.begin_ns)
            transaction_finish(segment, connection, WEIR_TRANSACTION_ROLLED_BACK, now_ns);
    }
    hold_end(segment, connection, now_ns, true);
    connection_show(segment, connection, now_ns);
}

void acquire_release(struct weir_probe_connection *connection)
{
    acquire_release_noting(connection, 0);
}
