/* The wire's golden bytes: our writer half makes exactly them, and our reader half reads out of
 * them what was written. With --write DIRECTORY it makes the files anew, which only a new version
 * of the wire may ask for. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Counts on those above. */
#include <cmocka.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/cleanup.h"
#include "proto/wire/board_reader.h"
#include "proto/wire/board_writer.h"
#include "proto/wire/frame_reader.h"
#include "proto/wire/hello.h"
#include "proto/wire/message_codec.h"
#include "proto/wire/record_check.h"
#include "proto/wire/segment_plan.h"

enum {
    SEGMENT_BYTES = SEGMENT_SIZE_MIN,
    MESSAGE_BYTES = 16 << 10,
    LAP_STATEMENTS = 211, /* of 96 bytes: they leave 32 bytes of a lane of 20,288 for a PAD */
};

#define FINGERPRINT   UINT64_C(0xf1f2f3f4f5f6f7f8)
#define HOLD          UINT64_C(0x0a0b0c0d00000001)
#define CONNECTION    UINT64_C(0xc0c1c2c3c4c5c6c7)
#define MONOTONIC_NS  UINT64_C(1000000000000) /* 1,000 s: in the seventeenth window of 60 s */
#define REALTIME_NS   UINT64_C(1700000000123456789)
#define TARGET_TEXT   "primary\nshop\n10.0.0.5\n5432"
#define SITE_TEXT     "0badc0ffee0ddf00d0badc0ffee0ddf00d0badc0+0x4711"
#define TENANT_TEXT   "acme"
#define OBJECT_TEXT   "orders_pkey\norders\nid"
#define STATE_TEXT    "vendor=value"
#define TEXT          "SELECT name FROM shop WHERE id = $1"
#define LONG_TEXT     "SELECT \xc3\xa4\xe2\x82\xac FROM \"t\\\"\n"
#define EVENT_TIME_NS (MONOTONIC_NS + 5000000000u)

static const uint8_t client_id[16] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
                                      0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10};
static const uint8_t trace_id[16] = {0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6,
                                     0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36};
static const uint8_t parent_span_id[8] = {0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7};

static const char *directory;
static bool is_writing;

static uint64_t id_of(const char *text)
{
    uint64_t hash = XXH3_64bits(text, strlen(text));

    return hash ? hash : 1;
}

/* ---- records --------------------------------------------------------------------------------- */

/* Each kind once; @number as in a frame. The bytes outside what is set are zero. */
union any_record {
    struct record_header header;
    struct event_head head;
    struct record_name name;
    struct record_statement statement;
    struct record_connect connect;
    struct record_close closed;
    struct record_acquire acquire;
    struct record_release release;
    struct record_transaction transaction;
    struct record_prepare prepare;
    struct record_cancel cancel;
    struct record_parameters parameters;
    struct record_pool_state pool_state;
    char bytes[512];
};

static struct event_context *begin_event(union any_record *record, enum record_kind kind,
                                         uint32_t number, uint32_t flags, uint16_t behind)
{
    bool has_context = flags & EVENT_HAS_CONTEXT;

    memset(record, 0, sizeof(*record));
    record->header.kind = (uint16_t)kind;
    record->header.length =
        (uint16_t)(EVENT_CORE_SIZE + (has_context ? EVENT_CONTEXT_SIZE : 0) + behind);
    record->header.number = number;
    record->header.time_ns = EVENT_TIME_NS + number * 1000000u;
    record->head.target = id_of(TARGET_TEXT);
    record->head.flags = flags;
    return (struct event_context *)(void *)(record->bytes + EVENT_CORE_SIZE);
}

static void make_name(union any_record *record, enum name_kind kind, uint64_t id, const char *text,
                      uint16_t flags)
{
    uint32_t length = (uint32_t)strlen(text);

    memset(record, 0, sizeof(*record));
    record->name = (struct record_name){
        .header = {.kind = RECORD_NAME,
                   .length = (uint16_t)((sizeof(record->name) + length + 31) / 32 * 32),
                   .time_ns = EVENT_TIME_NS},
        .id = id,
        .name_kind = (uint16_t)kind,
        .flags = flags,
        .text_length = length,
    };
    memcpy(&record->name + 1, text, length);
}

static void make_connect(union any_record *record, uint32_t number)
{
    begin_event(record, RECORD_CONNECT, number, 0, 0);
    record->connect.connection = CONNECTION;
    record->connect.duration_ns = 2500000;
    record->connect.backend_pid = 4242;
    record->connect.slot = 0;
}

static void make_close(union any_record *record, uint32_t number)
{
    begin_event(record, RECORD_CLOSE, number, 0, 0);
    record->closed.connection = CONNECTION;
    record->closed.lifetime_ns = UINT64_C(3600000000000);
    memcpy(record->closed.sqlstate, "57P01", 5);
    record->closed.failure = FAILURE_SQLSTATE;
    record->closed.slot = 0;
}

static void make_acquire(union any_record *record, uint32_t number)
{
    begin_event(record, RECORD_ACQUIRE, number, 0, 0);
    record->acquire.wait_ns = 30000000000u;
    record->acquire.failure = FAILURE_TIMEOUT;
    record->acquire.slot = RECORD_NO_SLOT;
    record->acquire.call_site = id_of(SITE_TEXT);
}

static void make_release(union any_record *record, uint32_t number)
{
    begin_event(record, RECORD_RELEASE, number, RELEASE_ROLLED_BACK | RELEASE_HAS_ACQUIRE, 0);
    record->head.hold_id = HOLD;
    record->head.sequence = 2;
    record->release.use_ns = 60;
    record->release.executing_ns = 30;
    record->release.idle_in_transaction_ns = 20;
    record->release.idle_ns = 10;
    record->release.slot = 0;
    record->release.call_site = id_of(SITE_TEXT);
    record->release.wait_ns = 7;
}

static void make_statement(union any_record *record, uint32_t number)
{
    begin_event(record, RECORD_STATEMENT, number, STATEMENT_PREPARED | STATEMENT_IN_TRANSACTION, 0);
    record->head.hold_id = HOLD;
    record->head.sequence = 1;
    record->statement.fingerprint = FINGERPRINT;
    record->statement.duration_ns = 1250000;
    record->statement.first_byte_ns = 900000;
    record->statement.rows = 3;
    record->statement.slot = 0;
    record->statement.call_site = id_of(SITE_TEXT);
    record->statement.wait_ns = 7;
}

/* One that failed, with all that a context holds. */
static void make_failed_statement(union any_record *record, uint32_t number)
{
    struct event_context *context =
        begin_event(record, RECORD_STATEMENT, number, EVENT_HAS_CONTEXT | STATEMENT_IS_HOLD, 0);

    record->head.hold_id = HOLD;
    record->head.sequence = 2;
    record->statement.fingerprint = FINGERPRINT;
    record->statement.duration_ns = 2000000;
    record->statement.first_byte_ns = UNKNOWN_NS;
    record->statement.rows = ROWS_UNKNOWN;
    memcpy(record->statement.sqlstate, "23505", 5);
    record->statement.failure = FAILURE_SQLSTATE;
    record->statement.slot = RECORD_NO_SLOT;
    memcpy(context->trace_id, trace_id, sizeof(trace_id));
    memcpy(context->parent_span_id, parent_span_id, sizeof(parent_span_id));
    context->tenant = id_of(TENANT_TEXT);
    context->object = id_of(OBJECT_TEXT);
    context->tracestate = id_of(STATE_TEXT);
    context->backend_pid = 4242;
    context->trace_flags = 1;
}

static void make_transaction(union any_record *record, uint32_t number)
{
    begin_event(record, RECORD_TRANSACTION, number, TRANSACTION_READ_ONLY, 0);
    record->head.hold_id = HOLD;
    record->head.sequence = 2;
    record->transaction.duration_ns = 50;
    record->transaction.executing_ns = 30;
    record->transaction.outcome = TRANSACTION_ROLLED_BACK;
    record->transaction.slot = 0;
    record->transaction.call_site = id_of(SITE_TEXT);
}

static void make_prepare(union any_record *record, uint32_t number)
{
    begin_event(record, RECORD_PREPARE, number, 0, 0);
    record->prepare.fingerprint = FINGERPRINT;
    record->prepare.duration_ns = 400000;
    record->prepare.slot = 0;
    record->prepare.action = PREPARE_PARSE;
}

static void make_cancel(union any_record *record, uint32_t number)
{
    begin_event(record, RECORD_CANCEL, number, 0, 0);
    record->cancel.fingerprint = FINGERPRINT;
    record->cancel.failure = FAILURE_CONNECT_FAILED;
    record->cancel.slot = 0;
}

static void make_parameters(union any_record *record, uint32_t number)
{
    begin_event(record, RECORD_PARAMETERS, number, 0, 32);
    record->head.hold_id = HOLD;
    record->head.sequence = 1;
    record->parameters.fingerprint = FINGERPRINT;
    record->parameters.count = 1;
    record->parameters.bytes_length = 9;
    memcpy(record->bytes + EVENT_CORE_SIZE, "\x01\x02\x03\x04\x05\x06\x07\x08\x09", 9);
}

static void make_pool_state(union any_record *record)
{
    begin_event(record, RECORD_POOL_STATE, 0, POOL_STATE_HAS_WAITERS | POOL_STATE_HAS_LIMITS, 0);
    record->pool_state.connections_max = 10;
    record->pool_state.connections_min = 2;
    record->pool_state.idle_max = 5;
    record->pool_state.idle_min = 1;
    record->pool_state.used = 3;
    record->pool_state.idle = 4;
    record->pool_state.waiting = 2;
    record->pool_state.connecting = 1;
    record->pool_state.timeouts = 17;
}

/* Of a version to come: a reader skips it. */
static void make_unknown(union any_record *record, uint32_t number)
{
    begin_event(record, (enum record_kind)200, number, 0, 0);
}

static void make_target(union any_record *record)
{
    make_name(record, NAME_TARGET, id_of(TARGET_TEXT), TARGET_TEXT, 0);
}

/* The events of every kind, numbered from 0; returns how many. */
static uint32_t each_event(void (*fn)(const union any_record *record, void *userdata),
                           void *userdata)
{
    static void (*const makers[])(union any_record * record, uint32_t number) = {
        make_connect,    make_prepare,     make_statement, make_failed_statement,
        make_parameters, make_transaction, make_release,   make_acquire,
        make_cancel,     make_close,       make_unknown,
    };
    const uint32_t count = sizeof(makers) / sizeof(makers[0]);

    for (uint32_t i = 0; i < count; i++) {
        union any_record record;
        makers[i](&record, i);
        fn(&record, userdata);
    }
    return count;
}

static void each_name(void (*fn)(const union any_record *record, void *userdata), void *userdata)
{
    static const struct {
        enum name_kind kind;
        const char *text;
    } names[] = {{NAME_TARGET, TARGET_TEXT},
                 {NAME_CALL_SITE, SITE_TEXT},
                 {NAME_TENANT, TENANT_TEXT},
                 {NAME_OBJECT, OBJECT_TEXT},
                 {NAME_TRACESTATE, STATE_TEXT}};
    union any_record record;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        make_name(&record, names[i].kind, id_of(names[i].text), names[i].text, 0);
        fn(&record, userdata);
    }
    make_name(&record, NAME_STATEMENT, FINGERPRINT, TEXT, 0);
    fn(&record, userdata);
    make_name(&record, NAME_STATEMENT, FINGERPRINT + 1, LONG_TEXT, NAME_CUT);
    fn(&record, userdata);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void fclosep(FILE **file)
{
    if (*file)
        (void)fclose(*file);
}

static FILE *golden_open(const char *name, const char *mode)
{
    char path[4096];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    file = fopen(path, mode);
    if (!file)
        fail_msg("%s: %s", path, strerror(errno));
    return file;
}

/* The golden file @name, of @length bytes; the caller frees it. */
static char *golden_read(const char *name, size_t length)
{
    FILE *CLEANUP(fclosep) file = golden_open(name, "rb");
    char *bytes = aligned_alloc(64, (length + 64) / 64 * 64 + 64);
    size_t found;

    assert_non_null(bytes);
    found = fread(bytes, 1, length + 1, file);
    if (found != length)
        fail_msg("%s is %zu bytes long, not %zu", name, found, length);
    return bytes;
}

/* Writes @bytes, or finds that the golden file @name holds exactly them. */
static void golden(const char *name, const void *bytes, size_t length)
{
    if (is_writing) {
        FILE *CLEANUP(fclosep) file = golden_open(name, "wb");
        assert_int_equal(fwrite(bytes, 1, length, file), length);
        assert_int_equal(fflush(file), 0);
        return;
    }
    char *CLEANUP(freep) expected = golden_read(name, length);
    for (size_t i = 0; i < length; i++) {
        if (expected[i] != ((const char *)bytes)[i])
            fail_msg("%s: byte %zu is %02x, we write %02x", name, i, (unsigned char)expected[i],
                     ((const unsigned char *)bytes)[i]);
    }
}

/* ---- messages -------------------------------------------------------------------------------- */

static size_t make_hello(char *bytes, enum hello_kind kind)
{
    struct hello_fields fields = {
        .kind = kind, .pid = 4711, .monotonic_ns = MONOTONIC_NS, .realtime_ns = REALTIME_NS};
    struct hello_writer writer;

    memcpy(fields.client_id, client_id, sizeof(client_id));
    hello_begin(&writer, bytes, MESSAGE_BYTES, &fields);
    assert_true(hello_attribute(&writer, view_from(HELLO_KEY_SHIM_NAME), view_from("golden")));
    assert_true(hello_attribute(&writer, view_from(HELLO_KEY_SHIM_VERSION), view_from("1.2.3")));
    assert_true(hello_attribute(&writer, view_from(HELLO_KEY_SERVICE),
                                view_from("b\xc3\xbc"
                                          "cher")));
    assert_true(hello_attribute(&writer, view_from(HELLO_KEY_RESOURCE),
                                view_from("deployment.environment.name=test")));
    return hello_end(&writer);
}

static void test_hello(void **state)
{
    static const struct {
        const char *name;
        enum hello_kind kind;
    } hellos[] = {{"hello_segment.bin", HELLO_SEGMENT},
                  {"hello_segment_without_pidfd.bin", HELLO_SEGMENT_WITHOUT_PIDFD},
                  {"hello_frames.bin", HELLO_FRAMES}};
    char bytes[MESSAGE_BYTES];
    struct hello hello;
    (void)state;

    for (size_t i = 0; i < sizeof(hellos) / sizeof(hellos[0]); i++) {
        size_t length = make_hello(bytes, hellos[i].kind);
        golden(hellos[i].name, bytes, length);
        assert_int_equal(hello_decode((struct view){bytes + 4, length - 4}, &hello), 0);
        assert_int_equal(hello.kind, hellos[i].kind);
        assert_int_equal(hello.pid, 4711);
        assert_memory_equal(hello.client_id, client_id, sizeof(client_id));
        assert_int_equal(hello.monotonic_ns, MONOTONIC_NS);
        assert_int_equal(hello.realtime_ns, REALTIME_NS);
        assert_int_equal(hello.attribute_count, 4);
        assert_true(
            view_equal(hello_find(&hello, view_from(HELLO_KEY_SHIM_NAME)), view_from("golden")));
    }
}

static void test_answers(void **state)
{
    const struct message_version version = {1, 0};
    char bytes[ANSWER_SIZE_MAX];
    struct answer answer;
    size_t length;
    (void)state;

    length = welcome_encode(bytes, sizeof(bytes), version,
                            WELCOME_STOP_RECORDING | WELCOME_ANNOUNCE, 42);
    golden("welcome.bin", bytes, length);
    assert_int_equal(answer_decode((struct view){bytes + 4, length - 4}, &answer), 0);
    assert_int_equal(answer.kind, MESSAGE_WELCOME);
    assert_int_equal(answer.flags, 3);
    assert_int_equal(answer.acknowledged, 42);

    length = refused_encode(bytes, sizeof(bytes), REFUSAL_SEALS, view_from("not sealed"));
    golden("refused.bin", bytes, length);
    assert_int_equal(answer_decode((struct view){bytes + 4, length - 4}, &answer), 0);
    assert_int_equal(answer.kind, MESSAGE_REFUSED);
    assert_int_equal(answer.reason, REFUSAL_SEALS);
    assert_true(view_equal(answer.text, view_from("not sealed")));

    length = ack_encode(bytes, sizeof(bytes), version, UINT64_C(0x100000001));
    golden("ack.bin", bytes, length);
    assert_int_equal(answer_decode((struct view){bytes + 4, length - 4}, &answer), 0);
    assert_int_equal(answer.kind, MESSAGE_ACK);
    assert_int_equal(answer.acknowledged, UINT64_C(0x100000001));
}

static void frame_add(const union any_record *record, void *userdata)
{
    assert_true(frame_append(userdata, &record->header));
}

static void test_frame(void **state)
{
    static struct lane_record_copy copy;
    const struct record_header *record;
    struct frame_writer writer;
    struct frame_reader reader;
    char bytes[MESSAGE_BYTES];
    union any_record state_record;
    uint32_t events = 0, names = 0, unknown = 0, states = 0;
    size_t length;
    (void)state;

    assert_true(frame_begin(&writer, bytes, sizeof(bytes), 7));
    each_name(frame_add, &writer);
    assert_int_equal(each_event(frame_add, &writer), 11);
    make_pool_state(&state_record);
    frame_add(&state_record, &writer);
    length = frame_end(&writer);
    golden("frame.bin", bytes, length);

    assert_int_equal(frame_open(&reader, (struct view){bytes + 4, length - 4}), 0);
    assert_int_equal(reader.number, 7);
    assert_int_equal(reader.record_count, 19);
    while (frame_next(&reader, &copy, &record)) {
        int r = record_check(record);
        if (r == RECORD_E_UNKNOWN_KIND) {
            unknown++;
            continue;
        }
        assert_int_equal(r, 0);
        names += record->kind == RECORD_NAME;
        states += record->kind == RECORD_POOL_STATE;
        if (record->kind == RECORD_NAME || record->kind == RECORD_POOL_STATE)
            continue;
        assert_int_equal(record->number, events);
        events++;
    }
    assert_int_equal(events, 10);
    assert_int_equal(names, 7);
    assert_int_equal(states, 1);
    assert_int_equal(unknown, 1);
}

static void write_record(const union any_record *record, void *userdata)
{
    static const char *const names[RECORD_KIND_END] = {
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
        [RECORD_NAME] = "name",
    };
    const char *name =
        record->header.kind < RECORD_KIND_END ? names[record->header.kind] : "unknown";
    char file[64];
    (void)userdata;

    if (record->header.kind == RECORD_STATEMENT && record->head.flags & EVENT_HAS_CONTEXT)
        name = "statement_with_context";
    (void)snprintf(file, sizeof(file), "record_%s.bin", name);
    golden(file, record->bytes, record->header.length);
}

static void test_records(void **state)
{
    union any_record record;
    (void)state;

    (void)each_event(write_record, NULL);
    make_pool_state(&record);
    write_record(&record, NULL);
    make_target(&record);
    write_record(&record, NULL);
}

/* ---- segment --------------------------------------------------------------------------------- */

/* Puts @record into @userdata, a struct lane, as a shim does. */
static void lane_put(const union any_record *record, void *userdata)
{
    struct lane_record taken;

    if (lane_take(userdata, record->header.length, &taken) != 0) {
        fail_msg("no room in the lane");
        return;
    }
    memcpy(taken.header, record, record->header.length);
    lane_publish(&taken);
}

static void fill_board(struct segment_header *header)
{
    struct board_process *process = segment_process(header);
    struct board_pool *pool = segment_pools(header);
    struct board_slot *slot = segment_slots(header);
    struct board_waiter *waiter = segment_waiters(header);

    BOARD_STORE(process->observed, OBSERVED_YES);
    BOARD_STORE(process->library_version, 150020);
    BOARD_STORE(process->statements_open, 1);
    BOARD_STORE(process->progress, 12);

    BOARD_STORE(pool->flags, POOL_HAS_WAITERS | POOL_HAS_LIMITS);
    BOARD_STORE(pool->connections_max, 10);
    BOARD_STORE(pool->connections_min, 2);
    BOARD_STORE(pool->idle_max, 5);
    BOARD_STORE(pool->idle_min, 1);
    (void)board_pool_move(pool, 0, 3);
    (void)board_pool_move(pool, 2, -2);
    BOARD_STORE(pool->waiting, 1);
    BOARD_STORE(pool->connecting, 1);
    BOARD_STORE(pool->timeouts, 4);
    board_peak_raise(&pool->used_peak, MONOTONIC_NS - BOARD_PEAK_WINDOW_NS, 9);
    board_peak_raise(&pool->used_peak, MONOTONIC_NS, 2);
    board_peak_raise(&pool->waiting_peak, MONOTONIC_NS, 5);
    BOARD_STORE(pool->target, id_of(TARGET_TEXT));

    board_entry_open(&slot->sequence);
    BOARD_STORE(slot->state, SLOT_EXECUTING);
    BOARD_STORE(slot->backend_pid, 4242);
    BOARD_STORE(slot->connection, CONNECTION);
    BOARD_STORE(slot->target, id_of(TARGET_TEXT));
    BOARD_STORE(slot->since_ns, MONOTONIC_NS + 1);
    BOARD_STORE(slot->acquired_ns, MONOTONIC_NS + 2);
    BOARD_STORE(slot->hold_id, HOLD);
    BOARD_STORE(slot->call_site, id_of(SITE_TEXT));
    BOARD_STORE(slot->tenant, id_of(TENANT_TEXT));
    memcpy(slot->trace_id, trace_id, sizeof(trace_id));
    memcpy(&slot->parent_span_id, parent_span_id, sizeof(parent_span_id));
    BOARD_STORE(slot->fingerprint, FINGERPRINT);
    BOARD_STORE(slot->statement_since_ns, MONOTONIC_NS + 3);
    BOARD_STORE(slot->oldest_open, 1);
    BOARD_STORE(slot->newest_sent, 3);
    BOARD_STORE(slot->thread, 77);
    BOARD_STORE(slot->trace_flags, 1);
    BOARD_STORE(slot->opened_ns, MONOTONIC_NS);
    board_entry_close(&slot->sequence);

    /* A writer died inside: read word by word, and marked torn. */
    board_entry_open(&slot[3].sequence);
    BOARD_STORE(slot[3].state, SLOT_LISTENING);
    BOARD_STORE(slot[3].connection, CONNECTION + 1);

    board_entry_open(&waiter->sequence);
    BOARD_STORE(waiter->call_site, id_of(SITE_TEXT));
    BOARD_STORE(waiter->tenant, id_of(TENANT_TEXT));
    memcpy(waiter->trace_id, trace_id, sizeof(trace_id));
    BOARD_STORE(waiter->thread, 78);
    BOARD_STORE(waiter->since_ns, MONOTONIC_NS + 4);
    board_entry_close(&waiter->sequence);
}

/* A lane that was read once around: a PAD, then a record in the second lap. */
static void fill_lap(struct lane *lane)
{
    struct lane_reader reader;
    static struct lane_record_copy copy;
    const struct record_header *read;
    union any_record record;

    for (uint32_t i = 0; i < LAP_STATEMENTS; i++) {
        make_statement(&record, i);
        lane_put(&record, lane);
    }
    assert_int_equal(lane_reader_open(&reader, lane, lane->capacity + (uint32_t)sizeof(*lane)), 0);
    assert_int_equal(lane_reader_look(&reader), 0);
    while (lane_reader_next(&reader, &copy, &read) == 0)
        continue;
    assert_int_equal(reader.fault, LANE_FAULT_NONE);
    lane_reader_commit(&reader, reader.position);
    make_failed_statement(&record, LAP_STATEMENTS);
    lane_put(&record, lane);
}

static struct segment_header *make_segment(void)
{
    struct segment_header *header = aligned_alloc(SEGMENT_PAGE, SEGMENT_BYTES);
    struct lane_record taken = {0};
    union any_record unpublished;

    assert_non_null(header);
    memset(header, 0, SEGMENT_BYTES);
    assert_int_equal(segment_plan(SEGMENT_BYTES, header), 0);
    memcpy(header->segment_id, client_id, sizeof(client_id));
    header->created_monotonic_ns = MONOTONIC_NS;
    header->created_realtime_ns = REALTIME_NS;
    header->pid = 4711;
    header->epoch = 2;
    header->dropped[SEGMENT_DROP_LANES_BUSY] = 3;
    header->dropped[SEGMENT_DROP_LANES_FULL] = 5;
    header->dropped[SEGMENT_DROP_TOO_LARGE] = 7;
    header->names_refused = 11;
    header->slots_refused = 13;
    header->waiters_refused = 17;
    header->pools_refused = 19;
    header->disabled_by_check = 0;
    segment_init_rings(header);
    fill_board(header);
    each_name(lane_put, segment_names(header));
    (void)each_event(lane_put, segment_lane(header, 0));
    fill_lap(segment_lane(header, 1));
    /* A writer died inside: nothing is there. */
    assert_int_equal(lane_take(segment_lane(header, 2), EVENT_CORE_SIZE, &taken), 0);
    make_connect(&unpublished, 0);
    memcpy(taken.header, &unpublished, EVENT_CORE_SIZE);
    return header;
}

/* Reads one ring to its end; returns how many records, unknown ones included. */
static uint32_t read_ring(struct lane *lane, uint32_t stride, uint32_t *ret_first)
{
    static struct lane_record_copy copy;
    const struct record_header *record;
    struct lane_reader reader;
    uint32_t count = 0;

    assert_int_equal(lane_reader_open(&reader, lane, stride), 0);
    assert_int_equal(lane_reader_look(&reader), 0);
    while (lane_reader_next(&reader, &copy, &record) == 0) {
        int r = record_check(record);
        assert_true(r == 0 || r == RECORD_E_UNKNOWN_KIND);
        if (count++ == 0)
            *ret_first = record->number;
    }
    assert_int_equal(reader.fault, LANE_FAULT_NONE);
    return count;
}

static void read_board(const struct segment_header *header, const struct segment_layout *layout)
{
    struct board_view board = board_view_of(header, layout);
    struct pool_copy pool;
    struct slot_copy slot;
    struct waiter_copy waiter;

    assert_int_equal(board_read_process(&board).library_version, 150020);
    assert_true(board_read_pool(&board, 0, MONOTONIC_NS, &pool));
    assert_int_equal(pool.used, 2);
    assert_int_equal(pool.idle, 1);
    assert_int_equal(pool.used_peak, 9); /* of the window before */
    assert_int_equal(pool.waiting_peak, 5);
    assert_false(board_read_pool(&board, 1, MONOTONIC_NS, &pool));
    assert_true(board_read_slot(&board, 0, &slot));
    assert_false(slot.torn);
    assert_int_equal(slot.fingerprint, FINGERPRINT);
    assert_memory_equal(slot.trace_id, trace_id, sizeof(trace_id));
    assert_false(board_read_slot(&board, 1, &slot));
    assert_true(board_read_slot(&board, 3, &slot));
    assert_true(slot.torn);
    assert_int_equal(slot.state, SLOT_LISTENING);
    assert_true(board_read_waiter(&board, 0, &waiter));
    assert_int_equal(waiter.since_ns, MONOTONIC_NS + 4);
    assert_false(board_read_waiter(&board, 1, &waiter));
}

static void test_segment(void **state)
{
    struct segment_header *CLEANUP(freep) ours = make_segment();
    struct segment_layout layout;
    const char *what = NULL;
    uint32_t first = 0;
    (void)state;

    golden("segment.bin", ours, SEGMENT_BYTES);
    if (is_writing)
        return;
    char *CLEANUP(freep) bytes = golden_read("segment.bin", SEGMENT_BYTES);
    struct segment_header *header = (struct segment_header *)(void *)bytes;

    assert_int_equal(segment_check((const unsigned char *)bytes, SEGMENT_BYTES, &layout, &what), 0);
    assert_memory_equal(layout.id, client_id, sizeof(client_id));
    assert_int_equal(layout.pid, 4711);
    read_board(header, &layout);
    assert_int_equal(read_ring(segment_names(header), layout.names_stride, &first), 7);
    assert_int_equal(read_ring(segment_lane(header, 0), layout.lane_stride, &first), 11);
    assert_int_equal(read_ring(segment_lane(header, 1), layout.lane_stride, &first), 1);
    assert_int_equal(first, LAP_STATEMENTS);
    for (uint32_t i = 2; i < layout.lane_count; i++)
        assert_int_equal(read_ring(segment_lane(header, i), layout.lane_stride, &first), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello),   cmocka_unit_test(test_answers),
        cmocka_unit_test(test_frame),   cmocka_unit_test(test_records),
        cmocka_unit_test(test_segment),
    };

    is_writing = argc == 3 && strcmp(argv[1], "--write") == 0;
    if (argc != 2 && !is_writing) {
        fprintf(stderr, "usage: wire_golden [--write] DIRECTORY\n");
        return 2;
    }
    directory = argv[argc - 1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
