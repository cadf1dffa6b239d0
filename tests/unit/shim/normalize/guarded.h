/* A text whose last byte is the last of its page, before a page that nobody may touch: whoever
 * reads past the end dies. */
#pragma once

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/view.h"

struct guarded {
    char *map;
    size_t room;
};

static inline struct guarded guarded_new(size_t length_max)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct guarded guarded = {NULL, (length_max + page) / page * page};

    guarded.map =
        mmap(NULL, guarded.room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (guarded.map == MAP_FAILED || mprotect(guarded.map + guarded.room, page, PROT_NONE))
        abort();
    return guarded;
}

static inline void guarded_free(struct guarded *guarded)
{
    (void)munmap(guarded->map, guarded->room + (size_t)sysconf(_SC_PAGESIZE));
}

/* Valid until the next call. */
static inline struct view guarded_copy(const struct guarded *guarded, struct view text)
{
    char *at = guarded->map + guarded->room - text.length;

    assert(text.length <= guarded->room);
    memcpy(at, text.bytes, text.length);
    return (struct view){at, text.length};
}
