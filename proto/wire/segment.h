/* The segment: one memfd per probed process, written by the shim, read by the agent.
 *
 *   header | board (process, pools, connection slots, waiter slots) | names ring | lanes
 *
 * Every word that both sides touch is atomic; the comment behind it names its only writer and the
 * memory orders. Offsets, never pointers. The agent trusts nothing here: it copies a word once and
 * checks the copy. Byte pictures: WIRE.md. */
#pragma once

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/wire/record.h"

#define SEGMENT_MAGIC UINT64_C(0x3147455352494557) /* "WEIRSEG1" */

enum {
    SEGMENT_SIZE_DEFAULT = 4 << 20,
    SEGMENT_SIZE_MIN = 512 << 10,
    SEGMENT_SIZE_MAX = 256 << 20,
    SEGMENT_PAGE = 4096,
    SEGMENT_LANES = 16,
    SEGMENT_POOLS = 32,
    SEGMENT_SLOTS = 1024, /* connections on the board */
    SEGMENT_WAITERS = 512,
};

enum segment_control {
    /* Set by the agent: write no events and no names until cleared. The board goes on, so that
     * gauges are right at once when recording does. */
    SEGMENT_STOP_RECORDING = 1u << 0,
};

/* Why events that were recorded never reached the agent. Counted by the shim. */
enum segment_drop {
    SEGMENT_DROP_LANES_BUSY = 0, /* every lane was being written */
    SEGMENT_DROP_LANES_FULL = 1, /* no free lane had room */
    SEGMENT_DROP_TOO_LARGE = 2,  /* the record is longer than a lane can take */
    SEGMENT_DROP_END = 8         /* room for later causes */
};

struct segment_header {
    uint64_t magic;
    uint16_t version_major;
    uint16_t version_minor;
    uint32_t header_size; /* sizeof(struct segment_header) of the writer */
    uint64_t segment_size;
    uint8_t segment_id[16];
    uint64_t board_offset;
    uint64_t names_offset; /* a struct lane followed by its data */
    uint64_t lanes_offset; /* lane_count times lane_stride */
    uint32_t names_stride; /* bytes of the names ring, its struct lane included */
    uint32_t lane_stride;  /* bytes of one lane, its struct lane included */
    uint32_t lane_count;
    uint32_t pool_count;
    uint32_t slot_count;
    uint32_t waiter_count;
    uint64_t created_monotonic_ns;
    uint64_t created_realtime_ns;
    uint32_t pid; /* as the process sees itself */
    uint32_t reserved0;

    /* Agent's words: stored release by the agent, loaded relaxed on the recording path. */
    alignas(64) _Atomic uint32_t control; /* enum segment_control */
    _Atomic uint32_t epoch;               /* a name announced in an older epoch is announced anew */

    /* Shim's words, by any thread: fetch_add relaxed, loaded relaxed. */
    alignas(64) _Atomic uint64_t dropped[SEGMENT_DROP_END];
    alignas(64) _Atomic uint64_t names_refused; /* announcements that found the names ring full */
    _Atomic uint64_t slots_refused;             /* connections without a slot on the board */
    _Atomic uint64_t waiters_refused;
    _Atomic uint64_t pools_refused;
    _Atomic uint64_t disabled_by_check; /* the shim caught a bug of its own and stopped recording */
};

/* A ring with one writer at a time and one reader. Positions are bytes since the beginning and
 * never wrap; the place in the data is position modulo capacity. */
struct lane {
    uint32_t magic;    /* LANE_MAGIC */
    uint32_t capacity; /* bytes of data behind this struct, multiple of RECORD_ALIGN */

    /* Writer's words. Only the thread that holds @owner writes the others. */
    alignas(
        64) _Atomic uint32_t owner; /* 0 free; taken by compare-and-swap acquire, freed release */
    uint32_t reserved0;
    _Atomic uint64_t head;     /* stored release once the record is whole; reader loads acquire */
    _Atomic uint64_t recorded; /* records before @head, PADs left out; stored relaxed before head */
    _Atomic uint64_t lap;      /* position of the data's first byte in this lap; owner's alone */

    /* Reader's word: what the agent's checkpoint covers; stored release, writer loads acquire. */
    alignas(64) _Atomic uint64_t tail;
    uint8_t reserved1[56];
};

#define LANE_MAGIC 0x454e414cu /* "LANE" */

static_assert(sizeof(struct segment_header) == 320, "wire v1 is frozen");
static_assert(offsetof(struct segment_header, control) == 128, "wire v1 is frozen");
static_assert(offsetof(struct segment_header, dropped) == 192, "wire v1 is frozen");
static_assert(sizeof(struct lane) == 192, "wire v1 is frozen");
static_assert(offsetof(struct lane, head) == 72, "wire v1 is frozen");
static_assert(offsetof(struct lane, tail) == 128, "wire v1 is frozen");
static_assert(sizeof(_Atomic uint64_t) == 8 && sizeof(_Atomic uint32_t) == 4, "plain words");

/* ---- board ---------------------------------------------------------------------------------- */

enum process_observed {
    OBSERVED_NOT_YET = 0, /* attached; no call of the database library seen so far */
    OBSERVED_YES = 1,
    OBSERVED_STATIC_LIBPQ = 2, /* attached, not observed: libpq is linked statically */
    OBSERVED_BYPASSED_LIBPQ =
        3, /* libpq is loaded, but its callers bypass us (ctypes, deep-bound) */
    OBSERVED_DISABLED = 4,
};

struct board_process {
    _Atomic uint32_t observed;        /* enum process_observed; release / acquire */
    _Atomic uint32_t library_version; /* PQlibVersion(), 0 unknown */
    /* Statements begun and not ended on connections that found no slot; the others are counted from
     * their slots, since a word that every statement of every thread adds to twice costs as much as
     * its event. */
    _Atomic uint64_t statements_open;
    /* Grows with anything recorded, in steps of about a millisecond: a stopped process stands
     * still.
     */
    _Atomic uint64_t progress;
    uint64_t reserved[5];
};

/* A high-water mark over a fixed window of 60 s of CLOCK_MONOTONIC: window number in the upper 32
 * bits, mark in the lower; windows alternate between the two words. */
struct board_peak {
    _Atomic uint64_t window[2];
};

#define BOARD_PEAK_WINDOW_NS UINT64_C(60000000000)

enum board_pool_flag {
    POOL_HAS_WAITERS = 1u << 0, /* acquire is observed: pending, wait time, timeouts are known */
    POOL_HAS_LIMITS = 1u << 1,  /* max, min, idle limits are set */
};

/* Written by the process that owns the pool; counters by any of its threads. */
struct board_pool {
    _Atomic uint64_t target; /* name id; 0: the entry is free; release / acquire */
    _Atomic uint32_t flags;
    _Atomic uint32_t connections_max;
    _Atomic uint32_t connections_min;
    _Atomic uint32_t idle_max;
    _Atomic uint32_t idle_min;
    uint32_t reserved0;
    alignas(64) union {
        struct {
            _Atomic uint32_t used;
            _Atomic uint32_t idle;
        };
        _Atomic uint64_t used_and_idle; /* in one step: no reader sees a connection in both */
    };
    _Atomic uint32_t waiting;
    _Atomic uint32_t connecting;
    _Atomic uint64_t timeouts;
    struct board_peak used_peak;
    struct board_peak waiting_peak;
    uint64_t reserved1;
};

enum slot_state {
    SLOT_FREE = 0,
    SLOT_CONNECTING = 1,
    SLOT_IDLE = 2,
    SLOT_HELD = 3, /* acquired, outside a transaction, executing nothing */
    SLOT_EXECUTING = 4,
    SLOT_IDLE_IN_TRANSACTION = 5,
    SLOT_LISTENING = 6, /* idle, but waiting for notifications */
};

/* One connection now. @sequence is odd while the writer is inside; every other word is stored
 * release and loaded acquire, so that a reader who sees a new word also sees the odd sequence. */
struct board_slot {
    _Atomic uint32_t sequence;
    _Atomic uint32_t state; /* enum slot_state */
    _Atomic uint32_t pool;  /* index of its board_pool */
    _Atomic uint32_t backend_pid;
    _Atomic uint64_t connection;
    _Atomic uint64_t target;
    _Atomic uint64_t since_ns;    /* in this state */
    _Atomic uint64_t acquired_ns; /* 0: not held */
    _Atomic uint64_t hold_id;
    _Atomic uint64_t call_site;

    _Atomic uint64_t tenant;
    _Atomic uint64_t trace_id[2];
    _Atomic uint64_t parent_span_id;
    _Atomic uint64_t fingerprint;        /* of the oldest open statement, else of the last one */
    _Atomic uint64_t statement_since_ns; /* when the oldest open statement began; 0: none open */
    _Atomic uint32_t oldest_open;        /* sequence of the oldest open statement, 0: none */
    _Atomic uint32_t newest_sent;        /* sequence of the newest one sent */
    _Atomic uint32_t thread;
    _Atomic uint32_t trace_flags;

    _Atomic uint64_t opened_ns; /* when the connection was established */
    uint64_t reserved[7];
};

struct board_waiter {
    _Atomic uint32_t sequence;
    _Atomic uint32_t pool;     /* index of its board_pool */
    _Atomic uint64_t since_ns; /* 0: the entry is free */
    _Atomic uint64_t call_site;
    _Atomic uint64_t tenant;
    _Atomic uint64_t trace_id[2];
    _Atomic uint32_t thread;
    uint32_t reserved0;
    uint64_t reserved1;
};

static_assert(sizeof(struct board_process) == 64, "wire v1 is frozen");
static_assert(sizeof(struct board_pool) == 128, "wire v1 is frozen");
static_assert(sizeof(struct board_slot) == 192, "wire v1 is frozen");
static_assert(offsetof(struct board_slot, tenant) == 64, "wire v1 is frozen");
static_assert(offsetof(struct board_slot, opened_ns) == 128, "wire v1 is frozen");
static_assert(sizeof(struct board_waiter) == 64, "wire v1 is frozen");

/* Places of the board's parts behind board_offset. */
enum {
    BOARD_POOLS_OFFSET = 64, /* behind struct board_process */
};
