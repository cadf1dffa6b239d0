/* The table is made from options.def, and so is every check of a single number: a new option is a
 * line there and a field in the public struct. Rules between options stand here. */
#include "shim/session/options.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "shim/session/failure.h"
#include "shim/session/options_table.h"

enum { NAME_LENGTH_MAX = 63, VALUE_TEXT_SIZE = 16 };

#define UNIT_LENGTH_OF_COUNT         0
#define UNIT_LENGTH_OF_TIME          3 /* _ms */
#define UNIT_LENGTH_OF_TIME_OR_NEVER 3
#define UNIT_LENGTH_OF_PERCENT       0
#define UNIT_LENGTH_OF_SWITCH        0
#define UNIT_LENGTH_OF_RESET         0
#define UNIT_LENGTH_OF_PARAMETERS    0

const struct option_entry option_table[OPTION_COUNT] = {
#define OPTION(field, kind, otherwise, least, most, what)                                          \
    {#field,                                                                                       \
     {#field, sizeof(#field) - 1 - UNIT_LENGTH_OF_##kind},                                         \
     OPTION_KIND_##kind,                                                                           \
     otherwise,                                                                                    \
     least,                                                                                        \
     most,                                                                                         \
     offsetof(struct weir_pool_opts, field)},
#include "shim/session/options.def"
#undef OPTION
};

/* Whoever asks for fewer bytes than the first release had cannot have been built against it. */
static const size_t size_least = offsetof(struct weir_pool_opts, connections_min);

static void defaults_write(struct weir_pool_opts *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->size = sizeof(*ret);
    for (size_t i = 0; i < OPTION_COUNT; i++)
        *option_field(&option_table[i], ret) = option_table[i].otherwise;
}

void weir_pool_opts_init(struct weir_pool_opts *opts, size_t size)
{
    struct weir_pool_opts defaults;
    size_t known = size < sizeof(defaults) ? size : sizeof(defaults);

    if (!opts || size < sizeof(opts->size))
        return;
    defaults_write(&defaults);
    memcpy(opts, &defaults, known);
    memset((char *)opts + known, 0, size - known);
    opts->size = size;
}

/* Takes over the fields that the caller's header knew, as libbpf does with its option structs. */
static int opts_copy(const struct weir_pool_opts *opts, struct weir_pool_opts *ret,
                     struct weir_error **ret_error)
{
    struct weir_pool_opts copy;

    if (!opts)
        return failure(ret_error, WEIR_ERROR_USAGE, "a pool needs options: none are given");
    size_t size = opts->size;
    if (size < size_least || size % _Alignof(struct weir_pool_opts) != 0)
        return failure(ret_error, WEIR_ERROR_USAGE,
                       "size: %zu is no size of struct weir_pool_opts: begin with "
                       "weir_pool_opts_init()",
                       size);
    for (size_t i = sizeof(*opts); i < size; i++) {
        if (((const char *)opts)[i] != 0)
            return failure(ret_error, WEIR_ERROR_USAGE,
                           "size: %zu has options beyond the %zu bytes that this libweir knows",
                           size, sizeof(*opts));
    }
    defaults_write(&copy);
    memcpy(&copy, opts, size < sizeof(copy) ? size : sizeof(copy));
    copy.size = sizeof(copy);
    *ret = copy;
    return 0;
}

static const char *value_write(const struct option_entry *entry, int32_t value,
                               char ret[VALUE_TEXT_SIZE])
{
    bool is_time = entry->kind == OPTION_KIND_TIME || entry->kind == OPTION_KIND_TIME_OR_NEVER;

    if (is_time && value == WEIR_NEVER)
        return "WEIR_NEVER";
    (void)snprintf(ret, VALUE_TEXT_SIZE, "%d", value);
    return ret;
}

static const char *allowed_besides(const struct option_entry *entry)
{
    switch (entry->kind) {
    case OPTION_KIND_TIME_OR_NEVER:
        return " and not WEIR_NEVER";
    case OPTION_KIND_RESET:
        return " (changed, all, list, nothing)";
    case OPTION_KIND_PARAMETERS:
        return " (off, hashed, redacted)";
    case OPTION_KIND_COUNT:
    case OPTION_KIND_TIME:
    case OPTION_KIND_PERCENT:
    case OPTION_KIND_SWITCH:
        break;
    }
    return "";
}

static int numbers_check(const struct weir_pool_opts *opts, struct weir_error **ret_error)
{
    char text[VALUE_TEXT_SIZE];

    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_entry *entry = &option_table[i];
        int32_t value = option_value(entry, opts);
        if (value >= entry->least && value <= entry->most)
            continue;
        if (entry->kind == OPTION_KIND_TIME_OR_NEVER && value == WEIR_NEVER)
            continue;
        return failure(ret_error, WEIR_ERROR_USAGE, "%s: %s is not between %d and %d%s",
                       entry->field, value_write(entry, value, text), entry->least, entry->most,
                       allowed_besides(entry));
    }
    return 0;
}

static int order_check(const struct weir_pool_opts *opts, enum option lower, enum option upper,
                       struct weir_error **ret_error)
{
    int32_t low = option_value(&option_table[lower], opts);
    int32_t high = option_value(&option_table[upper], opts);

    if (low <= high)
        return 0;
    return failure(ret_error, WEIR_ERROR_USAGE, "%s: %d is more than %s (%d)",
                   option_table[lower].field, low, option_table[upper].field, high);
}

static int name_check(const char *name, struct weir_error **ret_error)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "-_.";

    if (!name || !*name)
        return failure(ret_error, WEIR_ERROR_USAGE, "name: a pool needs one");
    if (strlen(name) > NAME_LENGTH_MAX)
        return failure(ret_error, WEIR_ERROR_USAGE, "name: '%.40s...' is longer than %d bytes",
                       name, NAME_LENGTH_MAX);
    if (name[strspn(name, allowed)] != '\0')
        return failure(ret_error, WEIR_ERROR_USAGE,
                       "name: '%s' has something else than letters, digits, '-', '_' and '.'",
                       name);
    return 0;
}

/* How much of libpq's message may be told: it quotes the conninfo, in part or whole, and a password
 * with an '@' or a blank in it is just what makes libpq quote. So all goes from the first quote on,
 * but for the quotes that belong to libpq's own words. Translations have quotes of their own, which
 * are not ASCII. */
static size_t message_harmless(const char *message)
{
    static const char *const own[] = {
        "missing \"=\" after",
        "missing key/value separator \"=\" in URI query parameter",
        "extra key/value separator \"=\" in URI query parameter",
        "end of string reached when looking for matching \"]\" in IPv6 host address in URI",
    };

    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (strncmp(message, own[i], strlen(own[i])) == 0)
            return strlen(own[i]);
    }
    size_t length = 0;
    while (message[length] && message[length] != '"' && message[length] != '\'' &&
           message[length] != '\n' && (unsigned char)message[length] < 0x80)
        length++;
    while (length > 0 && strchr(": ", message[length - 1]))
        length--;
    return length;
}

static int conninfo_check(const char *conninfo, struct weir_error **ret_error)
{
    char *message = NULL;
    PQconninfoOption *parsed = PQconninfoParse(conninfo, &message);

    if (parsed) {
        PQconninfoFree(parsed);
        return 0;
    }
    if (!message)
        return failure_memory(ret_error);
    size_t harmless = message_harmless(message);
    int r = failure(ret_error, WEIR_ERROR_USAGE, "conninfo: %.*s%s", (int)harmless, message,
                    message[harmless] && message[harmless] != '\n' ? " ..." : "");
    PQfreemem(message);
    return r;
}

int options_check(const struct weir_pool_opts *opts, struct weir_pool_opts *ret,
                  struct weir_error **ret_error)
{
    struct weir_pool_opts copy = {0};
    int r = opts_copy(opts, &copy, ret_error);

    if (r == 0)
        r = name_check(copy.name, ret_error);
    if (r == 0)
        r = numbers_check(&copy, ret_error);
    if (r == 0)
        r = order_check(&copy, OPTION_connections_min, OPTION_connections_max, ret_error);
    if (r == 0)
        r = order_check(&copy, OPTION_backoff_min_ms, OPTION_backoff_max_ms, ret_error);
    if (r == 0 && copy.reset == WEIR_RESET_LIST &&
        (!copy.reset_statements ||
         copy.reset_statements[strspn(copy.reset_statements, " \t\n;")] == '\0'))
        r = failure(ret_error, WEIR_ERROR_USAGE,
                    "reset_statements: there are none, and reset is list");
    if (!copy.conninfo)
        copy.conninfo = ""; /* libpq's own variables and defaults say where */
    if (r == 0)
        r = conninfo_check(copy.conninfo, ret_error);
    if (r == 0)
        *ret = copy;
    return r;
}

static int text_copy(const char *text, char **ret)
{
    if (!text)
        return 0;
    *ret = strdup(text);
    return *ret ? 0 : -ENOMEM;
}

int options_init(struct options *options, const struct weir_pool_opts *checked)
{
    memset(options, 0, sizeof(*options));
    if (text_copy(checked->name, &options->name) != 0 ||
        text_copy(checked->conninfo, &options->conninfo) != 0 ||
        text_copy(checked->reset_statements, &options->reset_statements) != 0 ||
        text_copy(checked->redact, &options->redact) != 0) {
        options_deinit(options);
        return -ENOMEM;
    }
    options->hook_userdata = checked->hook_userdata;
    options->before_connect = checked->before_connect;
    options->after_connect = checked->after_connect;
    options->before_acquire = checked->before_acquire;
    options->after_release = checked->after_release;
    options_change(options, checked);
    return 0;
}

void options_deinit(struct options *options)
{
    free(STEAL(options->name));
    free(STEAL(options->conninfo));
    free(STEAL(options->reset_statements));
    free(STEAL(options->redact));
}

void options_change(struct options *options, const struct weir_pool_opts *checked)
{
    for (size_t i = 0; i < OPTION_COUNT; i++)
        atomic_store_explicit(&options->numbers[i], option_value(&option_table[i], checked),
                              memory_order_relaxed);
}

void options_show(const struct options *options, struct weir_pool_opts *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->size = sizeof(*ret);
    ret->name = options->name;
    ret->conninfo = options->conninfo;
    for (size_t i = 0; i < OPTION_COUNT; i++)
        *option_field(&option_table[i], ret) = option_get(options, (enum option)i);
    ret->reset_statements = options->reset_statements;
    ret->redact = options->redact;
    ret->hook_userdata = options->hook_userdata;
    ret->before_connect = options->before_connect;
    ret->after_connect = options->after_connect;
    ret->before_acquire = options->before_acquire;
    ret->after_release = options->after_release;
}
