/* One OTLP destination: what it is offered, it sends on a thread of its own.
 *
 * Metrics leave strictly oldest first, one request in flight. They are cumulative, so that a newer
 * snapshot contains an older unsent one: it takes its place, which is counted. Spans wait in a
 * bounded queue; what does not fit is dropped and counted by cause. A request that may be tried
 * again waits in memory, with exponential back-off, until retry.give_up_ms after its first failure.
 *
 * Every function may be called on any thread, and none but flush and free waits. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "agent/export/settings.h"
#include "agent/model/snapshot.h"
#include "agent/model/span.h"
#include "base/cleanup.h"

struct exporter;

enum exporter_level {
    EXPORTER_INFO,
    EXPORTER_WARNING,
};

/* All are called on the sender's thread, without any lock of the exporter. */
struct exporter_ops {
    /* All of snapshot @generation has been answered; @rejected of its points were not taken, and
     * will not be sent again but as part of the next snapshot. */
    void (*acknowledged)(void *userdata, uint64_t generation, uint64_t rejected);
    /* Once when sending begins to fail, once when it works again; never an endpoint's secrets. */
    void (*log)(void *userdata, enum exporter_level level, const char *message);
};

/* What became of one signal's items (data points, spans) and requests. Every item of a snapshot
 * that was not superseded, and every span, is counted once: after its last attempt. */
struct exporter_signal_stats {
    uint64_t requests; /* attempts to send */
    uint64_t arrived;  /* of them: answered with success, whole or partial */
    uint64_t retries;  /* of them: further attempts at the same items */
    uint64_t failures; /* of them: no success */
    uint64_t exported; /* items taken */
    uint64_t rejected; /* items that a partial success refused */
    uint64_t refused;  /* items whose request was refused for good */
    uint64_t expired;  /* items given up after retry.give_up_ms */
    char error[256];   /* the last failure or warning; "" if none */
};

struct exporter_stats {
    struct exporter_signal_stats signals[EXPORT_SIGNAL_END];
    uint64_t snapshots_offered, snapshots_acknowledged, snapshots_superseded;
    uint64_t generation_acknowledged; /* the newest; 0: none yet */
    uint64_t spans_offered;
    uint64_t spans_queue_full;  /* dropped: spans_max were waiting */
    uint64_t spans_queue_bytes; /* dropped, the oldest first: span_bytes_max were waiting */
    uint64_t spans_waiting;     /* in the queue or under way */
    uint64_t out_of_memory;     /* requests that could not be built; tried again */
};

/* @settings is borrowed for life; @ops are copied. Returns 0, -errno (no thread), or EXPORT_E_WRONG
 * with the reason in @error (a certificate that cannot be used). */
int exporter_new(const struct export_settings *settings, const struct exporter_ops *ops,
                 void *userdata, struct exporter **ret, char *error, size_t error_size)
    __attribute__((warn_unused_result));
/* Gives up what is under way and waits for the thread to end. */
struct exporter *exporter_free(struct exporter *exporter);
CLEANUP_DEFINE(struct exporter *, exporter_freep, exporter_free)

/* Takes a reference of its own. Does nothing if metrics go nowhere. */
void exporter_offer_snapshot(struct exporter *exporter, const struct snapshot *snapshot);
/* Takes references of its own to those that it keeps. Does nothing if spans go nowhere. */
void exporter_offer_spans(struct exporter *exporter, const struct span *const *spans, size_t count);

/* Sends all that waits, without the usual delays, until nothing is left or @timeout_ms are over. 0,
 * or -ETIMEDOUT. Blocks the caller. */
int exporter_flush(struct exporter *exporter, uint64_t timeout_ms);

void exporter_stats(struct exporter *exporter, struct exporter_stats *ret);
