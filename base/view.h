/* A borrowed run of bytes: pointer and length by value, valid only for the call it is passed to. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct view {
    const char *bytes;
    size_t length;
};

#define VIEW_LITERAL(text) ((struct view){(text), sizeof(text) - 1})

static inline struct view view_from(const char *text)
{
    return (struct view){text, text ? strlen(text) : 0};
}

static inline bool view_equal(struct view a, struct view b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.bytes, b.bytes, a.length) == 0);
}
