#include "shim/probe/statement.h"

#include <string.h>

#include "shim/probe/clock.h"
#include "shim/probe/hold.h"
#include "shim/probe/lanes.h"
#include "shim/probe/names.h"
#include "shim/probe/text.h"

enum { OBJECT_TEXT_MAX = 3 * 64 + 3 }; /* three identifiers of PostgreSQL */

#define RESULT(result, member, otherwise)                                                          \
    ((result) && (result)->size >= offsetof(struct weir_probe_statement_result, member) +          \
                                       sizeof((result)->member)                                    \
         ? (result)->member                                                                        \
         : (otherwise))

/* Lies in the caller's struct weir_probe_statement. */
struct statement {
    struct weir_probe_connection *connection; /* NULL: not recorded */
    uint64_t fingerprint;
    uint64_t begin_ns;
    uint64_t first_byte_ns; /* 0: not seen */
    uint64_t hold_id;
    struct origin origin;
    uint32_t sequence; /* in the hold */
    uint32_t flags;    /* enum event_flag */
    uint32_t generation;
};
static_assert(sizeof(struct statement) <= sizeof(struct weir_probe_statement),
              "opaque is large enough");

static struct statement *statement_in(struct weir_probe_statement *room)
{
    return (struct statement *)(void *)room;
}

/* The public flags in the record's place. Backslash strings are about the text only. */
static uint32_t event_flags(uint32_t flags)
{
    return (flags & WEIR_STATEMENT_PIPELINED ? STATEMENT_PIPELINED : 0) |
           (flags & WEIR_STATEMENT_SINGLE_ROW ? STATEMENT_SINGLE_ROW : 0) |
           (flags & WEIR_STATEMENT_COPY_IN ? STATEMENT_COPY_IN : 0) |
           (flags & WEIR_STATEMENT_COPY_OUT ? STATEMENT_COPY_OUT : 0) |
           (flags & WEIR_STATEMENT_PREPARED ? STATEMENT_PREPARED : 0) |
           (flags & WEIR_STATEMENT_LATE_FETCH ? STATEMENT_LATE_FETCH : 0);
}

/* ---- the board --------------------------------------------------------------------------------
 * Within a hold only some words change; connection_show() is for when the hold does. */

static struct board_slot *statement_slot(const struct segment *segment,
                                         struct weir_probe_connection *connection)
{
    struct board_slot *slot = &segment->slots[connection->slot];

    if (connection->slot == BOARD_NO_PLACE || BOARD_LOAD(slot->hold_id) != connection->hold.id)
        return NULL;
    return slot;
}

static void statement_show_begin(const struct segment *segment, const struct statement *statement)
{
    struct weir_probe_connection *connection = statement->connection;
    struct board_slot *slot = statement_slot(segment, connection);

    if (!slot) {
        connection_show(segment, connection, statement->begin_ns);
        return;
    }
    board_entry_open(&slot->sequence);
    if (connection->statements_open == 1) {
        BOARD_STORE(slot->state, SLOT_EXECUTING);
        BOARD_STORE(slot->since_ns, statement->begin_ns);
        BOARD_STORE(slot->fingerprint, statement->fingerprint);
        BOARD_STORE(slot->statement_since_ns, statement->begin_ns);
        BOARD_STORE(slot->oldest_open, statement->sequence);
    }
    BOARD_STORE(slot->newest_sent, statement->sequence);
    board_entry_close(&slot->sequence);
}

static void statement_show_end(const struct segment *segment,
                               struct weir_probe_connection *connection, uint64_t now_ns)
{
    struct board_slot *slot = statement_slot(segment, connection);

    if (!slot || connection->statements_open || connection->hold.kind == HOLD_NONE) {
        connection_show(segment, connection, now_ns);
        return;
    }
    board_entry_open(&slot->sequence);
    BOARD_STORE(slot->state, connection->transaction.begin_ns         ? SLOT_IDLE_IN_TRANSACTION
                             : connection->hold.kind == HOLD_ACQUIRED ? SLOT_HELD
                                                                      : SLOT_IDLE);
    BOARD_STORE(slot->since_ns, now_ns);
    BOARD_STORE(slot->statement_since_ns, 0);
    BOARD_STORE(slot->oldest_open, 0);
    board_entry_close(&slot->sequence);
}

/* ---- begin ----------------------------------------------------------------------------------- */

/* Counts the statement in its hold and transaction, and shows it. */
static void statement_open(const struct segment *segment, struct statement *statement)
{
    struct weir_probe_connection *connection = statement->connection;
    struct hold *hold = &connection->hold;
    struct open_statement *open;

    statement->begin_ns = probe_clock_ns();
    if (hold->kind == HOLD_NONE)
        hold_begin_implicit(connection, statement->begin_ns, &statement->origin);
    else
        hold_advance(connection, statement->begin_ns);
    statement->hold_id = hold->id;
    statement->sequence = ++hold->statements;
    if (connection->transaction.begin_ns) {
        connection->transaction.statements++;
        statement->flags |= STATEMENT_IN_TRANSACTION;
    }
    open = &connection->open[statement->sequence % OPEN_STATEMENTS];
    open->sequence = statement->sequence;
    open->fingerprint = statement->fingerprint;
    open->begin_ns = statement->begin_ns;
    connection->statements_open++;
    if (!connection->oldest_open)
        connection->oldest_open = statement->sequence;
    connection->last_fingerprint = statement->fingerprint;
    if (connection->slot == BOARD_NO_PLACE)
        atomic_fetch_add_explicit(&segment->process->statements_open, 1, memory_order_release);
    statement_show_begin(segment, statement);
}

/* The parts that both ways of beginning share. False: it is not to be recorded. */
static const struct segment *statement_enter(struct weir_probe_connection *connection,
                                             struct statement *statement, uint32_t flags)
{
    const struct segment *segment = connection ? connection_enter(connection) : NULL;

    statement->connection = NULL;
    if (!segment)
        return NULL;
    statement->first_byte_ns = 0;
    statement->generation = segment->generation;
    statement->flags = event_flags(flags);
    origin_of_thread(segment, &statement->origin);
    if (__builtin_expect(connection->hold.origin.has_context && !statement->origin.has_context &&
                             connection->hold.kind == HOLD_ACQUIRED,
                         0))
        hold_lend_context(segment, &connection->hold, &statement->origin);
    return segment;
}

static void statement_enter_text(const struct segment *segment, struct statement *statement,
                                 struct weir_probe_connection *connection,
                                 const struct text_identity *text, const void *caller)
{
    if (text->is_empty)
        return;
    statement->connection = connection;
    statement->fingerprint = text->fingerprint;
    statement->flags |= text->flags;
    origin_add_caller(segment, caller, &statement->origin);
    statement_open(segment, statement);
}

void statement_begin(struct weir_probe_connection *connection, struct weir_probe_statement *room,
                     struct view sql, uint32_t flags, const void *caller)
{
    struct statement *statement = statement_in(room);
    struct text_identity text;
    const struct segment *segment;

    if (!room)
        return;
    segment = statement_enter(connection, statement, flags);
    if (!segment)
        return;
    text_identify(segment, connection, sql, flags, &statement->origin, &text);
    statement_enter_text(segment, statement, connection, &text, caller);
}

void statement_begin_prepared(struct weir_probe_connection *connection,
                              struct weir_probe_statement *room, const struct weir_probe_text *kept,
                              uint32_t flags, const void *caller)
{
    struct statement *statement = statement_in(room);
    struct text_identity text;
    const struct segment *segment;

    if (!room)
        return;
    if (!kept) {
        statement_begin(connection, room, VIEW_LITERAL("unknown"), flags, caller);
        return;
    }
    segment = statement_enter(connection, statement, flags);
    if (!segment)
        return;
    text_identify_kept(segment, kept, &statement->origin, &text);
    statement_enter_text(segment, statement, connection, &text, caller);
}

void statement_first_byte(struct weir_probe_statement *room)
{
    struct statement *statement;

    if (!room)
        return;
    statement = statement_in(room);
    if (statement->connection && !statement->first_byte_ns)
        statement->first_byte_ns = probe_clock_ns();
}

/* ---- end ------------------------------------------------------------------------------------- */

/* The names that an error named, as one name's id; 0: none. */
static uint64_t object_announce(const struct segment *segment,
                                const struct weir_probe_statement_result *result)
{
    const char *parts[3] = {RESULT(result, constraint_name, NULL), RESULT(result, table_name, NULL),
                            RESULT(result, column_name, NULL)};
    char text[OBJECT_TEXT_MAX];
    size_t length = 0;
    bool has_any = false;
    uint64_t id;

    for (unsigned i = 0; i < 3; i++) {
        size_t part = parts[i] ? strnlen(parts[i], 64) : 0;
        if (i)
            text[length++] = '\n';
        if (part)
            memcpy(text + length, parts[i], part);
        length += part;
        has_any |= part > 0;
    }
    if (!has_any)
        return 0;
    id = name_id((struct view){text, length});
    (void)names_announce(segment, NAME_OBJECT, id, (struct view){text, length},
                         0); /* refused: counted; told again by the next such error */
    return id;
}

static enum weir_failure result_failure(const struct weir_probe_statement_result *result)
{
    enum weir_failure failure = RESULT(result, failure, WEIR_FAILURE_NONE);

    if (failure == WEIR_FAILURE_NONE && RESULT(result, sqlstate, NULL))
        return WEIR_FAILURE_SQLSTATE;
    return failure;
}

static void statement_record(const struct segment *segment, const struct statement *statement,
                             const struct weir_probe_statement_result *result, uint64_t wait_ns,
                             uint64_t now_ns)
{
    struct weir_probe_connection *connection = statement->connection;
    enum weir_failure failure = result_failure(result);
    uint64_t object = failure == WEIR_FAILURE_NONE ? 0 : object_announce(segment, result);
    bool has_context = object || statement->origin.has_context;
    uint32_t length = EVENT_CORE_SIZE + (has_context ? EVENT_CONTEXT_SIZE : 0);
    struct record_statement *record;
    struct lane_record taken;

    if (!lanes_take(segment, length, &taken))
        return;
    record = (struct record_statement *)(void *)taken.header;
    record->head.header.kind = RECORD_STATEMENT;
    record->head.header.length = (uint16_t)length;
    record->head.header.time_ns = now_ns;
    record->head.target = pool_target_name(segment, connection->target);
    record->head.hold_id = statement->hold_id;
    record->head.sequence = statement->sequence;
    record->head.flags = statement->flags | (has_context ? EVENT_HAS_CONTEXT : 0);
    record->fingerprint = statement->fingerprint;
    record->duration_ns = now_ns - statement->begin_ns;
    record->first_byte_ns = statement->first_byte_ns
                                ? clock_between_ns(statement->begin_ns, statement->first_byte_ns)
                                : UNKNOWN_NS;
    record->rows = RESULT(result, rows, ROWS_UNKNOWN);
    sqlstate_copy(RESULT(result, sqlstate, NULL), record->sqlstate);
    record->failure = (uint8_t)failure;
    record->slot = connection_slot(connection);
    record->call_site = statement->origin.call_site;
    record->wait_ns = wait_ns;
    if (has_context)
        origin_write(&statement->origin, object, connection->backend_pid,
                     (struct event_context *)(void *)(record + 1));
    lanes_publish(segment, &taken);
}

/* Takes the statement off the ring of open ones; the next oldest is the next that has not ended. */
static void statement_close(struct weir_probe_connection *connection, uint32_t sequence)
{
    struct open_statement *open = &connection->open[sequence % OPEN_STATEMENTS];
    uint32_t newest = connection->hold.statements, next;

    if (open->sequence == sequence)
        open->sequence = 0;
    if (!connection->statements_open) {
        connection->oldest_open = 0;
        return;
    }
    if (connection->oldest_open != sequence)
        return;
    for (next = sequence + 1; next <= newest; next++)
        if (newest - next >= OPEN_STATEMENTS ||
            connection->open[next % OPEN_STATEMENTS].sequence == next)
            break;
    connection->oldest_open = next <= newest ? next : 0;
}

void statement_end(struct weir_probe_statement *room,
                   const struct weir_probe_statement_result *result)
{
    struct statement *statement = statement_in(room);
    struct weir_probe_connection *connection;
    const struct segment *segment;
    uint64_t now_ns, wait_ns = UNKNOWN_NS;
    bool is_over;

    if (!room || !statement->connection)
        return;
    connection = statement->connection;
    segment = connection_enter(connection);
    if (!segment || segment->generation != statement->generation)
        return;
    now_ns = probe_clock_ns();
    if (now_ns < statement->begin_ns)
        now_ns = statement->begin_ns;
    hold_advance(connection, now_ns);
    if (connection->statements_open)
        connection->statements_open--;
    statement->flags |= event_flags(RESULT(result, flags, 0));
    if (connection->transaction.begin_ns)
        statement->flags |= STATEMENT_IN_TRANSACTION;
    if (statement->hold_id == connection->hold.id) {
        statement_close(connection, statement->sequence);
        if (statement->sequence == 1)
            wait_ns = connection->hold.wait_ns;
    }
    is_over = hold_is_over(connection);
    if (is_over && connection->hold.statements == 1)
        statement->flags |= STATEMENT_IS_HOLD;
    statement_record(segment, statement, result, wait_ns, now_ns);
    if (is_over)
        hold_end(segment, connection, now_ns, connection->hold.statements > 1);
    if (connection->slot == BOARD_NO_PLACE)
        atomic_fetch_sub_explicit(&segment->process->statements_open, 1, memory_order_release);
    statement_show_end(segment, connection, now_ns);
    statement->connection = NULL;
}

/* ---- prepared -------------------------------------------------------------------------------- */

void statement_prepare(struct weir_probe_connection *connection, const struct weir_probe_text *kept,
                       enum weir_prepare_action action, uint64_t duration_ns, const char *sqlstate)
{
    const struct segment *segment = connection ? connection_enter(connection) : NULL;
    struct text_identity text;
    struct origin origin;
    struct lane_record taken;
    struct record_prepare *record;

    if (!segment)
        return;
    origin_of_thread(segment, &origin);
    text_identify_kept(segment, kept, &origin, &text);
    if (!lanes_take(segment, EVENT_CORE_SIZE, &taken))
        return;
    record = (struct record_prepare *)(void *)taken.header;
    *record = (struct record_prepare){
        .fingerprint = text.fingerprint,
        .duration_ns = duration_ns,
        .failure = sqlstate ? FAILURE_SQLSTATE : FAILURE_NONE,
        .slot = connection_slot(connection),
        .action = (uint8_t)action,
    };
    sqlstate_copy(sqlstate, record->sqlstate);
    connection_event_head(segment, connection, RECORD_PREPARE, EVENT_CORE_SIZE, probe_clock_ns(),
                          &record->head);
    lanes_publish(segment, &taken);
}
