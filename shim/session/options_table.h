/* options.def as a table, for the files that read, check and show options. */
#pragma once

#include <stddef.h>

#include "shim/session/options.h"

enum option_kind {
    OPTION_KIND_COUNT,
    OPTION_KIND_TIME,
    OPTION_KIND_TIME_OR_NEVER,
    OPTION_KIND_PERCENT,
    OPTION_KIND_SWITCH,
    OPTION_KIND_RESET,
    OPTION_KIND_PARAMETERS
};

struct option_entry {
    const char *field; /* as in struct weir_pool_opts: with the unit */
    struct view name;  /* as in files and the environment: without */
    enum option_kind kind;
    int32_t otherwise, least, most;
    size_t offset;
};

extern const struct option_entry option_table[OPTION_COUNT];

static inline int32_t *option_field(const struct option_entry *entry, struct weir_pool_opts *opts)
{
    return (int32_t *)(void *)((char *)opts + entry->offset);
}

static inline int32_t option_value(const struct option_entry *entry,
                                   const struct weir_pool_opts *opts)
{
    return *(const int32_t *)(const void *)((const char *)opts + entry->offset);
}

/* The value that @text says. Returns false and the reason, a static text, if it is none of
 * @entry's kind. */
bool option_value_parse(const struct option_entry *entry, struct view text, int32_t *ret,
                        const char **ret_reason);
