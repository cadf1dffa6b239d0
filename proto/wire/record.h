/* The records that travel from a shim to the agent: one format for lanes, the names ring and
 * frames.
 *
 * Everything is little-endian and naturally aligned; a record's length is a multiple of
 * RECORD_ALIGN, so that a record never straddles the end of a ring. Every event starts with the
 * same 40 bytes and has a core of EVENT_CORE_SIZE bytes; with EVENT_HAS_CONTEXT a context follows
 * it. Byte pictures and version rules: WIRE.md. Times are CLOCK_MONOTONIC nanoseconds of the
 * producer, durations are nanoseconds. */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_VERSION_MAJOR 1
#define WIRE_VERSION_MINOR 0

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the wire is little-endian; this port needs byte swaps in the codec"
#endif

enum {
    RECORD_ALIGN = 32,
    RECORD_LENGTH_MAX = 65504, /* largest multiple of RECORD_ALIGN in the 16-bit length */
    EVENT_CORE_SIZE = 96,
    EVENT_CONTEXT_SIZE = 64,
    NAME_TEXT_MAX = 16384, /* longer normalized texts are cut, and marked NAME_CUT */
};

/* Kinds. A reader skips and counts the ones that it does not know. */
enum record_kind {
    RECORD_PAD = 0, /* fills the rest of a ring before it wraps; not counted */
    RECORD_NAME = 1,
    RECORD_CONNECT = 2,
    RECORD_CLOSE = 3,
    RECORD_ACQUIRE = 4,
    RECORD_RELEASE = 5,
    RECORD_STATEMENT = 6,
    RECORD_TRANSACTION = 7,
    RECORD_PREPARE = 8,
    RECORD_CANCEL = 9,
    RECORD_PARAMETERS = 10,
    RECORD_POOL_STATE = 11, /* frames only: what the board holds for a client that maps memory */
    RECORD_KIND_END
};

struct record_header {
    uint16_t kind;
    uint16_t length; /* whole record in bytes, multiple of RECORD_ALIGN */
    uint32_t number; /* low 32 bits of the ring's count of records before this one, PADs left out */
    uint64_t time_ns; /* when it happened; for things with a duration, when they ended */
};
static_assert(sizeof(struct record_header) == 16, "wire v1 is frozen");

/* What a name is the name of. A name's id is XXH3-64 (seed 0) of its text, 0 replaced by 1; a
 * statement's is its fingerprint, computed over tokens (TEXT.md). Id 0 means "none". */
enum name_kind {
    NAME_STATEMENT = 1, /* normalized text */
    NAME_CALL_SITE = 2, /* given text, "build-id+0xoffset", or sqlcommenter's pairs */
    NAME_TENANT = 3,
    NAME_TARGET = 4,     /* four lines: pool name, namespace, server address, server port */
    NAME_OBJECT = 5,     /* three lines: constraint, table, column that an error named */
    NAME_TRACESTATE = 6, /* W3C tracestate */
    NAME_KIND_END
};

enum name_flag {
    NAME_CUT = 1u << 0, /* text was longer than NAME_TEXT_MAX, or its source longer than read */
};

/* RECORD_NAME: the text follows the struct and is padded with zeros to RECORD_ALIGN. */
struct record_name {
    struct record_header header;
    uint64_t id;
    uint16_t name_kind;
    uint16_t flags;
    uint32_t text_length;
};
static_assert(sizeof(struct record_name) == 32, "wire v1 is frozen");

enum event_flag {
    EVENT_HAS_CONTEXT = 1u << 0,

    STATEMENT_LATE_FETCH = 1u << 8, /* results were fetched late: the duration includes the wait */
    STATEMENT_PIPELINED = 1u << 9,
    STATEMENT_SINGLE_ROW = 1u << 10,
    STATEMENT_COPY_IN = 1u << 11,
    STATEMENT_COPY_OUT = 1u << 12,
    STATEMENT_PREPARED = 1u << 13,
    STATEMENT_IS_HOLD = 1u << 14, /* it was its hold's only use: no release record will follow */
    STATEMENT_CUT = 1u << 15, /* more text than the shim reads; fingerprint is of the part read */
    STATEMENT_MALFORMED = 1u << 16, /* an unterminated literal, identifier or comment */
    STATEMENT_IN_TRANSACTION = 1u << 17,

    CONNECT_IS_RESET = 1u << 20,
    RELEASE_ROLLED_BACK = 1u << 21,
    TRANSACTION_READ_ONLY = 1u << 22,
    RELEASE_HAS_ACQUIRE = 1u << 23, /* it tells the acquire too, which has no record of its own */

    POOL_STATE_HAS_WAITERS =
        1u << 24, /* what POOL_HAS_WAITERS and POOL_HAS_LIMITS say on a board */
    POOL_STATE_HAS_LIMITS = 1u << 25,
};

/* How a thing failed when no SQLSTATE says so. The tokens that telemetry shows are in failure.def.
 */
enum failure {
    FAILURE_NONE = 0,
    FAILURE_SQLSTATE = 1, /* the server said so: see sqlstate */
    FAILURE_CONNECTION_LOST = 2,
    FAILURE_TIMEOUT = 3,
    FAILURE_CANCELLED = 4,
    FAILURE_CLIENT = 5,       /* refused by the client library before anything was sent */
    FAILURE_PROCESS_DIED = 6, /* written by the agent only */
    FAILURE_ABANDONED = 7,    /* connection closed or reset while the statement ran */
    FAILURE_DRAINING = 8,
    FAILURE_CONNECT_FAILED = 9,
    FAILURE_REFUSED = 10,
    FAILURE_END
};

#define RECORD_NO_SLOT UINT16_MAX
#define ROWS_UNKNOWN   UINT64_MAX
#define UNKNOWN_NS     UINT64_MAX /* a duration that was not measured */

/* First 40 bytes of every event. */
struct event_head {
    struct record_header header;
    uint64_t target;   /* name id: pool, namespace, address and port */
    uint64_t hold_id;  /* unique in the process; 0 outside a hold */
    uint32_t sequence; /* the statement's number in its hold, from 1; 0 otherwise */
    uint32_t flags;    /* enum event_flag */
};
static_assert(sizeof(struct event_head) == 40, "wire v1 is frozen");

struct record_statement {
    struct event_head head;
    uint64_t fingerprint;
    uint64_t duration_ns;
    uint64_t first_byte_ns; /* from start to the first answer; UNKNOWN_NS if not seen */
    uint64_t rows;          /* returned or affected; ROWS_UNKNOWN */
    char sqlstate[5];       /* zeros if the server gave none */
    uint8_t failure;        /* enum failure */
    uint16_t slot;          /* connection slot on the board, or RECORD_NO_SLOT */
    uint64_t call_site;     /* name id */
    uint64_t wait_ns;       /* first statement of a hold: how long its acquire waited */
};

struct record_connect {
    struct event_head head;
    uint64_t connection; /* unique in the process */
    uint64_t duration_ns;
    uint32_t backend_pid; /* 0 unknown */
    uint32_t reserved0;
    uint64_t reserved1;
    char sqlstate[5];
    uint8_t failure;
    uint16_t slot;
    uint64_t reserved2[2];
};

struct record_close {
    struct event_head head;
    uint64_t connection;
    uint64_t lifetime_ns;
    uint64_t reserved0[2];
    char sqlstate[5];
    uint8_t failure; /* FAILURE_NONE: closed on purpose */
    uint16_t slot;
    uint64_t reserved1[2];
};

struct record_acquire {
    struct event_head head;
    uint64_t wait_ns; /* from the request until connection or failure */
    uint64_t reserved0[3];
    char sqlstate[5];
    uint8_t failure; /* FAILURE_NONE: acquired */
    uint16_t slot;
    uint64_t call_site;
    uint64_t reserved1;
};

struct record_release {
    struct event_head head; /* sequence: number of statements in the hold */
    uint64_t use_ns;        /* acquire to release; the three phases below sum to it */
    uint64_t executing_ns;
    uint64_t idle_in_transaction_ns;
    uint64_t idle_ns;
    uint32_t reserved0;
    uint16_t reserved1;
    uint16_t slot;
    uint64_t call_site;
    uint64_t wait_ns;
};

enum transaction_outcome {
    TRANSACTION_COMMITTED = 1,
    TRANSACTION_ROLLED_BACK = 2,
    TRANSACTION_UNKNOWN = 3,
};

struct record_transaction {
    struct event_head head; /* sequence: number of its statements */
    uint64_t duration_ns;
    uint64_t executing_ns;
    uint64_t reserved0[2];
    char sqlstate[5];
    uint8_t outcome; /* enum transaction_outcome */
    uint16_t slot;
    uint64_t call_site;
    uint64_t reserved1;
};

enum prepare_action {
    PREPARE_PARSE = 1,      /* protocol-level Parse */
    PREPARE_SQL = 2,        /* SQL PREPARE */
    PREPARE_DEALLOCATE = 3, /* SQL DEALLOCATE or protocol-level Close */
};

struct record_prepare {
    struct event_head head;
    uint64_t fingerprint;
    uint64_t duration_ns;
    uint64_t reserved0[2];
    char sqlstate[5];
    uint8_t failure;
    uint16_t slot;
    uint8_t action; /* enum prepare_action */
    uint8_t reserved1[15];
};

struct record_cancel {
    struct event_head head;
    uint64_t fingerprint; /* of the statement that ran, if known */
    uint64_t reserved0[3];
    char sqlstate[5];
    uint8_t failure; /* FAILURE_NONE: the request was delivered */
    uint16_t slot;
    uint64_t reserved1[2];
};

/* Parameters of the statement (hold_id, sequence); the values follow the core. */
struct record_parameters {
    struct event_head head;
    uint64_t fingerprint;
    uint32_t count;
    uint32_t bytes_length;
    uint64_t reserved[5];
};

struct record_pool_state {
    struct event_head head;
    uint32_t connections_max;
    uint32_t connections_min;
    uint32_t idle_max;
    uint32_t idle_min;
    uint32_t used;
    uint32_t idle;
    uint32_t waiting;
    uint32_t connecting;
    uint64_t timeouts; /* running total */
    uint64_t reserved[2];
};

/* Follows an event's core where EVENT_HAS_CONTEXT is set. */
struct event_context {
    uint8_t trace_id[16];      /* zeros: no trace */
    uint8_t parent_span_id[8]; /* zeros: no parent */
    uint64_t tenant;           /* name ids, 0 = none */
    uint64_t object;
    uint64_t tracestate;
    uint32_t backend_pid;
    uint8_t trace_flags;
    uint8_t reserved0[3];
    uint64_t reserved1;
};

static_assert(sizeof(struct record_statement) == EVENT_CORE_SIZE, "wire v1 is frozen");
static_assert(sizeof(struct record_connect) == EVENT_CORE_SIZE, "wire v1 is frozen");
static_assert(sizeof(struct record_close) == EVENT_CORE_SIZE, "wire v1 is frozen");
static_assert(sizeof(struct record_acquire) == EVENT_CORE_SIZE, "wire v1 is frozen");
static_assert(sizeof(struct record_release) == EVENT_CORE_SIZE, "wire v1 is frozen");
static_assert(sizeof(struct record_transaction) == EVENT_CORE_SIZE, "wire v1 is frozen");
static_assert(sizeof(struct record_prepare) == EVENT_CORE_SIZE, "wire v1 is frozen");
static_assert(sizeof(struct record_cancel) == EVENT_CORE_SIZE, "wire v1 is frozen");
static_assert(sizeof(struct record_parameters) == EVENT_CORE_SIZE, "wire v1 is frozen");
static_assert(sizeof(struct record_pool_state) == EVENT_CORE_SIZE, "wire v1 is frozen");
static_assert(sizeof(struct event_context) == EVENT_CONTEXT_SIZE, "wire v1 is frozen");
static_assert(offsetof(struct record_statement, sqlstate) == 72, "wire v1 is frozen");
static_assert(offsetof(struct record_statement, slot) == 78, "wire v1 is frozen");
static_assert(offsetof(struct record_connect, sqlstate) == 72, "wire v1 is frozen");
static_assert(offsetof(struct record_close, sqlstate) == 72, "wire v1 is frozen");
static_assert(offsetof(struct record_acquire, sqlstate) == 72, "wire v1 is frozen");
static_assert(offsetof(struct record_release, slot) == 78, "wire v1 is frozen");
static_assert(offsetof(struct record_transaction, sqlstate) == 72, "wire v1 is frozen");
static_assert(offsetof(struct record_prepare, sqlstate) == 72, "wire v1 is frozen");
static_assert(offsetof(struct event_context, tenant) == 24, "wire v1 is frozen");
static_assert(EVENT_CORE_SIZE % RECORD_ALIGN == 0 && EVENT_CONTEXT_SIZE % RECORD_ALIGN == 0,
              "a record never straddles the end of a ring");
