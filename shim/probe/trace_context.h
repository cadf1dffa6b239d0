/* A W3C traceparent, read. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

struct trace_context {
    uint8_t trace_id[16]; /* zeros: no trace */
    uint8_t parent_span_id[8];
    uint8_t flags;
};

/* False, and *ret untouched, for what the recommendation calls invalid. */
bool trace_context_parse(struct view traceparent, struct trace_context *ret);
