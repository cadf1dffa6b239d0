/* A tree may be deep and its JSON a hundred times as long as the text, so it is walked as a stream
 * of keys: a relation is the object with a "relname" and, later at the same depth, a "location".
 * No recursion, no allocation. */
#include "agent/statement/relations.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/view.h"

enum { WITH_QUERIES_MAX = 64 };

struct found {
    struct view name; /* empty: it cannot be the name of a WITH query */
    uint32_t offset;
};

struct walk {
    const char *at;
    int depth;
    int schema_depth; /* of the last "schemaname" */
    int locked_depth; /* inside "lockedRels" of the object at this depth; -1: outside */
    int name_depth;   /* of a "relname" whose "location" has not come yet; -1: none */
    struct view name;
    struct found found[RELATIONS_MAX];
    uint32_t found_count;
    struct view with_queries[WITH_QUERIES_MAX];
    uint32_t with_query_count;
};

/* From the opening quote to behind the closing one. */
static struct view walk_string(struct walk *walk)
{
    const char *start = ++walk->at;

    while (*walk->at && *walk->at != '"')
        walk->at += walk->at[0] == '\\' && walk->at[1] ? 2 : 1;
    struct view string = {start, (size_t)(walk->at - start)};
    if (*walk->at)
        walk->at++;
    return string;
}

static void walk_close(struct walk *walk)
{
    walk->depth--;
    if (walk->depth < walk->name_depth)
        walk->name_depth = -1;
    if (walk->depth < walk->schema_depth)
        walk->schema_depth = -1;
    if (walk->depth <= walk->locked_depth)
        walk->locked_depth = -1;
}

static void walk_location(struct walk *walk)
{
    unsigned long offset = strtoul(walk->at, NULL, 10);

    if (walk->locked_depth < 0 && walk->found_count < RELATIONS_MAX && offset <= UINT32_MAX)
        walk->found[walk->found_count++] = (struct found){walk->name, (uint32_t)offset};
    walk->name_depth = -1;
}

static void walk_key(struct walk *walk, struct view key)
{
    if (view_equal(key, VIEW_LITERAL("schemaname"))) {
        walk->schema_depth = walk->depth;
    } else if (view_equal(key, VIEW_LITERAL("relname")) && *walk->at == '"') {
        struct view name = walk_string(walk);
        bool has_schema = walk->schema_depth == walk->depth;
        walk->name = has_schema ? (struct view){NULL, 0} : name;
        walk->name_depth = walk->depth;
    } else if (view_equal(key, VIEW_LITERAL("location")) && walk->depth == walk->name_depth) {
        walk_location(walk);
    } else if (view_equal(key, VIEW_LITERAL("lockedRels"))) {
        walk->locked_depth = walk->depth;
    } else if (view_equal(key, VIEW_LITERAL("ctename")) && *walk->at == '"') {
        struct view name = walk_string(walk);
        if (walk->with_query_count < WITH_QUERIES_MAX)
            walk->with_queries[walk->with_query_count++] = name;
    }
}

static bool is_with_query(const struct walk *walk, struct view name)
{
    for (uint32_t i = 0; name.length > 0 && i < walk->with_query_count; i++) {
        if (view_equal(walk->with_queries[i], name))
            return true;
    }
    return false;
}

static int offset_compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

void relations_find(const char *tree, struct relations *ret)
{
    struct walk walk = {.at = tree, .schema_depth = -1, .locked_depth = -1, .name_depth = -1};

    while (*walk.at) {
        char c = *walk.at;
        if (c == '"') {
            struct view string = walk_string(&walk);
            if (*walk.at == ':') {
                walk.at++;
                walk_key(&walk, string);
            }
            continue;
        }
        if (c == '{' || c == '[')
            walk.depth++;
        else if (c == '}' || c == ']')
            walk_close(&walk);
        walk.at++;
    }

    ret->count = 0;
    for (uint32_t i = 0; i < walk.found_count; i++) {
        if (!is_with_query(&walk, walk.found[i].name))
            ret->offsets[ret->count++] = walk.found[i].offset;
    }
    qsort(ret->offsets, ret->count, sizeof(ret->offsets[0]), offset_compare);
}
