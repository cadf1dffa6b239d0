#include "shim/session/log.h"

#include <stdarg.h>
#include <stdio.h>

#include "shim/pool/house.h"

bool log_is_wanted(const struct weir_pool *pool)
{
    return pool->manager->log;
}

static const char *text_or_empty(const char *text)
{
    return text ? text : "";
}

void log_tell(const struct weir_pool *pool, struct weir_log_entry *entry)
{
    const struct weir_manager *manager = pool->manager;

    if (!manager->log)
        return;
    entry->size = sizeof(*entry);
    entry->time_unix_ns = clock_realtime_ns();
    entry->pool = pool->options.name;
    entry->message = text_or_empty(entry->message);
    entry->statement = text_or_empty(entry->statement);
    entry->call_site = text_or_empty(entry->call_site);
    entry->tenant = text_or_empty(entry->tenant);
    entry->traceparent = text_or_empty(entry->traceparent);
    entry->sqlstate = text_or_empty(entry->sqlstate);
    entry->parameters = text_or_empty(entry->parameters);
    manager->log(manager->log_userdata, entry);
}

const char *log_error_text(const struct weir_error *error, const char *doing,
                           char room[LOG_ERROR_MAX])
{
    const char *sqlstate = weir_error_sqlstate(error);

    if (!*sqlstate)
        return weir_error_message(error);
    (void)snprintf(room, LOG_ERROR_MAX, "%s: %s, SQLSTATE %s", doing,
                   weir_error_category_name(weir_error_category(error)), sqlstate);
    return room;
}

void log_line(const struct weir_pool *pool, enum weir_log_kind kind, const char *format, ...)
{
    struct weir_log_entry entry = {.kind = kind};
    char line[512];
    va_list arguments;

    if (!log_is_wanted(pool))
        return;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments); /* cut if overlong */
    va_end(arguments);
    entry.message = line;
    log_tell(pool, &entry);
}
