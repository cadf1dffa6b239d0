/* Where OTLP goes and how: what the agent was told and OpenTelemetry's standard variables, checked
 * once at start; immutable afterwards. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/export/retry.h"
#include "base/cleanup.h"

enum export_signal {
    EXPORT_METRICS,
    EXPORT_TRACES,
    EXPORT_SIGNAL_END,
};

enum export_protocol {
    EXPORT_HTTP, /* http/protobuf */
    EXPORT_GRPC,
};

struct export_header {
    char *name, *value; /* a value may be a secret: never logged */
};

/* Of one signal. Texts are never NULL; "" is unset. */
struct export_endpoint {
    bool is_enabled;
    enum export_protocol protocol;
    char *url;     /* HTTP: whole, with the signal's path. gRPC: a target, "host:port" */
    char *shown;   /* the same without user, password and query: for logs and metrics */
    char *host;    /* server.address */
    uint16_t port; /* server.port; 0: none (a Unix socket) */
    bool is_tls;
    bool is_gzip;
    uint32_t timeout_ms;                                 /* of one request; 0: none */
    char *certificate, *client_certificate, *client_key; /* files */
    struct export_header *headers;
    size_t header_count;
};

struct export_settings {
    struct export_endpoint endpoints[EXPORT_SIGNAL_END];
    uint32_t interval_ms; /* between snapshots offered */
    bool exponential;     /* histograms */
    uint32_t spans_max;   /* waiting or under way */
    uint64_t span_bytes_max;
    uint32_t spans_batch_max;
    uint32_t spans_delay_ms; /* that a lone span waits for company */
    size_t request_bytes_max;
    struct retry_opts retry;
};

typedef const char *(*export_getenv_fn)(const char *name);
/* Tells of a variable that was not understood and what is done instead. */
typedef void (*export_note_fn)(void *userdata, const char *message);

/* What the agent's own configuration says; texts NULL or "" if nothing. Both beat the variables. */
struct export_opts {
    const char *endpoint; /* --otlp-endpoint */
    const char *protocol; /* --otlp-protocol */
    uint32_t spans_max;   /* unless OTEL_BSP_MAX_QUEUE_SIZE says otherwise */
    uint64_t span_bytes_max;
    export_getenv_fn getenv_fn;
    export_note_fn note;
    void *note_userdata;
};

/* Values that cannot be parsed are noted and their defaults taken. Returns 0, -ENOMEM, or
 * EXPORT_E_WRONG with the reason in @error: an endpoint that is no URL, a file that cannot be read,
 * a flag of ours that means nothing; the program then exits 2. */
enum { EXPORT_E_WRONG = 1 };
int export_settings_load(const struct export_opts *opts, struct export_settings **ret, char *error,
                         size_t error_size) __attribute__((warn_unused_result));
struct export_settings *export_settings_free(struct export_settings *settings);
CLEANUP_DEFINE(struct export_settings *, export_settings_freep, export_settings_free)

/* True if anything is to be sent. */
bool export_settings_any(const struct export_settings *settings);
