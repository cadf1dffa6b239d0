/* Memory for one request's messages: taken piece by piece, given back all at once. One owner. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct arena_block;

/* Zero-initialized before the first use. */
struct arena {
    struct arena_block *newest;
    bool failed; /* sticky until the next clear: some piece was NULL for want of memory */
};

/* Zeroed memory, aligned for any type; NULL: out of memory. */
void *arena_take(struct arena *arena, size_t count, size_t size);
/* Frees every piece but one block, which the next request begins with. */
void arena_clear(struct arena *arena);
void arena_deinit(struct arena *arena);
