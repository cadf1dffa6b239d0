/* Options as texts: in the manager's file and in the environment. Numbers are read digit by digit,
 * so that neither a locale nor a sign nor an overflow can make another number of them. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "shim/session/failure.h"
#include "shim/session/options_table.h"

/* Fraction digits beyond these would not be whole milliseconds anyway: an hour has 3.6e6. */
enum { VARIABLE_SIZE = 160, FRACTION_DIGITS_MAX = 12 };

static const char too_large[] = "is more than an option can hold";

/* Reads digits from *@text on and moves it behind them. False: none, or more than 64 bits hold. */
static bool digits_read(struct view *text, uint64_t *ret, const char **ret_reason)
{
    uint64_t number = 0;
    size_t length = 0;

    for (; length < text->length && text->bytes[length] >= '0' && text->bytes[length] <= '9';
         length++) {
        uint64_t digit = (uint64_t)(text->bytes[length] - '0');
        if (number > (UINT64_MAX - digit) / 10) {
            *ret_reason = too_large;
            return false;
        }
        number = number * 10 + digit;
    }
    text->bytes += length;
    text->length -= length;
    *ret = number;
    return length > 0;
}

static bool number_parse(struct view text, struct view unit, int32_t *ret, const char **ret_reason)
{
    uint64_t number;

    *ret_reason = unit.length ? "is no whole number of percent" : "is no whole number";
    if (!digits_read(&text, &number, ret_reason))
        return false;
    if (text.length != 0 && !view_equal(text, unit))
        return false;
    if (number > INT32_MAX) {
        *ret_reason = too_large;
        return false;
    }
    *ret = (int32_t)number;
    return true;
}

static uint64_t unit_ms(struct view unit)
{
    static const struct {
        struct view name;
        uint64_t ms;
    } units[] = {{{"ms", 2}, 1}, {{"s", 1}, 1000}, {{"m", 1}, 60000}, {{"h", 1}, 3600000}};

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (view_equal(unit, units[i].name))
            return units[i].ms;
    }
    return 0;
}

/* ".25" as 25 of 100; nothing as 0 of 1. */
static bool fraction_read(struct view *text, uint64_t *ret, uint64_t *ret_whole,
                          const char **ret_reason)
{
    *ret = 0;
    *ret_whole = 1;
    if (text->length == 0 || *text->bytes != '.')
        return true;
    text->bytes++;
    text->length--;
    size_t before = text->length;
    if (!digits_read(text, ret, ret_reason) || before - text->length > FRACTION_DIGITS_MAX)
        return false;
    for (size_t digits = before - text->length; digits > 0; digits--)
        *ret_whole *= 10;
    return true;
}

static bool time_parse(struct view text, int32_t *ret, const char **ret_reason)
{
    uint64_t whole, fraction, fraction_whole;

    *ret_reason = "is no time as 250ms, 5s, 10m or 1h";
    if (!digits_read(&text, &whole, ret_reason) ||
        !fraction_read(&text, &fraction, &fraction_whole, ret_reason))
        return false;
    uint64_t ms = unit_ms(text);
    if (ms == 0)
        return false;
    if (fraction * ms % fraction_whole != 0) { /* at most 1e12 * 3.6e6 */
        *ret_reason = "is no whole number of milliseconds";
        return false;
    }
    /* INT32_MAX itself is WEIR_NEVER, which only its word means. */
    if (whole > INT32_MAX / ms || whole * ms + fraction * ms / fraction_whole >= INT32_MAX) {
        *ret_reason = too_large;
        return false;
    }
    *ret = (int32_t)(whole * ms + fraction * ms / fraction_whole);
    return true;
}

/* The place of @text among @words. */
static bool word_parse(struct view text, const char *const *words, size_t count, int32_t *ret)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(words[i]) == text.length &&
            strncasecmp(words[i], text.bytes, text.length) == 0) {
            *ret = (int32_t)i;
            return true;
        }
    }
    return false;
}
#define WORD_PARSE(text, words, ret) word_parse(text, words, sizeof(words) / sizeof(words[0]), ret)

bool option_value_parse(const struct option_entry *entry, struct view text, int32_t *ret,
                        const char **ret_reason)
{
    static const char *const switches[] = {"false", "true"};
    static const char *const resets[] = {"changed", "all", "list", "nothing"};
    static const char *const parameters[] = {"off", "hashed", "redacted"};
    static const char *const never[] = {"never"};
    int32_t place;

    switch (entry->kind) {
    case OPTION_KIND_COUNT:
        return number_parse(text, VIEW_LITERAL(""), ret, ret_reason);
    case OPTION_KIND_PERCENT:
        return number_parse(text, VIEW_LITERAL("%"), ret, ret_reason);
    case OPTION_KIND_TIME:
        if (!WORD_PARSE(text, never, &place))
            return time_parse(text, ret, ret_reason);
        *ret_reason = "cannot be: this time has to come";
        return false;
    case OPTION_KIND_TIME_OR_NEVER:
        *ret = WEIR_NEVER;
        if (WORD_PARSE(text, never, &place) || time_parse(text, ret, ret_reason))
            return true;
        return false;
    case OPTION_KIND_SWITCH:
        *ret_reason = "is neither true nor false";
        return WORD_PARSE(text, switches, ret);
    case OPTION_KIND_RESET:
        *ret_reason = "is none of changed, all, list and nothing";
        return WORD_PARSE(text, resets, ret);
    case OPTION_KIND_PARAMETERS:
        *ret_reason = "is none of off, hashed and redacted";
        return WORD_PARSE(text, parameters, ret);
    }
    return false;
}

static bool option_is_inside(const struct option_entry *entry, const struct weir_pool_opts *opts)
{
    return entry->offset + sizeof(int32_t) <= opts->size;
}

bool option_parse(struct weir_pool_opts *opts, struct view name, struct view text,
                  const char **ret_reason)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        int32_t value;
        if (!view_equal(option_table[i].name, name) || !option_is_inside(&option_table[i], opts))
            continue;
        if (!option_value_parse(&option_table[i], text, &value, ret_reason))
            return false;
        *option_field(&option_table[i], opts) = value;
        return true;
    }
    *ret_reason = "is no option of a pool";
    return false;
}

/* WEIR_POOL_<FIELD>, or with @pool WEIR_POOL_<POOL>_<FIELD>. False: longer than any that we know.
 */
static bool variable_write(const char *pool, struct view field, char ret[VARIABLE_SIZE])
{
    int length = snprintf(ret, VARIABLE_SIZE, "WEIR_POOL_%s%s%.*s", pool ? pool : "",
                          pool ? "_" : "", (int)field.length, field.bytes);

    if (length < 0 || length >= VARIABLE_SIZE)
        return false;
    for (char *at = ret; *at; at++) {
        if (*at >= 'a' && *at <= 'z')
            *at = (char)(*at - 'a' + 'A');
        else if (!(*at >= 'A' && *at <= 'Z') && !(*at >= '0' && *at <= '9'))
            *at = '_';
    }
    return true;
}

/* What a variable says; set but empty is unset. */
static const char *variable_read(const char *pool, struct view field, char ret_name[VARIABLE_SIZE])
{
    if (!variable_write(pool, field, ret_name))
        return NULL;
    const char *text = secure_getenv(ret_name);
    return text && *text ? text : NULL;
}

/* One round: the variables of every pool, or those of the one of that name. */
static int variables_read(struct weir_pool_opts *opts, const char *pool,
                          struct weir_error **ret_error)
{
    char variable[VARIABLE_SIZE];
    const char *reason;

    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_entry *entry = &option_table[i];
        const char *text = variable_read(pool, entry->name, variable);
        if (!text || !option_is_inside(entry, opts))
            continue;
        if (!option_value_parse(entry, view_from(text), option_field(entry, opts), &reason))
            return failure(ret_error, WEIR_ERROR_USAGE, "%s: '%.40s' %s", variable, text, reason);
    }
    return 0;
}

int options_add_environment(struct weir_pool_opts *opts, char **ret_owned,
                            struct weir_error **ret_error)
{
    char variable[VARIABLE_SIZE];
    const char *conninfo = NULL;
    CLEANUP(freep) char *copy = NULL;
    int r = variables_read(opts, NULL, ret_error);

    if (r == 0 && opts->name)
        r = variables_read(opts, opts->name, ret_error);
    if (r != 0)
        return r;
    if (opts->name)
        conninfo = variable_read(opts->name, VIEW_LITERAL("conninfo"), variable);
    if (!conninfo)
        conninfo = variable_read(NULL, VIEW_LITERAL("conninfo"), variable);
    if (conninfo) {
        copy = strdup(conninfo); /* the environment may change while it is used */
        if (!copy)
            return failure_memory(ret_error);
        opts->conninfo = copy;
    }
    *ret_owned = STEAL(copy);
    return 0;
}
