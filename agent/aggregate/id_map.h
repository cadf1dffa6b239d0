/* A hash table from 64-bit keys to entries that carry their key and a link: the one that
 * statements, sets, targets and pools share. Entries are the owner's. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct id_entry {
    struct id_entry *next;
    uint64_t hash;
};

struct id_map {
    struct id_entry **buckets;
    size_t mask;
    size_t count;
};

/* Room for about @entries_max; the map works with more, only slower. */
static inline int id_map_init(struct id_map *map, size_t entries_max)
{
    size_t buckets = 64;

    while (buckets < entries_max)
        buckets *= 2;
    map->buckets = calloc(buckets, sizeof(*map->buckets));
    map->mask = buckets - 1;
    map->count = 0;
    return map->buckets ? 0 : -1;
}

static inline struct id_entry *id_map_first(const struct id_map *map, uint64_t hash)
{
    return map->buckets[hash & map->mask];
}

static inline void id_map_add(struct id_map *map, struct id_entry *entry, uint64_t hash)
{
    struct id_entry **bucket = &map->buckets[hash & map->mask];

    entry->hash = hash;
    entry->next = *bucket;
    *bucket = entry;
    map->count++;
}

static inline void id_map_remove(struct id_map *map, struct id_entry *entry)
{
    struct id_entry **link = &map->buckets[entry->hash & map->mask];

    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
    map->count--;
}

static inline uint64_t id_mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
    return hash ^ (hash >> 29);
}
