/* An immutable, shared set of attributes, sorted by key: what a series or a resource is told apart
 * by. Made once, then passed between threads; the count of references is atomic. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/view.h"

enum attribute_type {
    ATTRIBUTE_STRING = 1,
    ATTRIBUTE_INT,
    ATTRIBUTE_BOOL,
    ATTRIBUTE_DOUBLE,
};

struct attribute {
    struct view key; /* points into the set's own memory, or is static while building */
    enum attribute_type type;
    union {
        struct view string;
        int64_t integer;
        bool boolean;
        double number;
    } value;
};

struct attributes {
    size_t count;
    uint64_t hash; /* of all keys and values; equal sets have equal hashes */
    const struct attribute *items;
};

enum { ATTRIBUTES_MAX = 160 }; /* attributes in one set */

/* Copies @items (in any order; of equal keys the last wins; more than ATTRIBUTES_MAX are cut) into
 * one block. NULL: out of memory. The caller owns one reference. */
const struct attributes *attributes_new(const struct attribute *items, size_t count)
    __attribute__((warn_unused_result));
const struct attributes *attributes_ref(const struct attributes *attributes);
const struct attributes *attributes_unref(const struct attributes *attributes); /* returns NULL */
CLEANUP_DEFINE(const struct attributes *, attributes_unrefp, attributes_unref)

bool attributes_equal(const struct attributes *a, const struct attributes *b);
const struct attribute *attributes_find(const struct attributes *attributes, struct view key);
/* The string behind @key; empty if there is none (NULL set: none). Borrowed as long as the set. */
struct view attributes_text(const struct attributes *attributes, const char *key);

static inline struct attribute attribute_string(const char *key, struct view value)
{
    return (struct attribute){view_from(key), ATTRIBUTE_STRING, {.string = value}};
}

static inline struct attribute attribute_int(const char *key, int64_t value)
{
    return (struct attribute){view_from(key), ATTRIBUTE_INT, {.integer = value}};
}

static inline struct attribute attribute_bool(const char *key, bool value)
{
    return (struct attribute){view_from(key), ATTRIBUTE_BOOL, {.boolean = value}};
}
