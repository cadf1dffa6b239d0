#include "shim/session/arguments.h"

#include <assert.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdlib.h>

#include "shim/session/failure.h"

enum { PARAMETERS_MAX = 65535 }; /* the protocol's */

/* ---- checks ---------------------------------------------------------------------------------- */

/* A caller of an older header has fewer fields; one of a newer may not use what we do not know. */
static int opts_take(struct weir_statement_opts *ret, const struct weir_statement_opts *opts,
                     const char *doing, struct weir_error **ret_error)
{
    const unsigned char *bytes = (const unsigned char *)opts;

    *ret = (struct weir_statement_opts){.size = sizeof(*ret)};
    if (!opts)
        return 0;
    if (opts->size < offsetof(struct weir_statement_opts, timeout_ms))
        return failure(ret_error, WEIR_ERROR_USAGE,
                       "%s: the options' size is %zu: set it to sizeof(struct weir_statement_opts)",
                       doing, opts->size);
    for (size_t i = sizeof(*ret); i < opts->size; i++)
        if (bytes[i])
            return failure(ret_error, WEIR_ERROR_USAGE,
                           "%s: options of a newer version than this library are set", doing);
    memcpy(ret, opts, opts->size < sizeof(*ret) ? opts->size : sizeof(*ret));
    return 0;
}

static const char *opts_wrong(const struct weir_statement_opts *opts)
{
    if (opts->timeout_ms < 0)
        return "timeout_ms is negative";
    if (opts->count < 0 || opts->count > PARAMETERS_MAX)
        return "count is not between 0 and 65535";
    if (opts->parameters < 0 || opts->parameters > WEIR_PARAMETERS_REDACTED + 1)
        return "parameters is not 0 or a weir_parameters + 1";
    if (opts->result_format != 0 && opts->result_format != 1)
        return "result_format is not 0 or 1";
    if (opts->ret_timing && opts->ret_timing->size < sizeof(struct weir_timing))
        return "ret_timing's size is not set";
    for (int32_t i = 0; opts->formats && i < opts->count; i++)
        if (opts->formats[i] == 1 && opts->values && opts->values[i] && !opts->lengths)
            return "a binary parameter has no length";
    return NULL;
}

int arguments_check(struct arguments *arguments, const char *sql,
                    const struct weir_statement_opts *opts, const char *doing,
                    struct weir_error **ret_error)
{
    const char *wrong;
    int r;

    arguments->owned = NULL;
    r = opts_take(&arguments->opts, opts, doing, ret_error);
    if (r)
        return r;
    if (!sql)
        return failure(ret_error, WEIR_ERROR_USAGE, "%s: the statement is NULL", doing);
    wrong = opts_wrong(&arguments->opts);
    if (wrong)
        return failure(ret_error, WEIR_ERROR_USAGE, "%s: %s", doing, wrong);
    arguments->sql = view_from(sql);
    return 0;
}

/* ---- copies ---------------------------------------------------------------------------------- */

static size_t value_size(const struct weir_statement_opts *opts, int32_t i)
{
    if (!opts->values || !opts->values[i])
        return 0;
    if (opts->formats && opts->formats[i] == 1)
        return (size_t)(opts->lengths[i] > 0 ? opts->lengths[i] : 0);
    return strlen(opts->values[i]) + 1;
}

/* The arrays first, the widest first, so that each stands where it may. */
struct copy {
    char *at;
};

static void *copy_add(struct copy *copy, const void *bytes, size_t size)
{
    void *place = copy->at;

    if (size)
        memcpy(place, bytes, size);
    copy->at += size;
    return place;
}

static void values_copy(struct copy *copy, struct weir_statement_opts *opts, const char **values,
                        const char *const *given)
{
    for (int32_t i = 0; i < opts->count; i++)
        values[i] = given[i] ? copy_add(copy, given[i], value_size(opts, i)) : NULL;
    opts->values = values;
}

int arguments_keep(struct arguments *arguments, struct weir_error **ret_error)
{
    struct weir_statement_opts *opts = &arguments->opts;
    size_t count = (size_t)opts->count, size;
    const char *const *given = opts->values;
    const char **values = NULL;
    struct copy copy;

    static_assert(alignof(const char *) >= alignof(Oid) && alignof(Oid) >= alignof(int),
                  "the widest first");
    size = arguments->sql.length + 1 + count * (sizeof(*values) + sizeof(Oid) + 2 * sizeof(int));
    for (int32_t i = 0; i < opts->count; i++)
        size += value_size(opts, i);
    arguments->owned = malloc(size);
    if (!arguments->owned)
        return failure_memory(ret_error);
    copy.at = arguments->owned;
    if (given)
        values = copy_add(&copy, given, count * sizeof(*values));
    if (opts->types)
        opts->types = copy_add(&copy, opts->types, count * sizeof(Oid));
    if (opts->lengths)
        opts->lengths = copy_add(&copy, opts->lengths, count * sizeof(int));
    if (opts->formats)
        opts->formats = copy_add(&copy, opts->formats, count * sizeof(int));
    if (given)
        values_copy(&copy, opts, values, given);
    arguments->sql.bytes = copy_add(&copy, arguments->sql.bytes, arguments->sql.length + 1);
    return 0;
}

void arguments_deinit(struct arguments *arguments)
{
    free(arguments->owned);
    arguments->owned = NULL;
}
