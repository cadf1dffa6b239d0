/* A span that was kept: immutable once made, passed to the senders by reference. */
#pragma once

#include <stdint.h>

#include "agent/model/attributes.h"

enum span_status {
    SPAN_UNSET = 0,
    SPAN_ERROR = 2,
};

struct span {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t parent_span_id[8]; /* zeros: a root */
    uint32_t flags;            /* W3C flags, and that the parent is remote */
    const char *tracestate;    /* own memory; "" if none */
    const char *name;          /* own memory */
    uint64_t start_unix_ns, end_unix_ns;
    enum span_status status;
    const struct attributes *resource;
    const struct attributes *attributes;
};

const struct span *span_ref(const struct span *span);
const struct span *span_unref(const struct span *span);
CLEANUP_DEFINE(const struct span *, span_unrefp, span_unref)
/* Copies @span, its texts, and takes references to its sets. NULL: out of memory. */
const struct span *span_new(const struct span *span) __attribute__((warn_unused_result));
