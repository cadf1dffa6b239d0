#include "shim/probe/hold.h"

#include "shim/probe/lanes.h"
#include "shim/probe/names.h"

enum { HOLD_ID_BLOCK = 1 << 20 };

/* Ids are given out to connections in blocks, so that a hold touches no word that others share. */
static _Atomic uint64_t hold_id_blocks;

static uint64_t hold_id_next(struct weir_probe_connection *connection)
{
    if (connection->hold_id_next == connection->hold_id_end) {
        uint64_t block = atomic_fetch_add_explicit(&hold_id_blocks, 1, memory_order_relaxed);
        connection->hold_id_next = block * HOLD_ID_BLOCK + 1;
        connection->hold_id_end = connection->hold_id_next + HOLD_ID_BLOCK;
    }
    return connection->hold_id_next++;
}

void hold_begin(struct weir_probe_connection *connection, enum hold_kind kind, uint64_t now_ns,
                uint64_t wait_ns, const struct origin *origin)
{
    connection->oldest_open = 0;
    connection->hold = (struct hold){
        .id = hold_id_next(connection),
        .begin_ns = now_ns,
        .phase_since_ns = now_ns,
        .wait_ns = wait_ns,
        .kind = kind,
        .origin = *origin,
    };
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
    *release = (struct record_release){
        .use_ns = hold->executing_ns + hold->idle_in_transaction_ns + hold->idle_ns,
        .executing_ns = hold->executing_ns,
        .idle_in_transaction_ns = hold->idle_in_transaction_ns,
        .idle_ns = hold->idle_ns,
        .slot = connection_slot(connection),
        .call_site = hold->origin.call_site,
        .wait_ns = hold->wait_ns,
    };
    connection_event_head(segment, connection, RECORD_RELEASE, length, now_ns, &release->head);
    release->head.sequence = hold->statements;
    release->head.flags = hold->flags;
    if (has_context) {
        release->head.flags |= EVENT_HAS_CONTEXT;
        origin_write(&hold->origin, 0, connection->backend_pid,
                     (struct event_context *)(void *)(release + 1));
    }
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
