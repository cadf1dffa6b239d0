#include "shim/probe/transaction.h"

#include "shim/probe/clock.h"
#include "shim/probe/hold.h"
#include "shim/probe/lanes.h"

/* When the statement that opened it began: it is still open. */
static uint64_t transaction_begin_ns(const struct weir_probe_connection *connection,
                                     uint64_t now_ns)
{
    const struct open_statement *oldest =
        &connection->open[connection->oldest_open % OPEN_STATEMENTS];

    if (connection->oldest_open && oldest->sequence == connection->oldest_open)
        return oldest->begin_ns;
    return now_ns;
}

void transaction_begin(struct weir_probe_connection *connection, const void *caller)
{
    const struct segment *segment = connection ? connection_enter(connection) : NULL;
    struct transaction *transaction;
    struct origin origin;
    uint64_t now_ns;

    if (!segment || connection->transaction.begin_ns)
        return;
    transaction = &connection->transaction;
    now_ns = probe_clock_ns();
    if (connection->hold.kind == HOLD_NONE) {
        origin_of_thread(segment, &origin);
        origin_add_caller(segment, caller, &origin);
        hold_begin_implicit(connection, now_ns, &origin);
    }
    hold_advance(connection, now_ns);
    transaction->begin_ns = transaction_begin_ns(connection, now_ns);
    transaction->executing_ns = clock_between_ns(transaction->begin_ns, now_ns);
    transaction->statements = connection->statements_open;
    connection_show(segment, connection, now_ns);
}

void transaction_finish(const struct segment *segment, struct weir_probe_connection *connection,
                        enum weir_transaction_outcome outcome, uint64_t now_ns)
{
    struct transaction *transaction = &connection->transaction;
    bool has_context = connection->hold.origin.has_context;
    uint32_t length = EVENT_CORE_SIZE + (has_context ? EVENT_CONTEXT_SIZE : 0);
    struct record_transaction *record;
    struct lane_record taken;

    hold_advance(connection, now_ns);
    if (lanes_take(segment, length, &taken)) {
        record = (struct record_transaction *)(void *)taken.header;
        *record = (struct record_transaction){
            .duration_ns = clock_between_ns(transaction->begin_ns, now_ns),
            .executing_ns = transaction->executing_ns,
            .outcome = (uint8_t)outcome,
            .slot = connection_slot(connection),
            .call_site = connection->hold.origin.call_site,
        };
        connection_event_head(segment, connection, RECORD_TRANSACTION, length, now_ns,
                              &record->head);
        record->head.sequence = transaction->statements;
        if (has_context) {
            record->head.flags |= EVENT_HAS_CONTEXT;
            origin_write(&connection->hold.origin, 0, connection->backend_pid,
                         (struct event_context *)(void *)(record + 1));
        }
        lanes_publish(segment, &taken);
    }
    *transaction = (struct transaction){0};
}

void transaction_end(struct weir_probe_connection *connection,
                     enum weir_transaction_outcome outcome)
{
    const struct segment *segment = connection ? connection_enter(connection) : NULL;
    uint64_t now_ns;

    if (!segment || !connection->transaction.begin_ns)
        return;
    now_ns = probe_clock_ns();
    transaction_finish(segment, connection, outcome, now_ns);
    if (hold_is_over(connection))
        hold_end(segment, connection, now_ns, true);
    connection_show(segment, connection, now_ns);
}
