#include "proto/wire/board_reader.h"

/* Every load acquires: whoever sees a word that a writer stored (release) also sees the odd
 * sequence stored before it, and no later load moves up before an earlier one. */
#define LOAD(word) atomic_load_explicit(&(word), memory_order_acquire)

struct board_view board_view_of(const void *segment, const struct segment_layout *layout)
{
    const char *base = segment;

    return (struct board_view){
        .process = (const void *)(base + layout->process_offset),
        .pools = (const void *)(base + layout->pools_offset),
        .slots = (const void *)(base + layout->slots_offset),
        .waiters = (const void *)(base + layout->waiters_offset),
        .pool_count = layout->pool_count,
        .slot_count = layout->slot_count,
        .waiter_count = layout->waiter_count,
    };
}

struct process_copy board_read_process(const struct board_view *board)
{
    const struct board_process *process = board->process;

    return (struct process_copy){
        .observed = LOAD(process->observed),
        .library_version = LOAD(process->library_version),
        .statements_open = LOAD(process->statements_open),
        .progress = LOAD(process->progress),
    };
}

uint32_t board_read_peak(const struct board_peak *peak, uint64_t now_ns)
{
    const uint32_t current = (uint32_t)(now_ns / BOARD_PEAK_WINDOW_NS);
    uint32_t highest = 0;

    for (int i = 0; i < 2; i++) {
        uint64_t word = LOAD(peak->window[i]);
        uint32_t window = (uint32_t)(word >> 32);
        /* The producer's clock may have crossed into the next window since ours was read. */
        if ((window == current || window + 1 == current || window == current + 1) &&
            (uint32_t)word > highest)
            highest = (uint32_t)word;
    }
    return highest;
}

bool board_read_pool(const struct board_view *board, uint32_t index, uint64_t now_ns,
                     struct pool_copy *ret)
{
    const struct board_pool *pool;
    uint64_t both;

    if (index >= board->pool_count)
        return false;
    pool = &board->pools[index];
    *ret = (struct pool_copy){.target = LOAD(pool->target)};
    if (ret->target == 0)
        return false;
    ret->flags = LOAD(pool->flags);
    ret->connections_max = LOAD(pool->connections_max);
    ret->connections_min = LOAD(pool->connections_min);
    ret->idle_max = LOAD(pool->idle_max);
    ret->idle_min = LOAD(pool->idle_min);
    /* One word, so that a connection that moves is seen in one of them (board_pool_move()). */
    both = LOAD(pool->used_and_idle);
    ret->used = (uint32_t)both;
    ret->idle = (uint32_t)(both >> 32);
    ret->waiting = LOAD(pool->waiting);
    ret->connecting = LOAD(pool->connecting);
    ret->timeouts = LOAD(pool->timeouts);
    ret->used_peak = board_read_peak(&pool->used_peak, now_ns);
    ret->waiting_peak = board_read_peak(&pool->waiting_peak, now_ns);
    return true;
}

static void slot_copy_words(const struct board_slot *slot, struct slot_copy *ret)
{
    ret->state = LOAD(slot->state);
    ret->pool = LOAD(slot->pool);
    ret->backend_pid = LOAD(slot->backend_pid);
    ret->connection = LOAD(slot->connection);
    ret->target = LOAD(slot->target);
    ret->since_ns = LOAD(slot->since_ns);
    ret->acquired_ns = LOAD(slot->acquired_ns);
    ret->hold_id = LOAD(slot->hold_id);
    ret->call_site = LOAD(slot->call_site);
    ret->tenant = LOAD(slot->tenant);
    ret->trace_id[0] = LOAD(slot->trace_id[0]);
    ret->trace_id[1] = LOAD(slot->trace_id[1]);
    ret->parent_span_id = LOAD(slot->parent_span_id);
    ret->fingerprint = LOAD(slot->fingerprint);
    ret->statement_since_ns = LOAD(slot->statement_since_ns);
    ret->oldest_open = LOAD(slot->oldest_open);
    ret->newest_sent = LOAD(slot->newest_sent);
    ret->thread = LOAD(slot->thread);
    ret->trace_flags = LOAD(slot->trace_flags);
    ret->opened_ns = LOAD(slot->opened_ns);
}

bool board_read_slot(const struct board_view *board, uint32_t index, struct slot_copy *ret)
{
    const struct board_slot *slot;

    if (index >= board->slot_count)
        return false;
    slot = &board->slots[index];
    for (int i = 0; i < BOARD_READ_TRIES; i++) {
        ret->sequence = LOAD(slot->sequence);
        slot_copy_words(slot, ret);
        ret->torn = ret->sequence % 2 != 0 || LOAD(slot->sequence) != ret->sequence;
        if (!ret->torn)
            break;
    }
    if (ret->state > SLOT_LISTENING)
        ret->state = SLOT_HELD;
    return ret->state != SLOT_FREE;
}

static void waiter_copy_words(const struct board_waiter *waiter, struct waiter_copy *ret)
{
    ret->pool = LOAD(waiter->pool);
    ret->since_ns = LOAD(waiter->since_ns);
    ret->call_site = LOAD(waiter->call_site);
    ret->tenant = LOAD(waiter->tenant);
    ret->trace_id[0] = LOAD(waiter->trace_id[0]);
    ret->trace_id[1] = LOAD(waiter->trace_id[1]);
    ret->thread = LOAD(waiter->thread);
}

bool board_read_waiter(const struct board_view *board, uint32_t index, struct waiter_copy *ret)
{
    const struct board_waiter *waiter;

    if (index >= board->waiter_count)
        return false;
    waiter = &board->waiters[index];
    for (int i = 0; i < BOARD_READ_TRIES; i++) {
        ret->sequence = LOAD(waiter->sequence);
        waiter_copy_words(waiter, ret);
        ret->torn = ret->sequence % 2 != 0 || LOAD(waiter->sequence) != ret->sequence;
        if (!ret->torn)
            break;
    }
    return ret->since_ns != 0;
}
