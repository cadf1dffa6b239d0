#include "agent/serve/api.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "agent/serve/utf8.h"

enum { TEXT_BYTES_MAX = 1024 * 1024 };

struct writer {
    const struct serve_source *source;
    struct buffer *out;
    struct buffer text; /* one value made safe */
    bool has_rows;
    bool has_failed;
    struct ledger_row total;
    uint64_t tails_unknown;
};

static int bytes_append(const char *bytes, size_t length, void *userdata)
{
    struct buffer *out = userdata;
    buffer_append(out, bytes, length);
    return out->failed ? -1 : 0;
}

/* Appends one value and frees it. */
static void value_write(struct writer *writer, json_t *value)
{
    size_t flags = JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15);

    if (!value || json_dump_callback(value, bytes_append, writer->out, flags) != 0)
        writer->has_failed = true;
    json_decref(value);
}

static void row_write(struct writer *writer, json_t *row)
{
    if (writer->has_rows)
        buffer_append_char(writer->out, ',');
    writer->has_rows = true;
    value_write(writer, row);
}

static void set(struct writer *writer, json_t *row, const char *key, json_t *value)
{
    if (json_object_set_new(row, key, value) != 0)
        writer->has_failed = true;
}

/* Empty is unknown, and unknown is null. */
static void set_text(struct writer *writer, json_t *row, const char *key, struct view text)
{
    buffer_clear(&writer->text);
    utf8_append(&writer->text, text);
    if (writer->text.length == 0)
        set(writer, row, key, json_null());
    else
        set(writer, row, key, json_stringn(writer->text.bytes, writer->text.length));
}

static void set_count(struct writer *writer, json_t *row, const char *key, uint64_t count)
{
    set(writer, row, key, json_integer(count > INT64_MAX ? INT64_MAX : (json_int_t)count));
}

static void set_known(struct writer *writer, json_t *row, const char *key, bool is_known,
                      uint64_t count)
{
    if (is_known)
        set_count(writer, row, key, count);
    else
        set(writer, row, key, json_null());
}

static void set_number(struct writer *writer, json_t *row, const char *key, double number)
{
    set(writer, row, key, isfinite(number) ? json_real(number) : json_null());
}

static void set_hex(struct writer *writer, json_t *row, const char *key, const uint8_t *bytes,
                    size_t length)
{
    char hex[33];
    bool is_zero = true;

    for (size_t i = 0; i < length && i < sizeof(hex) / 2; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
        is_zero = is_zero && bytes[i] == 0;
    }
    set(writer, row, key, is_zero ? json_null() : json_string(hex));
}

static void set_fingerprint(struct writer *writer, json_t *row, uint64_t fingerprint)
{
    char hex[17];

    (void)snprintf(hex, sizeof(hex), "%016" PRIx64, fingerprint);
    set(writer, row, "fingerprint", fingerprint == 0 ? json_null() : json_string(hex));
}

static void set_name(struct writer *writer, json_t *row, const char *key, enum name_kind kind,
                     uint64_t id)
{
    struct names *names = writer->source->names;
    set_text(writer, row, key,
             names && id != 0 ? names_find(names, kind, id) : (struct view){NULL, 0});
}

static void set_pool(struct writer *writer, json_t *row, uint64_t target)
{
    struct names *names = writer->source->names;
    struct view pool = {NULL, 0};

    if (names && target != 0)
        pool = target_parse(names_find(names, NAME_TARGET, target)).pool;
    set_text(writer, row, "pool", pool);
}

static void set_process(struct writer *writer, json_t *row, const struct process *process)
{
    set_text(writer, row, "service", attributes_text(process->resource, "service.name"));
    set_text(writer, row, "instance", attributes_text(process->resource, "service.instance.id"));
    set_count(writer, row, "pid", process->pid);
}

static double seconds_since(const struct live_board *board, uint64_t since_ns)
{
    if (since_ns == 0)
        return NAN;
    return since_ns > board->now_ns ? 0 : (double)(board->now_ns - since_ns) / 1e9;
}

static void statement_write(void *userdata, const struct statement_row *statement)
{
    struct writer *writer = userdata;
    json_t *row = json_object();

    set_fingerprint(writer, row, statement->fingerprint);
    bool is_other = statement->fingerprint == 0;
    set_text(writer, row, "summary", is_other ? VIEW_LITERAL("other") : statement->summary);
    set_text(writer, row, "text", is_other ? VIEW_LITERAL("other") : statement->text);
    set_text(writer, row, "namespace", statement->namespace);
    set_text(writer, row, "pool", statement->pool);
    set_text(writer, row, "service", statement->service);
    set_text(writer, row, "instance", statement->instance);
    set_count(writer, row, "calls", statement->calls);
    set_count(writer, row, "errors", statement->errors);
    set_count(writer, row, "rows", statement->rows);
    set_number(writer, row, "total_seconds", statement->total_seconds);
    set_number(writer, row, "p50_seconds", statement->p50_seconds);
    set_number(writer, row, "p95_seconds", statement->p95_seconds);
    set_number(writer, row, "p99_seconds", statement->p99_seconds);
    set_number(writer, row, "max_seconds", statement->max_seconds);
    row_write(writer, row);
}

static void board_pools_write(void *userdata, const struct live_board *board)
{
    struct writer *writer = userdata;

    for (size_t i = 0; i < board->pool_count; i++) {
        const struct live_pool *pool = &board->pools[i];
        bool has_limits = pool->flags & POOL_HAS_LIMITS;
        bool has_waiters = pool->flags & POOL_HAS_WAITERS;
        json_t *row = json_object();

        set_process(writer, row, board->process);
        set_pool(writer, row, pool->target);
        set_count(writer, row, "used", pool->used);
        set_count(writer, row, "idle", pool->idle);
        set_known(writer, row, "waiting", has_waiters, pool->waiting);
        set_count(writer, row, "connecting", pool->connecting);
        set_known(writer, row, "max", has_limits, pool->connections_max);
        set_known(writer, row, "min", has_limits, pool->connections_min);
        set_known(writer, row, "timeouts", has_waiters, pool->timeouts);
        row_write(writer, row);
    }
}

static const char *state_name(enum slot_state state)
{
    switch (state) {
    case SLOT_FREE:
        break;
    case SLOT_CONNECTING:
        return "connecting";
    case SLOT_IDLE:
        return "idle";
    case SLOT_HELD:
        return "held";
    case SLOT_EXECUTING:
        return "executing";
    case SLOT_IDLE_IN_TRANSACTION:
        return "idle_in_transaction";
    case SLOT_LISTENING:
        return "listening";
    }
    return "";
}

static void board_connections_write(void *userdata, const struct live_board *board)
{
    struct writer *writer = userdata;

    for (size_t i = 0; i < board->connection_count; i++) {
        const struct live_connection *connection = &board->connections[i];
        json_t *row = json_object();

        set_process(writer, row, board->process);
        set_pool(writer, row, connection->target);
        set_known(writer, row, "backend_pid", connection->backend_pid != 0,
                  connection->backend_pid);
        set_text(writer, row, "state", view_from(state_name(connection->state)));
        set_number(writer, row, "since_seconds", seconds_since(board, connection->since_ns));
        set_number(writer, row, "held_seconds", seconds_since(board, connection->acquired_ns));
        set_fingerprint(writer, row, connection->fingerprint);
        set_name(writer, row, "call_site", NAME_CALL_SITE, connection->call_site);
        set_name(writer, row, "tenant", NAME_TENANT, connection->tenant);
        set_hex(writer, row, "trace_id", connection->trace_id, sizeof(connection->trace_id));
        set(writer, row, "torn", json_boolean(connection->torn));
        row_write(writer, row);
    }
}

static void board_waiters_write(void *userdata, const struct live_board *board)
{
    struct writer *writer = userdata;

    for (size_t i = 0; i < board->waiter_count; i++) {
        const struct live_waiter *waiter = &board->waiters[i];
        json_t *row = json_object();

        set_process(writer, row, board->process);
        set_pool(writer, row,
                 waiter->pool < board->pool_count ? board->pools[waiter->pool].target : 0);
        set_number(writer, row, "waiting_seconds", seconds_since(board, waiter->since_ns));
        set_name(writer, row, "call_site", NAME_CALL_SITE, waiter->call_site);
        set_name(writer, row, "tenant", NAME_TENANT, waiter->tenant);
        set_hex(writer, row, "trace_id", waiter->trace_id, sizeof(waiter->trace_id));
        row_write(writer, row);
    }
}

static void set_ledger(struct writer *writer, json_t *row, const struct ledger_row *ledger)
{
    json_t *dropped = json_object();

    set_count(writer, row, "recorded", ledger->recorded);
    set_count(writer, row, "exported", ledger->exported);
    set_count(writer, row, "buffered", ledger->in_lanes + ledger->read);
    for (size_t i = 0; i < DROP_END; i++)
        set_count(writer, dropped, drop_tokens[i], ledger->dropped[i]);
    set(writer, row, "dropped", dropped);
    set(writer, row, "imbalance", json_integer(ledger->imbalance));
}

static void total_add(struct writer *writer, const struct ledger_row *ledger)
{
    writer->total.recorded += ledger->recorded;
    writer->total.exported += ledger->exported;
    writer->total.in_lanes += ledger->in_lanes;
    writer->total.read += ledger->read;
    writer->total.imbalance += ledger->imbalance;
    writer->tails_unknown += ledger->tail_unknown;
    for (size_t i = 0; i < DROP_END; i++)
        writer->total.dropped[i] += ledger->dropped[i];
}

static void ledger_process_write(void *userdata, const struct ledger_row *ledger)
{
    struct writer *writer = userdata;
    json_t *row = json_object();

    set_text(writer, row, "service", view_from(ledger->service));
    set_text(writer, row, "instance", view_from(ledger->instance));
    set_known(writer, row, "pid", ledger->pid != 0, ledger->pid);
    set_hex(writer, row, "client", ledger->client_id, sizeof(ledger->client_id));
    set_ledger(writer, row, ledger);
    set(writer, row, "tail_unknown", json_boolean(ledger->tail_unknown));
    set(writer, row, "alive", json_boolean(ledger->is_alive));
    set_text(writer, row, "observed", view_from(observed_token(ledger->observed)));
    row_write(writer, row);
    total_add(writer, ledger);
}

static void statements_write(struct writer *writer)
{
    writer->source->statements(writer->source->userdata, statement_write, writer);
}

static void pools_write(struct writer *writer)
{
    writer->source->boards(writer->source->userdata, board_pools_write, writer);
}

static void connections_write(struct writer *writer)
{
    writer->source->boards(writer->source->userdata, board_connections_write, writer);
}

static void waiters_write(struct writer *writer)
{
    writer->source->boards(writer->source->userdata, board_waiters_write, writer);
}

/* No stage opens incidents: the list of them is empty. */
static void incidents_write(struct writer *writer)
{
    (void)writer;
}

static void ledger_write(struct writer *writer)
{
    json_t *total = json_object();

    buffer_append_text(writer->out, "{\"processes\":[");
    writer->source->ledger(writer->source->userdata, ledger_process_write, writer);
    buffer_append_text(writer->out, "],\"total\":");
    set_ledger(writer, total, &writer->total);
    set_count(writer, total, "tail_unknown", writer->tails_unknown);
    value_write(writer, total);
    buffer_append_char(writer->out, '}');
}

static void config_write(struct writer *writer)
{
    CLEANUP(freep) char *text = writer->source->config_json(writer->source->userdata);

    if (text)
        buffer_append_text(writer->out, text);
    else
        writer->has_failed = true;
}

int api_write(const struct serve_source *source, const char *name, struct buffer *out)
{
    static const struct {
        const char *name;
        bool is_array;
        void (*write)(struct writer *writer);
    } answers[] = {
        {"statements", true, statements_write},   {"pools", true, pools_write},
        {"connections", true, connections_write}, {"waiters", true, waiters_write},
        {"incidents", true, incidents_write},     {"ledger", false, ledger_write},
        {"config", false, config_write},
    };
    struct writer writer = {.source = source, .out = out};

    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        if (strcmp(answers[i].name, name) != 0)
            continue;
        buffer_init(&writer.text, TEXT_BYTES_MAX);
        if (answers[i].is_array)
            buffer_append_char(out, '[');
        answers[i].write(&writer);
        buffer_append_text(out, answers[i].is_array ? "]\n" : "\n");
        buffer_deinit(&writer.text);
        return writer.has_failed || out->failed ? -ENOMEM : 0;
    }
    return API_E_UNKNOWN;
}
