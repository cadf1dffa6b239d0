#include "agent/model/attributes.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* One block: this, the items, then the bytes of keys and strings. */
struct attributes_block {
    struct attributes set; /* first: what callers hold */
    _Atomic uint32_t references;
    struct attribute items[];
};

static struct attributes_block *block_of(const struct attributes *attributes)
{
    return (struct attributes_block *)(uintptr_t)attributes;
}

static int key_compare(const struct attribute *a, const struct attribute *b)
{
    size_t shorter = a->key.length < b->key.length ? a->key.length : b->key.length;
    int order = shorter ? memcmp(a->key.bytes, b->key.bytes, shorter) : 0;

    if (order != 0)
        return order;
    return (a->key.length > b->key.length) - (a->key.length < b->key.length);
}

/* Inserts by key; a later value of the same key replaces. Sets are small, so this is the quickest.
 */
static size_t sort(const struct attribute *items, size_t count, struct attribute *sorted)
{
    size_t sorted_count = 0;

    for (size_t i = 0; i < count; i++) {
        size_t at = sorted_count;
        while (at > 0 && key_compare(&sorted[at - 1], &items[i]) > 0)
            at--;
        if (at > 0 && key_compare(&sorted[at - 1], &items[i]) == 0) {
            sorted[at - 1] = items[i];
            continue;
        }
        if (sorted_count == ATTRIBUTES_MAX)
            continue;
        memmove(sorted + at + 1, sorted + at, (sorted_count - at) * sizeof(*sorted));
        sorted[at] = items[i];
        sorted_count++;
    }
    return sorted_count;
}

static struct view copy_view(char **at, struct view view)
{
    struct view copy = {*at, view.length};

    if (view.length)
        memcpy(*at, view.bytes, view.length);
    *at += view.length;
    return copy;
}

static uint64_t hash_set(const struct attribute *items, size_t count)
{
    uint64_t hash = count;

    for (size_t i = 0; i < count; i++) {
        const struct attribute *item = &items[i];
        hash = XXH3_64bits_withSeed(item->key.bytes, item->key.length, hash + item->type);
        if (item->type == ATTRIBUTE_STRING)
            hash = XXH3_64bits_withSeed(item->value.string.bytes, item->value.string.length, hash);
        else if (item->type == ATTRIBUTE_BOOL)
            hash = XXH3_64bits_withSeed(&item->value.boolean, sizeof(bool), hash);
        else
            hash = XXH3_64bits_withSeed(&item->value.integer, sizeof(int64_t), hash);
    }
    return hash;
}

const struct attributes *attributes_new(const struct attribute *items, size_t count)
{
    struct attribute sorted[ATTRIBUTES_MAX];
    size_t bytes = 0;

    count = sort(items, count, sorted);
    for (size_t i = 0; i < count; i++) {
        bytes += sorted[i].key.length;
        if (sorted[i].type == ATTRIBUTE_STRING)
            bytes += sorted[i].value.string.length;
    }
    struct attributes_block *block =
        malloc(sizeof(*block) + count * sizeof(struct attribute) + bytes);
    if (!block)
        return NULL;
    char *at = (char *)(block->items + count);
    for (size_t i = 0; i < count; i++) {
        block->items[i] = sorted[i];
        block->items[i].key = copy_view(&at, sorted[i].key);
        if (sorted[i].type == ATTRIBUTE_STRING)
            block->items[i].value.string = copy_view(&at, sorted[i].value.string);
    }
    atomic_init(&block->references, 1);
    block->set = (struct attributes){count, hash_set(block->items, count), block->items};
    return &block->set;
}

const struct attributes *attributes_ref(const struct attributes *attributes)
{
    if (attributes)
        atomic_fetch_add_explicit(&block_of(attributes)->references, 1, memory_order_relaxed);
    return attributes;
}

const struct attributes *attributes_unref(const struct attributes *attributes)
{
    if (attributes &&
        atomic_fetch_sub_explicit(&block_of(attributes)->references, 1, memory_order_acq_rel) == 1)
        free(block_of(attributes));
    return NULL;
}

static bool value_equal(const struct attribute *a, const struct attribute *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case ATTRIBUTE_STRING:
        return view_equal(a->value.string, b->value.string);
    case ATTRIBUTE_BOOL:
        return a->value.boolean == b->value.boolean;
    case ATTRIBUTE_INT:
    case ATTRIBUTE_DOUBLE:
        return a->value.integer == b->value.integer;
    }
    return false;
}

bool attributes_equal(const struct attributes *a, const struct attributes *b)
{
    if (a == b)
        return true;
    if (!a || !b || a->hash != b->hash || a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (!view_equal(a->items[i].key, b->items[i].key) ||
            !value_equal(&a->items[i], &b->items[i]))
            return false;
    }
    return true;
}

const struct attribute *attributes_find(const struct attributes *attributes, struct view key)
{
    for (size_t i = 0; attributes && i < attributes->count; i++) {
        if (view_equal(attributes->items[i].key, key))
            return &attributes->items[i];
    }
    return NULL;
}

struct view attributes_text(const struct attributes *attributes, const char *key)
{
    const struct attribute *found = attributes ? attributes_find(attributes, view_from(key)) : NULL;

    return found && found->type == ATTRIBUTE_STRING ? found->value.string : (struct view){NULL, 0};
}
