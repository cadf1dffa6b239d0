/* Snapshots and spans as OTLP requests. Pure; one owner, the sender's thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/export/arena.h"
#include "agent/model/snapshot.h"
#include "agent/model/span.h"
#include "base/buffer.h"

enum { ENCODE_REQUEST_MAX = 64 << 20 }; /* of any request, the specification's cap */

struct encode_opts {
    bool exponential;         /* histograms in their exponential form, else explicit */
    size_t request_bytes_max; /* a request is closed before the item that would pass it */
};

/* Zero-initialized before the first use; keeps its memory between requests. */
struct encoder {
    struct arena arena;
};
void encoder_deinit(struct encoder *encoder);

/* The next point that a request is to begin with; zeros: the snapshot's first. */
struct encode_cursor {
    uint32_t resource, metric, point;
};

/* Replaces @out's content by an ExportMetricsServiceRequest with the points from @cursor on, as
 * many as fit, and moves @cursor behind them. All sums are cumulative. *ret_points is 0 only if
 * none were left: an empty request is not to be sent. Returns 0 when the snapshot's last point is
 * in, or ENCODE_E_MORE, or -ENOMEM. */
enum { ENCODE_E_MORE = 1 };
int encode_metrics(struct encoder *encoder, const struct snapshot *snapshot,
                   const struct encode_opts *opts, struct encode_cursor *cursor, struct buffer *out,
                   size_t *ret_points);

/* Replaces @out's content by an ExportTraceServiceRequest with the first of @spans, as many as fit
 * (at least one); *ret_spans says how many. Returns 0, ENCODE_E_MORE or -ENOMEM. */
int encode_spans(struct encoder *encoder, const struct span *const *spans, size_t count,
                 const struct encode_opts *opts, struct buffer *out, size_t *ret_spans);
