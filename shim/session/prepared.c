#include "shim/session/prepared.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { BUCKETS = 256 }; /* a power of two */

struct prepared_cache {
    const struct probe_table *probe;
    struct prepared_entry *buckets[BUCKETS];
    struct prepared_entry *newest, *oldest, *doomed;
    uint64_t key; /* of the names */
    uint32_t count, number;
    bool is_useless;
};

struct prepared_cache *prepared_new(const struct probe_table *probe)
{
    struct prepared_cache *cache = calloc(1, sizeof(*cache));

    if (!cache)
        return NULL;
    cache->probe = probe;
    if (getrandom(&cache->key, sizeof(cache->key), 0) == (ssize_t)sizeof(cache->key))
        return cache;
    free(cache);
    return NULL;
}

struct prepared_entry *prepared_ref(struct prepared_entry *entry)
{
    if (entry)
        entry->references++;
    return entry;
}

void prepared_unref(struct prepared_entry *entry)
{
    if (!entry || --entry->references)
        return;
    entry->probe->text_free(entry->text);
    free(entry);
}

struct prepared_cache *prepared_free(struct prepared_cache *cache)
{
    prepared_forget(cache);
    free(cache);
    return NULL;
}

/* ---- order ----------------------------------------------------------------------------------- */

static void use_unlink(struct prepared_cache *cache, struct prepared_entry *entry)
{
    *(entry->newer ? &entry->newer->older : &cache->newest) = entry->older;
    *(entry->older ? &entry->older->newer : &cache->oldest) = entry->newer;
}

static void use_link(struct prepared_cache *cache, struct prepared_entry *entry)
{
    entry->newer = NULL;
    entry->older = cache->newest;
    *(entry->older ? &entry->older->newer : &cache->oldest) = entry;
    cache->newest = entry;
}

static struct prepared_entry **bucket_of(struct prepared_cache *cache, uint64_t hash)
{
    return &cache->buckets[(hash >> 32) & (BUCKETS - 1)];
}

/* False: it was out already. */
static bool entry_unlink(struct prepared_cache *cache, struct prepared_entry *entry)
{
    struct prepared_entry **place = bucket_of(cache, entry->hash);

    while (*place && *place != entry)
        place = &(*place)->chain;
    if (!*place)
        return false;
    *place = entry->chain;
    use_unlink(cache, entry);
    cache->count--;
    return true;
}

/* ---- finding and making ---------------------------------------------------------------------- */

static bool entry_is(const struct prepared_entry *entry, struct view sql, uint64_t hash,
                     const struct weir_statement_opts *opts)
{
    if (entry->hash != hash || !view_equal(entry->sql, sql) || entry->count != opts->count ||
        entry->has_types != (opts->types != NULL))
        return false;
    return !opts->types || !opts->count ||
           !memcmp(entry->types, opts->types, (size_t)opts->count * sizeof(Oid));
}

struct prepared_entry *prepared_find(struct prepared_cache *cache, struct view sql, uint64_t hash,
                                     const struct weir_statement_opts *opts)
{
    struct prepared_entry *entry = *bucket_of(cache, hash);

    while (entry && !entry_is(entry, sql, hash, opts))
        entry = entry->chain;
    if (entry && entry != cache->newest) {
        use_unlink(cache, entry);
        use_link(cache, entry);
    }
    return entry;
}

static struct prepared_entry *entry_new(struct prepared_cache *cache, struct view sql,
                                        uint64_t hash, const struct weir_statement_opts *opts,
                                        bool backslash_strings)
{
    size_t types_size = opts->types ? (size_t)opts->count * sizeof(Oid) : 0;
    struct prepared_entry *entry = malloc(sizeof(*entry) + types_size + sql.length + 1);
    char *text;

    if (!entry)
        return NULL;
    *entry = (struct prepared_entry){
        .probe = cache->probe,
        .text = cache->probe->text_new(sql.bytes, sql.length,
                                       backslash_strings ? WEIR_STATEMENT_BACKSLASH_STRINGS : 0),
        .hash = hash,
        .references = 1,
        .count = opts->count,
        .has_types = opts->types != NULL,
    };
    if (types_size)
        memcpy(entry->types, opts->types, types_size);
    text = (char *)entry->types + types_size;
    memcpy(text, sql.bytes, sql.length);
    text[sql.length] = '\0';
    entry->sql = (struct view){text, sql.length};
    (void)snprintf(entry->name, sizeof(entry->name), "weir_%" PRIu32 "_%016" PRIx64,
                   ++cache->number, cache->key);
    return entry;
}

struct prepared_entry *prepared_add(struct prepared_cache *cache, struct view sql, uint64_t hash,
                                    const struct weir_statement_opts *opts, uint32_t max,
                                    bool backslash_strings)
{
    struct prepared_entry *entry = entry_new(cache, sql, hash, opts, backslash_strings);
    struct prepared_entry **place = bucket_of(cache, hash);

    if (!entry)
        return NULL;
    while (cache->oldest && cache->count >= max)
        prepared_doom(cache, cache->oldest);
    entry->chain = *place;
    *place = entry;
    use_link(cache, entry);
    cache->count++;
    return entry;
}

/* ---- ends ------------------------------------------------------------------------------------ */

void prepared_drop(struct prepared_cache *cache, struct prepared_entry *entry)
{
    if (entry_unlink(cache, entry))
        prepared_unref(entry);
}

void prepared_doom(struct prepared_cache *cache, struct prepared_entry *entry)
{
    if (!entry_unlink(cache, entry))
        return;
    entry->older = cache->doomed;
    cache->doomed = entry;
}

struct prepared_entry *prepared_take_doomed(struct prepared_cache *cache)
{
    struct prepared_entry *entry = cache->doomed;

    if (entry)
        cache->doomed = entry->older;
    return entry;
}

bool prepared_has_doomed(const struct prepared_cache *cache)
{
    return cache->doomed != NULL;
}

void prepared_closed(struct prepared_cache *cache, struct prepared_entry *entry, bool again)
{
    if (!again) {
        prepared_unref(entry);
        return;
    }
    entry->older = cache->doomed;
    cache->doomed = entry;
}

void prepared_forget(struct prepared_cache *cache)
{
    struct prepared_entry *entry;

    while (cache && cache->oldest)
        prepared_drop(cache, cache->oldest);
    while (cache && (entry = prepared_take_doomed(cache)))
        prepared_unref(entry);
}

void prepared_set_useless(struct prepared_cache *cache)
{
    prepared_forget(cache);
    cache->is_useless = true;
}

bool prepared_is_useless(const struct prepared_cache *cache)
{
    return cache->is_useless;
}

uint32_t prepared_count(const struct prepared_cache *cache)
{
    return cache ? cache->count : 0;
}
