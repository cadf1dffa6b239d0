#include "proto/wire/conformance/show_record.h"

#include <stdio.h>

#include "proto/wire/conformance/json_line.h"
#include "proto/wire/record_check.h"

static const char *const kind_tokens[RECORD_KIND_END] = {
    [RECORD_PAD] = "pad",
    [RECORD_NAME] = "name",
    [RECORD_CONNECT] = "connect",
    [RECORD_CLOSE] = "close",
    [RECORD_ACQUIRE] = "acquire",
    [RECORD_RELEASE] = "release",
    [RECORD_STATEMENT] = "statement",
    [RECORD_TRANSACTION] = "transaction",
    [RECORD_PREPARE] = "prepare",
    [RECORD_CANCEL] = "cancel",
    [RECORD_PARAMETERS] = "parameters",
    [RECORD_POOL_STATE] = "pool_state",
};

static const char *const name_kind_tokens[NAME_KIND_END] = {
    [NAME_STATEMENT] = "statement", [NAME_CALL_SITE] = "call_site",
    [NAME_TENANT] = "tenant",       [NAME_TARGET] = "target",
    [NAME_OBJECT] = "object",       [NAME_TRACESTATE] = "tracestate",
};

static const char *const flag_tokens[] = {
    [0] = "has_context",  [8] = "late_fetch", [9] = "pipelined",       [10] = "single_row",
    [11] = "copy_in",     [12] = "copy_out",  [13] = "prepared",       [14] = "is_hold",
    [15] = "cut",         [16] = "malformed", [17] = "in_transaction", [20] = "is_reset",
    [21] = "rolled_back", [22] = "read_only", [23] = "has_acquire",    [24] = "has_waiters",
    [25] = "has_limits",
};

static const char *failure_token(uint8_t failure)
{
    switch ((enum failure)failure) {
    case FAILURE_NONE:
        return "none";
    case FAILURE_SQLSTATE:
        return "sqlstate";
#define FAILURE(value, token)                                                                      \
    case value:                                                                                    \
        return token;
#include "proto/wire/failure.def"
#undef FAILURE
    case FAILURE_END:
    default:
        return "unknown";
    }
}

static void show_sqlstate(const char sqlstate[5])
{
    json_text("sqlstate", (struct view){sqlstate, sqlstate[0] ? 5 : 0});
}

static void show_failure(const char sqlstate[5], uint8_t failure)
{
    show_sqlstate(sqlstate);
    json_token("failure", failure_token(failure));
}

static void show_slot(uint16_t slot)
{
    json_number_or_null("slot", slot, RECORD_NO_SLOT);
}

static void show_statement(const struct record_statement *statement)
{
    json_hex("fingerprint", statement->fingerprint);
    json_number("duration_ns", statement->duration_ns);
    json_number_or_null("first_byte_ns", statement->first_byte_ns, UNKNOWN_NS);
    json_number_or_null("rows", statement->rows, ROWS_UNKNOWN);
    show_failure(statement->sqlstate, statement->failure);
    show_slot(statement->slot);
    json_hex("call_site", statement->call_site);
    json_number("wait_ns", statement->wait_ns);
}

static void show_connect(const struct record_connect *connect)
{
    json_hex("connection", connect->connection);
    json_number("duration_ns", connect->duration_ns);
    json_number("backend_pid", connect->backend_pid);
    show_failure(connect->sqlstate, connect->failure);
    show_slot(connect->slot);
}

static void show_close(const struct record_close *closed)
{
    json_hex("connection", closed->connection);
    json_number("lifetime_ns", closed->lifetime_ns);
    show_failure(closed->sqlstate, closed->failure);
    show_slot(closed->slot);
}

static void show_acquire(const struct record_acquire *acquire)
{
    json_number("wait_ns", acquire->wait_ns);
    show_failure(acquire->sqlstate, acquire->failure);
    show_slot(acquire->slot);
    json_hex("call_site", acquire->call_site);
}

static void show_release(const struct record_release *release)
{
    json_number("use_ns", release->use_ns);
    json_number("executing_ns", release->executing_ns);
    json_number("idle_in_transaction_ns", release->idle_in_transaction_ns);
    json_number("idle_ns", release->idle_ns);
    show_slot(release->slot);
    json_hex("call_site", release->call_site);
    json_number("wait_ns", release->wait_ns);
}

static void show_transaction(const struct record_transaction *transaction)
{
    static const char *const outcomes[] = {"", "committed", "rolled_back", "unknown"};

    json_number("duration_ns", transaction->duration_ns);
    json_number("executing_ns", transaction->executing_ns);
    show_sqlstate(transaction->sqlstate);
    json_token("outcome", outcomes[transaction->outcome]); /* checked */
    show_slot(transaction->slot);
    json_hex("call_site", transaction->call_site);
}

static void show_prepare(const struct record_prepare *prepare)
{
    static const char *const actions[] = {"", "parse", "sql", "deallocate"};

    json_hex("fingerprint", prepare->fingerprint);
    json_number("duration_ns", prepare->duration_ns);
    show_failure(prepare->sqlstate, prepare->failure);
    show_slot(prepare->slot);
    json_token("action", actions[prepare->action]); /* checked */
}

static void show_cancel(const struct record_cancel *cancel)
{
    json_hex("fingerprint", cancel->fingerprint);
    show_failure(cancel->sqlstate, cancel->failure);
    show_slot(cancel->slot);
}

static void show_parameters(const struct record_parameters *parameters)
{
    struct view bytes = record_parameter_bytes(&parameters->head.header);

    json_hex("fingerprint", parameters->fingerprint);
    json_number("count", parameters->count);
    json_bytes("bytes", bytes.bytes, bytes.length);
}

static void show_pool_state(const struct record_pool_state *state)
{
    json_number("max", state->connections_max);
    json_number("min", state->connections_min);
    json_number("idle_max", state->idle_max);
    json_number("idle_min", state->idle_min);
    json_number("used", state->used);
    json_number("idle", state->idle);
    json_number("waiting", state->waiting);
    json_number("connecting", state->connecting);
    json_number("timeouts", state->timeouts);
}

static void show_context(const struct event_context *context)
{
    json_bytes("trace_id", context->trace_id, sizeof(context->trace_id));
    json_bytes("parent_span_id", context->parent_span_id, sizeof(context->parent_span_id));
    json_number("trace_flags", context->trace_flags);
    json_hex("tenant", context->tenant);
    json_hex("object", context->object);
    json_hex("tracestate", context->tracestate);
    json_number("backend_pid_of_context", context->backend_pid);
}

static void show_event(const struct record_header *record)
{
    const struct event_head *head = (const struct event_head *)(const void *)record;
    const struct event_context *context = record_context(record);
    const void *event = record;

    json_number("number", record->number);
    json_number("time_ns", record->time_ns);
    json_hex("target", head->target);
    json_hex("hold", head->hold_id);
    json_number("sequence", head->sequence);
    json_flags("flags", head->flags, flag_tokens, sizeof(flag_tokens) / sizeof(flag_tokens[0]));
    if (record->kind == RECORD_STATEMENT)
        show_statement(event);
    else if (record->kind == RECORD_CONNECT)
        show_connect(event);
    else if (record->kind == RECORD_CLOSE)
        show_close(event);
    else if (record->kind == RECORD_ACQUIRE)
        show_acquire(event);
    else if (record->kind == RECORD_RELEASE)
        show_release(event);
    else if (record->kind == RECORD_TRANSACTION)
        show_transaction(event);
    else if (record->kind == RECORD_PREPARE)
        show_prepare(event);
    else if (record->kind == RECORD_CANCEL)
        show_cancel(event);
    else if (record->kind == RECORD_PARAMETERS)
        show_parameters(event);
    else
        show_pool_state(event);
    if (context)
        show_context(context);
}

/* True: its text is UTF-8. */
static bool show_name(const struct record_header *record)
{
    const struct record_name *name = (const struct record_name *)(const void *)record;

    json_number("number", record->number);
    json_number("time_ns", record->time_ns);
    json_hex("id", name->id);
    json_token("name_kind", name_kind_tokens[name->name_kind]); /* checked */
    json_bool("cut", name->flags & NAME_CUT);
    return json_text("text", record_name_text(record));
}

/* Why @record cannot stand at @place, or NULL. */
static const char *record_misplaced(const struct record_header *record, enum record_place place)
{
    if (place == PLACE_NAMES && record->kind != RECORD_NAME)
        return "the names ring holds names alone";
    if (place == PLACE_LANE && record->kind == RECORD_NAME)
        return "names stand in the names ring alone";
    if (place == PLACE_LANE && record->kind == RECORD_POOL_STATE)
        return "a segment's pool states stand on its board";
    return NULL;
}

static bool show_fault(const struct record_header *record, uint64_t at, const char *fault,
                       const char *what)
{
    json_line_begin_fault(at, fault);
    json_number("kind", record->kind);
    json_number("length", record->length);
    json_token("what", what);
    json_line_end();
    return false;
}

bool show_record(const struct record_header *record, uint64_t at, enum record_place place)
{
    int r = record_check(record);

    if (r == RECORD_E_LENGTH)
        return show_fault(record, at, "record_length",
                          "shorter than its kind, flags or inner lengths need");
    if (r == RECORD_E_ENUM)
        return show_fault(record, at, "record_value", "a value outside its closed list");
    if (r == RECORD_E_TEXT)
        return show_fault(record, at, "record_text",
                          "an sqlstate that is not five printable characters");
    if (r == RECORD_E_UNKNOWN_KIND) {
        json_line_begin(at, "unknown_kind");
        json_number("kind", record->kind);
        json_number("length", record->length);
        json_line_end();
        return true;
    }
    if (record_misplaced(record, place))
        return show_fault(record, at, "record_place", record_misplaced(record, place));
    json_line_begin(at, kind_tokens[record->kind]);
    if (record->kind != RECORD_NAME) {
        show_event(record);
        json_line_end();
        return true;
    }
    if (show_name(record)) {
        json_line_end();
        return true;
    }
    json_line_end();
    return show_fault(record, at, "record_utf8", "a name's text is not UTF-8");
}
