#include "shim/preload/prepared.h"

#include <stdlib.h>
#include <string.h>

#include "shim/probe/verb.h"

enum { BUCKETS = 1024 }; /* a power of two */

struct prepared_name {
    struct prepared_name *chain;
    struct prepared_name *newer, *older; /* by last use */
    struct prepared_text *text;
    uint32_t hash;
    uint32_t length;
    char name[PREPARED_NAME_MAX];
};

/* ---- texts ----------------------------------------------------------------------------------- */

struct prepared_text *prepared_text_new(struct view sql, uint32_t flags)
{
    struct prepared_text *text = malloc(sizeof(*text));

    if (!text)
        return NULL;
    *text = (struct prepared_text){
        .text = weir_probe_text_new(sql.bytes, sql.length, flags),
        .verb = verb_of(lexer_of(sql, flags & WEIR_STATEMENT_BACKSLASH_STRINGS)),
        .references = 1,
    };
    return text;
}

struct prepared_text *prepared_text_ref(struct prepared_text *text)
{
    if (text)
        text->references++;
    return text;
}

void prepared_text_unref(struct prepared_text *text)
{
    if (!text || --text->references)
        return;
    weir_probe_text_free(text->text);
    free(text);
}

/* ---- names ----------------------------------------------------------------------------------- */

static struct view name_cut(struct view name)
{
    if (name.length > PREPARED_NAME_MAX - 1)
        name.length = PREPARED_NAME_MAX - 1;
    return name;
}

/* FNV-1a: names are short. */
static uint32_t name_hash(struct view name)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < name.length; i++)
        hash = (hash ^ (unsigned char)name.bytes[i]) * 16777619u;
    return hash;
}

static void use_unlink(struct prepared *prepared, struct prepared_name *entry)
{
    *(entry->newer ? &entry->newer->older : &prepared->newest) = entry->older;
    *(entry->older ? &entry->older->newer : &prepared->oldest) = entry->newer;
}

static void use_link(struct prepared *prepared, struct prepared_name *entry)
{
    entry->newer = NULL;
    entry->older = prepared->newest;
    *(entry->older ? &entry->older->newer : &prepared->oldest) = entry;
    prepared->newest = entry;
}

/* The place that points to the entry of @name, or where it would be linked. */
static struct prepared_name **name_place(struct prepared *prepared, struct view name, uint32_t hash)
{
    struct prepared_name **place = &prepared->buckets[hash & (BUCKETS - 1)];

    while (*place && ((*place)->hash != hash ||
                      !view_equal((struct view){(*place)->name, (*place)->length}, name)))
        place = &(*place)->chain;
    return place;
}

static void name_free(struct prepared *prepared, struct prepared_name **place)
{
    struct prepared_name *entry = *place;

    if (!entry)
        return;
    *place = entry->chain;
    use_unlink(prepared, entry);
    prepared_text_unref(entry->text);
    free(entry);
    prepared->count--;
}

static void name_add(struct prepared *prepared, struct view name, uint32_t hash,
                     struct prepared_text *text)
{
    struct prepared_name *entry, *oldest = prepared->oldest, **place;

    if (prepared->count >= PREPARED_NAMES_MAX)
        name_free(prepared,
                  name_place(prepared, (struct view){oldest->name, oldest->length}, oldest->hash));
    entry = malloc(sizeof(*entry));
    if (!entry)
        return;
    place = name_place(prepared, name, hash);
    *entry = (struct prepared_name){
        .text = prepared_text_ref(text), .hash = hash, .length = (uint32_t)name.length};
    memcpy(entry->name, name.bytes, name.length);
    *place = entry;
    use_link(prepared, entry);
    prepared->count++;
}

void prepared_put(struct prepared *prepared, struct view name, struct prepared_text *text)
{
    struct prepared_name *entry;
    uint32_t hash;

    if (!prepared->buckets)
        prepared->buckets = calloc(BUCKETS, sizeof(struct prepared_name *));
    if (!prepared->buckets || !text)
        return;
    name = name_cut(name);
    hash = name_hash(name);
    entry = *name_place(prepared, name, hash);
    if (!entry) {
        name_add(prepared, name, hash, text);
        return;
    }
    (void)prepared_text_ref(text); /* now the entry's, maybe in its own place */
    prepared_text_unref(entry->text);
    entry->text = text;
}

struct prepared_text *prepared_find(struct prepared *prepared, struct view name)
{
    struct prepared_name *entry;

    if (!prepared->buckets)
        return NULL;
    name = name_cut(name);
    entry = *name_place(prepared, name, name_hash(name));
    if (!entry)
        return NULL;
    if (entry != prepared->newest) {
        use_unlink(prepared, entry);
        use_link(prepared, entry);
    }
    return entry->text;
}

void prepared_remove(struct prepared *prepared, struct view name)
{
    struct prepared_name **place;

    if (!prepared->buckets)
        return;
    name = name_cut(name);
    place = name_place(prepared, name, name_hash(name));
    if (*place)
        name_free(prepared, place);
}

void prepared_clear(struct prepared *prepared)
{
    struct prepared_name *oldest;

    while ((oldest = prepared->oldest))
        name_free(prepared,
                  name_place(prepared, (struct view){oldest->name, oldest->length}, oldest->hash));
}

void prepared_deinit(struct prepared *prepared)
{
    prepared_clear(prepared);
    free(prepared->buckets);
    prepared->buckets = NULL;
}
