/* Messages on the agent's Unix socket (SOCK_STREAM): a 32-bit length, then that many bytes, of
 * which the first 16 are a message_header. The client speaks first. */
#pragma once

#include <assert.h>
#include <stdint.h>

#define MESSAGE_MAGIC 0x52494557u /* "WEIR" */

enum {
    MESSAGE_LENGTH_MAX = 1 << 20, /* longer messages are refused before they are read */
    HELLO_LENGTH_MAX = 64 << 10,
    HELLO_ATTRIBUTES_MAX = 128,
};

enum message_kind {
    MESSAGE_HELLO = 1,   /* client: who I am; segment kinds carry descriptors (SCM_RIGHTS) */
    MESSAGE_WELCOME = 2, /* agent: accepted */
    MESSAGE_REFUSED = 3, /* agent: reason; it then closes the connection */
    MESSAGE_FRAME = 4,   /* client: numbered batch of records */
    MESSAGE_ACK = 5,     /* agent: this frame and all before are in the checkpoint */
};

struct message_header {
    uint32_t magic;
    uint16_t kind;
    uint16_t version_major; /* hello: the client's newest; afterwards the negotiated one */
    uint16_t version_minor;
    uint16_t version_major_oldest; /* hello: the oldest that the client can speak */
    uint32_t reserved;
};

enum hello_kind {
    HELLO_SEGMENT = 1,               /* descriptors: memfd, pidfd */
    HELLO_SEGMENT_WITHOUT_PIDFD = 2, /* descriptors: memfd */
    HELLO_FRAMES = 3,                /* no descriptors */
};

/* Followed by attribute_count times { u16 key_length, u16 value_length, key, value } without
 * padding; keys and values are UTF-8. Keys are OpenTelemetry resource attributes, and the ones of
 * our own below. */
struct message_hello {
    struct message_header header;
    uint16_t hello_kind;
    uint16_t attribute_count;
    uint32_t pid;          /* as the process sees itself */
    uint8_t client_id[16]; /* the segment's id; for frames a random id that a reconnect keeps */
    uint64_t monotonic_ns; /* both clocks read back to back */
    uint64_t realtime_ns;
};

#define HELLO_KEY_SHIM_NAME    "weir.shim.name" /* "probe", "preload", "libweir", … */
#define HELLO_KEY_SHIM_VERSION "weir.shim.version"
#define HELLO_KEY_RESOURCE     "weir.resource" /* OTEL_RESOURCE_ATTRIBUTES, undecoded */
#define HELLO_KEY_SERVICE      "weir.service"  /* OTEL_SERVICE_NAME */
#define HELLO_KEY_EXECUTABLE   "process.executable.name"
#define HELLO_KEY_LIBRARY      "weir.library" /* "libpq 15.20" */

enum welcome_flag {
    WELCOME_STOP_RECORDING = 1u << 0, /* frames clients: send nothing until told otherwise */
    WELCOME_ANNOUNCE = 1u << 1,       /* frames clients: names announced before are forgotten */
};

struct message_welcome {
    struct message_header header;
    uint32_t flags; /* enum welcome_flag */
    uint32_t reserved;
    uint64_t acknowledged; /* newest frame of this client in the checkpoint, 0 = none */
};

enum refusal {
    REFUSAL_MALFORMED = 1,
    REFUSAL_VERSION = 2,
    REFUSAL_DESCRIPTORS = 3, /* too many, too few, truncated, or of the wrong type */
    REFUSAL_SEALS = 4,       /* memfd may still shrink or grow */
    REFUSAL_SEGMENT_SIZE = 5,
    REFUSAL_SEGMENT_LAYOUT = 6,
    REFUSAL_CLIENTS_MAX = 7,
    REFUSAL_MAPPED_MAX = 8,
    REFUSAL_HUGE_PAGES = 9,
    REFUSAL_TOO_LONG = 10,
    REFUSAL_POSITION = 11,   /* the stored read position lies beyond the segment's head */
    REFUSAL_UNEXPECTED = 12, /* message kind out of turn */
    REFUSAL_END
};

/* Followed by text_length bytes of UTF-8: what was wrong and what to do. */
struct message_refused {
    struct message_header header;
    uint32_t reason; /* enum refusal */
    uint32_t text_length;
};

/* Followed by records back to back (record.h). Numbers start at 1 and grow by 1. */
struct message_frame {
    struct message_header header;
    uint64_t number;
    uint32_t record_count;
    uint32_t reserved;
};

struct message_ack {
    struct message_header header;
    uint64_t number;
};

static_assert(sizeof(struct message_header) == 16, "wire v1 is frozen");
static_assert(sizeof(struct message_hello) == 56, "wire v1 is frozen");
static_assert(sizeof(struct message_welcome) == 32, "wire v1 is frozen");
static_assert(sizeof(struct message_refused) == 24, "wire v1 is frozen");
static_assert(sizeof(struct message_frame) == 32, "wire v1 is frozen");
static_assert(sizeof(struct message_ack) == 24, "wire v1 is frozen");
