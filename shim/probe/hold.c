#include "shim/probe/hold.h"

#include "shim/probe/lanes.h"
#include "shim/probe/names.h"

enum { HOLD_ID_BLOCK = 1 << 20 };

static _Atomic uint64_t hold_id_blocks;

void hold_ids_take(struct weir_probe_connection *connection)
{
    uint64_t block = atomic_fetch_add_explicit(&hold_id_blocks, 1, memory_order_relaxed);

    connection->hold_id_next = block * HOLD_ID_BLOCK + 1;
    connection->hold_id_end = connection->hold_id_next + HOLD_ID_BLOCK;
}

void hold_begin_implicit(struct weir_probe_connection *connection, uint64_t now_ns,
                         const struct origin *origin)
{
    origin_copy(origin, &hold_begin(connection, HOLD_IMPLICIT, now_ns, UNKNOWN_NS)->origin);
}

static void hold_record(const struct segment *segment, struct weir_probe_connection *connection,
                        uint64_t now_ns)
{
    const struct hold *hold = &connection->hold;
    bool has_context = hold->origin.has_context;
    uint32_t length = EVENT_CORE_SIZE + (has_context ? EVENT_CONTEXT_SIZE : 0);
    struct lane_record taken;
    struct record_release *release;

    if (!lanes_take(segment, length, &taken))
        return;
    release = (struct record_release *)(void *)taken.header;
    connection_event_head(segment, connection, RECORD_RELEASE, length, now_ns, &release->head);
    release->head.sequence = hold->statements;
    release->head.flags = hold->flags | (has_context ? EVENT_HAS_CONTEXT : 0);
    release->use_ns = hold->executing_ns + hold->idle_in_transaction_ns + hold->idle_ns;
    release->executing_ns = hold->executing_ns;
    release->idle_in_transaction_ns = hold->idle_in_transaction_ns;
    release->idle_ns = hold->idle_ns;
    release->reserved0 = 0;
    release->reserved1 = 0;
    release->slot = connection_slot(connection);
    release->call_site = hold->origin.call_site;
    release->wait_ns = hold->wait_ns;
    if (has_context)
        origin_write(&hold->origin, 0, connection->backend_pid,
                     (struct event_context *)(void *)(release + 1));
    lanes_publish(segment, &taken);
}

void hold_end(const struct segment *segment, struct weir_probe_connection *connection,
              uint64_t now_ns, bool has_record)
{
    if (connection->hold.kind == HOLD_NONE)
        return;
    hold_advance(connection, now_ns);
    if (has_record)
        hold_record(segment, connection, now_ns);
    connection->hold.kind = HOLD_NONE;
    connection->hold.id = 0;
    connection->hold.statements = 0;
    connection->oldest_open = 0;
}

/* Who acquired may have said it for that one acquire only: after a raised epoch no thread would
 * announce the names again. */
void hold_lend_context(const struct segment *segment, struct hold *hold, struct origin *ret)
{
    uint32_t epoch = segment_epoch(segment);
    uint64_t call_site = ret->call_site;
    bool is_done = true;

    if (hold->epoch != epoch) {
        if (hold->origin.tenant)
            is_done &= names_announce_known(segment, NAME_TENANT, hold->origin.tenant);
        if (hold->origin.tracestate)
            is_done &= names_announce_known(segment, NAME_TRACESTATE, hold->origin.tracestate);
        if (is_done)
            hold->epoch = epoch;
    }
    *ret = hold->origin;
    ret->call_site = call_site;
}
