/* A pool's options: checked, copied, and read by any thread while reconfigure changes them. Numbers
 * are atomic one by one; texts and hooks never change but for conninfo, see options_conninfo(). */
#pragma once

#include <stdatomic.h>

#include "base/view.h"
#include "include/weir/pool.h"

enum option {
#define OPTION(field, kind, otherwise, least, most, what) OPTION_##field,
#include "shim/session/options.def"
#undef OPTION
    OPTION_COUNT
};

struct options {
    _Atomic int32_t numbers[OPTION_COUNT];
    char *name;
    char *conninfo;
    char *reset_statements; /* NULL: none */
    char *redact;           /* NULL: none */
    void *hook_userdata;
    weir_before_connect_fn before_connect;
    weir_connection_hook_fn after_connect, before_acquire, after_release;
};

static inline int32_t option_get(const struct options *options, enum option option)
{
    return atomic_load_explicit(&options->numbers[option], memory_order_relaxed);
}
#define OPTION_OF(options, field) option_get((options), OPTION_##field)

/* An option in nanoseconds; UINT64_MAX for WEIR_NEVER. */
static inline uint64_t option_ns(const struct options *options, enum option option)
{
    int32_t value = option_get(options, option);

    return value == WEIR_NEVER ? UINT64_MAX : (uint64_t)value * 1000000u;
}
#define OPTION_NS(options, field) option_ns((options), OPTION_##field)

/* Refuses what cannot be, naming the field and its value: WEIR_ERROR_USAGE. Checks each number's
 * range, min above max, back-off min above max, a lifetime, name, conninfo by libpq's own parser,
 * reset_statements where reset wants them, and sizes of structs from older headers (missing fields
 * have their defaults; unknown newer fields that are not zero are refused). The checked copy,
 * whole, goes to *ret. */
int options_check(const struct weir_pool_opts *opts, struct weir_pool_opts *ret,
                  struct weir_error **ret_error);
/* Lays what the environment says (WEIR_POOL_<FIELD>, then WEIR_POOL_<NAME>_<FIELD>; also CONNINFO)
 * over *opts. *@owned is a text to be freed after use. */
int options_add_environment(struct weir_pool_opts *opts, char **ret_owned,
                            struct weir_error **ret_error);
/* Copies checked options. 0 or -ENOMEM. */
int options_init(struct options *options, const struct weir_pool_opts *checked);
void options_deinit(struct options *options);
/* Takes the numbers of checked options over. */
void options_change(struct options *options, const struct weir_pool_opts *checked);
/* The options as the public struct; texts are borrowed. */
void options_show(const struct options *options, struct weir_pool_opts *ret);

/* One option from its text, by its name in files and the environment (without the unit). Returns
 * false and the reason in *@ret_reason (a static text) if there is no such option or the text is
 * not one of its kind; ranges are options_check()'s. */
bool option_parse(struct weir_pool_opts *opts, struct view name, struct view text,
                  const char **ret_reason);
