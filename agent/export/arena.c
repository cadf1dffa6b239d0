#include "agent/export/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

enum { BLOCK_SIZE = 64 << 10, ALIGNMENT = 16 };

struct arena_block {
    struct arena_block *older;
    size_t used, size;
    _Alignas(ALIGNMENT) char bytes[];
};

static bool grow(struct arena *arena, size_t needed)
{
    size_t size = needed > BLOCK_SIZE ? needed : BLOCK_SIZE;
    struct arena_block *block = malloc(sizeof(*block) + size);

    if (!block)
        return false;
    *block = (struct arena_block){.older = arena->newest, .size = size};
    arena->newest = block;
    return true;
}

void *arena_take(struct arena *arena, size_t count, size_t size)
{
    size_t bytes;

    if (!CHECKED_MUL(count, size, &bytes) || bytes > SIZE_MAX / 2) {
        arena->failed = true;
        return NULL;
    }
    bytes = align_up(bytes ? bytes : 1, ALIGNMENT);
    if (!arena->newest || arena->newest->size - arena->newest->used < bytes) {
        if (!grow(arena, bytes)) {
            arena->failed = true;
            return NULL;
        }
    }
    void *piece = arena->newest->bytes + arena->newest->used;
    arena->newest->used += bytes;
    return memset(piece, 0, bytes);
}

void arena_clear(struct arena *arena)
{
    while (arena->newest && arena->newest->older) {
        struct arena_block *older = arena->newest->older;
        free(arena->newest);
        arena->newest = older;
    }
    if (arena->newest)
        arena->newest->used = 0;
    arena->failed = false;
}

void arena_deinit(struct arena *arena)
{
    arena_clear(arena);
    free(arena->newest);
    *arena = (struct arena){0};
}
