/* A snapshot in the formats that Prometheus scrapes. One TYPE and HELP for a family over all
 * resources; every series says its resource by job and instance; each resource has one target_info.
 *
 * Scrape with `honor_labels: true`: then job, instance, namespace and pod are those of the
 * application that the sidecar tells about, as they are on the way through OTLP. */
#pragma once

#include "agent/model/snapshot.h"
#include "agent/serve/labels.h"
#include "base/buffer.h"

enum exposition_format {
    EXPOSITION_TEXT,        /* text/plain; version=0.0.4, also good as 1.0.0 */
    EXPOSITION_OPENMETRICS, /* 1.0.0, with exemplars */
    EXPOSITION_PROTOBUF,    /* io.prometheus.client.MetricFamily, delimited; native histograms */
};

enum { EXPOSITION_BYTES_MAX = 256 * 1024 * 1024 };

/* Appends to @out. Returns 0, -ENOMEM or -EFBIG (@out is full). NULL @snapshot: nothing to show. */
int exposition_write(const struct snapshot *snapshot, enum exposition_format format,
                     struct buffer *out) __attribute__((warn_unused_result));

/* What each format implements. */
struct exposition_family {
    const char *name; /* without _total */
    const char *unit; /* a word, or "" */
    const char *help;
    enum metric_kind kind;
    enum metric_value value;
    bool is_info; /* target_info */
};

struct exposition_writer {
    void (*begin)(void *writer, const struct exposition_family *family);
    void (*point)(void *writer, const struct labels *labels, const struct metric_point *point);
    void (*end)(void *writer);
    void (*finish)(void *writer);
};

/* The exemplar of a bucket (lower, upper]: the latest; NULL: none. */
const struct exemplar_point *exposition_exemplar(const struct metric_point *point, double lower,
                                                 double upper);
