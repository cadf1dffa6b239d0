/* A hash table over entries that are also threaded on a list by last use. */
#include "agent/model/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "agent/model/utf8.h"

struct name {
    struct name *next_in_bucket;
    struct name *newer, *older;
    uint64_t id;
    uint32_t kind;
    uint32_t length;
    char text[];
};

struct names {
    struct names_opts opts;
    struct names_stats stats;
    struct name **buckets;
    size_t bucket_mask;
    struct name *newest, *oldest;
};

int names_new(const struct names_opts *opts, struct names **ret)
{
    struct names *CLEANUP(names_freep) names = calloc(1, sizeof(*names));
    size_t buckets = 1024;

    if (!names)
        return -ENOMEM;
    while (buckets < opts->entries_max)
        buckets *= 2;
    names->opts = *opts;
    names->bucket_mask = buckets - 1;
    names->buckets = calloc(buckets, sizeof(*names->buckets));
    if (!names->buckets)
        return -ENOMEM;
    *ret = STEAL(names);
    return 0;
}

struct names *names_free(struct names *names)
{
    if (!names)
        return NULL;
    for (struct name *name = names->oldest, *newer; name; name = newer) {
        newer = name->newer;
        free(name);
    }
    free(names->buckets);
    free(names);
    return NULL;
}

static struct name **bucket_of(struct names *names, enum name_kind kind, uint64_t id)
{
    return &names->buckets[(id ^ (uint64_t)kind * 0x9E3779B97F4A7C15u) & names->bucket_mask];
}

static void unthread(struct names *names, struct name *name)
{
    *(name->newer ? &name->newer->older : &names->newest) = name->older;
    *(name->older ? &name->older->newer : &names->oldest) = name->newer;
}

static void thread_as_newest(struct names *names, struct name *name)
{
    name->newer = NULL;
    name->older = names->newest;
    *(names->newest ? &names->newest->newer : &names->oldest) = name;
    names->newest = name;
}

static struct name *find(struct names *names, enum name_kind kind, uint64_t id)
{
    struct name *name = *bucket_of(names, kind, id);

    while (name && (name->id != id || name->kind != (uint32_t)kind))
        name = name->next_in_bucket;
    return name;
}

static void evict_oldest(struct names *names)
{
    struct name *name = names->oldest;
    struct name **link = bucket_of(names, (enum name_kind)name->kind, name->id);

    while (*link != name)
        link = &(*link)->next_in_bucket;
    *link = name->next_in_bucket;
    unthread(names, name);
    names->stats.entries--;
    names->stats.bytes -= name->length;
    names->stats.evicted++;
    free(name);
}

static bool id_fits(enum name_kind kind, uint64_t id, struct view text)
{
    uint64_t hash;

    if (kind == NAME_STATEMENT) /* a hash over tokens, which only a lexer could check */
        return id != 0;
    hash = XXH3_64bits(text.bytes, text.length);
    return id == (hash ? hash : 1);
}

int names_add(struct names *names, enum name_kind kind, uint64_t id, uint32_t flags,
              struct view text)
{
    struct name *name, **bucket;

    (void)flags;
    if (!id_fits(kind, id, text) || text.length > NAME_TEXT_MAX ||
        text.length > names->opts.bytes_max) {
        names->stats.refused++;
        return NAMES_E_REFUSED;
    }
    name = find(names, kind, id);
    if (name) { /* equal ids are equal texts, but for a statement's white space: the first stays */
        unthread(names, name);
        thread_as_newest(names, name);
        return 0;
    }
    name = malloc(sizeof(*name) + text.length);
    if (!name)
        return -ENOMEM;
    name->id = id;
    name->kind = (uint32_t)kind;
    name->length = (uint32_t)text.length;
    if (text.length)
        memcpy(name->text, text.bytes, text.length);
    utf8_repair(name->text, text.length);
    while (names->oldest && (names->stats.entries >= names->opts.entries_max ||
                             names->stats.bytes + text.length > names->opts.bytes_max))
        evict_oldest(names);
    bucket = bucket_of(names, kind, id);
    name->next_in_bucket = *bucket;
    *bucket = name;
    thread_as_newest(names, name);
    names->stats.entries++;
    names->stats.bytes += text.length;
    return 0;
}

struct view names_find(struct names *names, enum name_kind kind, uint64_t id)
{
    struct name *name = id ? find(names, kind, id) : NULL;

    if (!name)
        return (struct view){NULL, 0};
    if (name != names->newest) {
        unthread(names, name);
        thread_as_newest(names, name);
    }
    return (struct view){name->text, name->length};
}

struct names_stats names_stats(const struct names *names)
{
    return names->stats;
}

struct target target_parse(struct view text)
{
    struct target target = {0};
    struct view *const parts[] = {&target.pool, &target.namespace, &target.address, &target.port};

    for (size_t i = 0; i < 4 && text.bytes; i++) {
        const char *newline = memchr(text.bytes, '\n', text.length);
        size_t length = newline ? (size_t)(newline - text.bytes) : text.length;
        *parts[i] = (struct view){text.bytes, length};
        if (!newline)
            break;
        text.bytes += length + 1;
        text.length -= length + 1;
    }
    return target;
}
