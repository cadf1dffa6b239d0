/* How one request travels to one endpoint; HTTP and gRPC each fill this table. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "agent/export/settings.h"

struct transport_answer {
    enum outcome outcome;
    uint64_t retry_after_ms; /* 0: the server did not say */
    int64_t rejected;        /* items of a request that arrived otherwise */
    char reason[200]; /* of a failure, or what the server warned of; never holds a secret of ours */
};

struct transport;

struct transport_ops {
    /* 0, -ENOMEM, or EXPORT_E_WRONG with the reason. @endpoint is borrowed for life. */
    int (*open)(const struct export_endpoint *endpoint, enum export_signal signal,
                struct transport **ret, char *error, size_t error_size);
    /* One request and its answer; blocks, @timeout_ms at most (0: no limit). One thread. */
    void (*send)(struct transport *transport, const void *bytes, size_t length, uint64_t timeout_ms,
                 struct transport_answer *ret);
    /* From any thread: the send under way, and all later ones, end at once as cancelled. */
    void (*cancel)(struct transport *transport);
    void (*close)(struct transport *transport);
};

extern const struct transport_ops transport_http;
extern const struct transport_ops transport_grpc;

enum { TRANSPORT_ANSWER_MAX = 4 << 20 }; /* a longer answer is refused */

#define TRANSPORT_USER_AGENT "weir-agent/" WEIR_VERSION " OTel-OTLP-Exporter-C/" WEIR_VERSION

/* What a successful answer's body says: rejected items and a warning. A body that cannot be read
 * counts as full success, as an empty one. */
void transport_read_partial(enum export_signal signal, const void *bytes, size_t length,
                            struct transport_answer *answer);
/* Copies a text of the server's into @answer->reason, printable only. */
void transport_reason(struct transport_answer *answer, const char *before, const char *text,
                      size_t length);
