#include "agent/model/span.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct span_block {
    struct span span; /* first: what callers hold */
    _Atomic uint32_t references;
    char bytes[]; /* name and tracestate */
};

static struct span_block *block_of(const struct span *span)
{
    return (struct span_block *)(uintptr_t)span;
}

const struct span *span_new(const struct span *span)
{
    size_t name_size = strlen(span->name) + 1, state_size = strlen(span->tracestate) + 1;
    struct span_block *block = malloc(sizeof(*block) + name_size + state_size);

    if (!block)
        return NULL;
    block->span = *span;
    block->span.name = memcpy(block->bytes, span->name, name_size);
    block->span.tracestate = memcpy(block->bytes + name_size, span->tracestate, state_size);
    block->span.resource = attributes_ref(span->resource);
    block->span.attributes = attributes_ref(span->attributes);
    atomic_init(&block->references, 1);
    return &block->span;
}

const struct span *span_ref(const struct span *span)
{
    if (span)
        atomic_fetch_add_explicit(&block_of(span)->references, 1, memory_order_relaxed);
    return span;
}

const struct span *span_unref(const struct span *span)
{
    if (span &&
        atomic_fetch_sub_explicit(&block_of(span)->references, 1, memory_order_acq_rel) == 1) {
        attributes_unref(span->resource);
        attributes_unref(span->attributes);
        free(block_of(span));
    }
    return NULL;
}
