#include "shim/probe/connection.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "shim/probe/clock.h"
#include "shim/probe/hold.h"
#include "shim/probe/lanes.h"
#include "shim/probe/process.h"
#include "shim/probe/transaction.h"

#define RESULT(result, member)                                                                     \
    ((result) && (result)->size >=                                                                 \
                     offsetof(struct weir_probe_connect_result, member) + sizeof((result)->member) \
         ? (result)->member                                                                        \
         : (__typeof__((result)->member))0)

static _Atomic uint64_t connections_made;

void origin_write(const struct origin *origin, uint64_t object, uint32_t backend_pid,
                  struct event_context *ret)
{
    *ret = (struct event_context){.object = object, .backend_pid = backend_pid};
    if (!origin->has_context)
        return;
    ret->tenant = origin->tenant;
    ret->tracestate = origin->tracestate;
    ret->trace_flags = origin->trace_flags;
    memcpy(ret->trace_id, origin->trace_id, sizeof(ret->trace_id));
    memcpy(ret->parent_span_id, origin->parent_span_id, sizeof(ret->parent_span_id));
}

/* ---- the board ------------------------------------------------------------------------------- */

static enum slot_state connection_state(const struct weir_probe_connection *connection)
{
    if (connection->gauge == GAUGE_CONNECTING)
        return SLOT_CONNECTING;
    if (connection->statements_open)
        return SLOT_EXECUTING;
    if (connection->transaction.begin_ns)
        return SLOT_IDLE_IN_TRANSACTION;
    if (connection->hold.kind == HOLD_ACQUIRED)
        return SLOT_HELD;
    return connection->is_listening ? SLOT_LISTENING : SLOT_IDLE;
}

static void connection_gauge(const struct segment *segment,
                             struct weir_probe_connection *connection, enum gauge to,
                             uint64_t now_ns)
{
    if (connection->gauge == to)
        return;
    pool_target_move(segment, connection->target, connection->gauge, to, now_ns);
    connection->gauge = to;
}

static void slot_show_context(struct board_slot *slot, const struct origin *origin)
{
    uint64_t trace[2] = {0, 0}, parent = 0;

    if (origin->has_context) {
        memcpy(trace, origin->trace_id, sizeof(trace));
        memcpy(&parent, origin->parent_span_id, sizeof(parent));
    }
    BOARD_STORE(slot->tenant, origin->has_context ? origin->tenant : 0);
    BOARD_STORE(slot->trace_id[0], trace[0]);
    BOARD_STORE(slot->trace_id[1], trace[1]);
    BOARD_STORE(slot->parent_span_id, parent);
    BOARD_STORE(slot->trace_flags, origin->has_context ? origin->trace_flags : 0);
}

static void slot_show_hold(struct board_slot *slot, struct weir_probe_connection *connection)
{
    const struct hold *hold = &connection->hold;

    BOARD_STORE(slot->hold_id, hold->id);
    BOARD_STORE(slot->acquired_ns, hold->kind == HOLD_NONE ? 0 : hold->begin_ns);
    if (hold->kind == HOLD_NONE)
        return; /* who had it last stays to be seen */
    BOARD_STORE(slot->call_site, hold->origin.call_site);
    BOARD_STORE(slot->thread, thread_self.number);
    if (__builtin_expect(hold->origin.has_context || connection->slot_has_context, 0)) {
        slot_show_context(slot, &hold->origin);
        connection->slot_has_context = hold->origin.has_context;
    }
}

/* Of the statements in flight the oldest is shown, with its text if its place in the ring was not
 * taken by one that was sent later. */
static void slot_show_statements(struct board_slot *slot,
                                 const struct weir_probe_connection *connection)
{
    const struct open_statement *oldest =
        &connection->open[connection->oldest_open % OPEN_STATEMENTS];
    bool is_known = connection->oldest_open && oldest->sequence == connection->oldest_open;

    if (!connection->oldest_open) {
        BOARD_STORE(slot->fingerprint, connection->last_fingerprint);
        BOARD_STORE(slot->statement_since_ns, 0);
    } else {
        BOARD_STORE(slot->fingerprint, is_known ? oldest->fingerprint : 0);
        BOARD_STORE(slot->statement_since_ns, is_known ? oldest->begin_ns : slot->since_ns);
    }
    BOARD_STORE(slot->oldest_open, connection->oldest_open);
    BOARD_STORE(slot->newest_sent, connection->hold.statements);
}

void connection_show(const struct segment *segment, struct weir_probe_connection *connection,
                     uint64_t now_ns)
{
    const struct hold *hold = &connection->hold;
    enum slot_state state = connection_state(connection);
    struct board_slot *slot;

    if (connection->slot != BOARD_NO_PLACE) {
        slot = &segment->slots[connection->slot];
        board_entry_open(&slot->sequence);
        if (BOARD_LOAD(slot->state) != (uint32_t)state) {
            BOARD_STORE(slot->state, (uint32_t)state);
            BOARD_STORE(slot->since_ns, now_ns);
        }
        if (BOARD_LOAD(slot->hold_id) != hold->id)
            slot_show_hold(slot, connection);
        slot_show_statements(slot, connection);
        board_entry_close(&slot->sequence);
    }
    if (connection->gauge == GAUGE_IDLE || connection->gauge == GAUGE_USED)
        connection_gauge(segment, connection, hold->kind == HOLD_NONE ? GAUGE_IDLE : GAUGE_USED,
                         now_ns);
}

/* A place on the board, and what does not change while the connection lives. */
static void connection_register(const struct segment *segment,
                                struct weir_probe_connection *connection, enum gauge gauge,
                                uint64_t now_ns)
{
    struct board_pool *pool = pool_target_board(segment, connection->target);
    struct board_slot *slot;

    connection->generation = segment->generation;
    connection->gauge = GAUGE_NONE;
    connection->slot = board_slot_claim(segment);
    connection->slot_has_context = true; /* what its last user left there, if anything */
    connection_gauge(segment, connection, gauge, now_ns);
    if (connection->slot == BOARD_NO_PLACE)
        return;
    slot = &segment->slots[connection->slot];
    board_entry_open(&slot->sequence);
    BOARD_STORE(slot->connection, connection->id);
    BOARD_STORE(slot->pool, pool ? (uint32_t)(pool - segment->pools) : UINT32_MAX);
    BOARD_STORE(slot->target, pool_target_name(segment, connection->target));
    BOARD_STORE(slot->backend_pid, connection->backend_pid);
    BOARD_STORE(slot->opened_ns, connection->opened_ns);
    BOARD_STORE(slot->since_ns, now_ns);
    board_entry_close(&slot->sequence);
    connection_show(segment, connection, now_ns);
}

/* Nothing is under way any more: after fork, or when the server connection is another one. */
static void connection_rest(struct weir_probe_connection *connection)
{
    connection->statements_open = 0;
    connection->oldest_open = 0;
    memset(&connection->hold, 0, sizeof(connection->hold));
    memset(&connection->transaction, 0, sizeof(connection->transaction));
}

void connection_adopt(const struct segment *segment, struct weir_probe_connection *connection)
{
    connection_rest(connection);
    connection_register(segment, connection, connection->opened_ns ? GAUGE_IDLE : GAUGE_CONNECTING,
                        probe_clock_ns());
}

/* ---- its life -------------------------------------------------------------------------------- */

struct weir_probe_connection *connection_connect_begin(struct weir_probe_pool *pool,
                                                       const struct weir_probe_target *target)
{
    const struct segment *segment = process_start();
    CLEANUP(freep) struct weir_probe_connection *connection = NULL;

    if (!pool)
        return NULL;
    connection = calloc(1, sizeof(*connection));
    if (!connection)
        return NULL;
    connection->target = pool_target_find(pool, target);
    if (!connection->target)
        return NULL;
    connection->id = atomic_fetch_add_explicit(&connections_made, 1, memory_order_relaxed) + 1;
    connection->slot = BOARD_NO_PLACE;
    connection->attempt_ns = probe_clock_ns();
    if (segment)
        connection_register(segment, connection, GAUGE_CONNECTING, connection->attempt_ns);
    return STEAL(connection);
}

static void connect_record(const struct segment *segment, struct weir_probe_connection *connection,
                           const struct weir_probe_connect_result *result, uint64_t now_ns)
{
    struct lane_record taken;
    struct record_connect *connect;

    if (!lanes_take(segment, EVENT_CORE_SIZE, &taken))
        return;
    connect = (struct record_connect *)(void *)taken.header;
    *connect = (struct record_connect){
        .connection = connection->id,
        .duration_ns = clock_between_ns(connection->attempt_ns, now_ns),
        .backend_pid = connection->backend_pid,
        .failure = (uint8_t)RESULT(result, failure),
        .slot = connection_slot(connection),
    };
    sqlstate_copy(RESULT(result, sqlstate), connect->sqlstate);
    connection_event_head(segment, connection, RECORD_CONNECT, EVENT_CORE_SIZE, now_ns,
                          &connect->head);
    if (connection->is_reset)
        connect->head.flags |= CONNECT_IS_RESET;
    lanes_publish(segment, &taken);
}

static void connection_leave_board(const struct segment *segment,
                                   struct weir_probe_connection *connection, uint64_t now_ns)
{
    connection_gauge(segment, connection, GAUGE_NONE, now_ns);
    if (connection->slot != BOARD_NO_PLACE)
        board_slot_free(segment, connection->slot);
    connection->slot = BOARD_NO_PLACE;
}

void connection_connect_end(struct weir_probe_connection *connection,
                            const struct weir_probe_connect_result *result)
{
    uint32_t library_version = RESULT(result, library_version);
    const struct segment *segment;
    uint64_t now_ns;

    process_tend();
    if (!connection)
        return;
    segment = connection_enter(connection);
    now_ns = probe_clock_ns();
    connection->backend_pid = RESULT(result, backend_pid);
    if (segment)
        connect_record(segment, connection, result, now_ns);
    connection->is_reset = false;
    if (segment && library_version)
        BOARD_STORE(segment->process->library_version, library_version);
    if (RESULT(result, failure) != WEIR_FAILURE_NONE) {
        connection->opened_ns = 0;
        if (segment)
            connection_leave_board(segment, connection, now_ns);
        return;
    }
    connection->opened_ns = now_ns;
    if (!segment)
        return;
    if (connection->slot != BOARD_NO_PLACE) {
        BOARD_STORE(segment->slots[connection->slot].backend_pid, connection->backend_pid);
        BOARD_STORE(segment->slots[connection->slot].opened_ns, now_ns);
    }
    connection_gauge(segment, connection, GAUGE_IDLE, now_ns);
    connection_show(segment, connection, now_ns);
}

/* What the end of the server connection ends with it. */
static void connection_abandon(const struct segment *segment,
                               struct weir_probe_connection *connection, uint64_t now_ns)
{
    if (connection->transaction.begin_ns)
        transaction_finish(segment, connection, WEIR_TRANSACTION_UNKNOWN, now_ns);
    hold_end(segment, connection, now_ns, true);
    connection_rest(connection);
}

void connection_reset(struct weir_probe_connection *connection)
{
    const struct segment *segment;

    if (!connection)
        return;
    segment = connection_enter(connection);
    connection->attempt_ns = probe_clock_ns();
    connection->is_reset = true;
    if (!segment)
        return;
    connection_abandon(segment, connection, connection->attempt_ns);
    if (connection->slot == BOARD_NO_PLACE && connection->gauge == GAUGE_NONE)
        connection_register(segment, connection, GAUGE_CONNECTING, connection->attempt_ns);
    connection_gauge(segment, connection, GAUGE_CONNECTING, connection->attempt_ns);
    connection_show(segment, connection, connection->attempt_ns);
}

static void close_record(const struct segment *segment, struct weir_probe_connection *connection,
                         enum weir_failure failure, const char *sqlstate, uint64_t now_ns)
{
    struct lane_record taken;
    struct record_close *closed;

    if (!lanes_take(segment, EVENT_CORE_SIZE, &taken))
        return;
    closed = (struct record_close *)(void *)taken.header;
    *closed = (struct record_close){
        .connection = connection->id,
        .lifetime_ns = clock_between_ns(connection->opened_ns, now_ns),
        .failure = (uint8_t)failure,
        .slot = connection_slot(connection),
    };
    sqlstate_copy(sqlstate, closed->sqlstate);
    connection_event_head(segment, connection, RECORD_CLOSE, EVENT_CORE_SIZE, now_ns,
                          &closed->head);
    lanes_publish(segment, &taken);
}

void connection_close(struct weir_probe_connection *connection, enum weir_failure failure,
                      const char *sqlstate)
{
    const struct segment *segment;
    uint64_t now_ns;

    if (!connection)
        return;
    process_tend();
    /* One that only fork brought here is the parent's to close. */
    segment = segment_enter();
    if (segment && connection->generation == segment->generation) {
        now_ns = probe_clock_ns();
        connection_abandon(segment, connection, now_ns);
        if (connection->opened_ns)
            close_record(segment, connection, failure, sqlstate, now_ns);
        connection_leave_board(segment, connection, now_ns);
    }
    free(connection);
}

void connection_listening(struct weir_probe_connection *connection, int is_listening)
{
    const struct segment *segment;

    if (!connection)
        return;
    connection->is_listening = is_listening;
    segment = connection_enter(connection);
    if (segment)
        connection_show(segment, connection, probe_clock_ns());
}

/* Async-signal-safe, from any thread: reads only words that do not change or are atomic. */
void connection_cancel(struct weir_probe_connection *connection)
{
    const struct segment *segment = segment_enter();
    struct lane_record taken;
    struct record_cancel *cancel;
    const struct board_slot *slot;

    if (!connection || !segment || connection->generation != segment->generation)
        return;
    if (!lanes_take(segment, EVENT_CORE_SIZE, &taken))
        return;
    cancel = (struct record_cancel *)(void *)taken.header;
    *cancel = (struct record_cancel){
        .head = {.header = {.kind = RECORD_CANCEL,
                            .length = EVENT_CORE_SIZE,
                            .time_ns = probe_clock_ns()},
                 .target = connection->target->id},
        .slot = connection->slot,
    };
    if (connection->slot != BOARD_NO_PLACE) {
        slot = &segment->slots[connection->slot];
        cancel->fingerprint = atomic_load_explicit(&slot->fingerprint, memory_order_acquire);
        cancel->head.hold_id = atomic_load_explicit(&slot->hold_id, memory_order_acquire);
    }
    lanes_publish(segment, &taken);
}
