/* The hold of a connection: whose it is for how long, and how that time splits into executing, idle
 * in transaction and idle. The phases sum to the whole, since every instant ends one and begins the
 * next. */
#pragma once

#include "shim/probe/connection.h"

/* Takes the next block of ids: they are given out to connections in blocks, so that a hold touches
 * no word that others share. */
void hold_ids_take(struct weir_probe_connection *connection);

/* Begins a hold on a connection that has none. Its origin is the caller's to fill in. */
static inline struct hold *hold_begin(struct weir_probe_connection *connection, enum hold_kind kind,
                                      uint64_t now_ns, uint64_t wait_ns)
{
    struct hold *hold = &connection->hold;

    if (__builtin_expect(connection->hold_id_next == connection->hold_id_end, 0))
        hold_ids_take(connection);
    connection->oldest_open = 0;
    hold->id = connection->hold_id_next++;
    hold->begin_ns = now_ns;
    hold->phase_since_ns = now_ns;
    hold->executing_ns = 0;
    hold->idle_in_transaction_ns = 0;
    hold->idle_ns = 0;
    hold->wait_ns = wait_ns;
    hold->statements = 0;
    hold->flags = 0;
    hold->epoch = 0;
    hold->kind = kind;
    return hold;
}

/* One that a statement or a transaction begins where nothing was acquired. */
void hold_begin_implicit(struct weir_probe_connection *connection, uint64_t now_ns,
                         const struct origin *origin);

/* Adds the time since the last change to the phase that was. Before every change of what is open.
 */
static inline void hold_advance(struct weir_probe_connection *connection, uint64_t now_ns)
{
    struct hold *hold = &connection->hold;
    uint64_t passed_ns;

    if (hold->kind == HOLD_NONE || now_ns <= hold->phase_since_ns)
        return;
    passed_ns = now_ns - hold->phase_since_ns;
    if (connection->statements_open) {
        hold->executing_ns += passed_ns;
        if (connection->transaction.begin_ns)
            connection->transaction.executing_ns += passed_ns;
    } else if (connection->transaction.begin_ns) {
        hold->idle_in_transaction_ns += passed_ns;
    } else {
        hold->idle_ns += passed_ns;
    }
    hold->phase_since_ns = now_ns;
}

/* Whether nothing keeps an implicit hold any longer. */
static inline bool hold_is_over(const struct weir_probe_connection *connection)
{
    return connection->hold.kind == HOLD_IMPLICIT && !connection->statements_open &&
           !connection->transaction.begin_ns;
}

/* Tenant and trace of the acquire, for a statement in its hold whose thread says nothing of its
 * own. */
void hold_lend_context(const struct segment *segment, struct hold *hold, struct origin *ret);

/* Ends the hold: its release is recorded if @has_record. The board is the caller's. */
void hold_end(const struct segment *segment, struct weir_probe_connection *connection,
              uint64_t now_ns, bool has_record);
