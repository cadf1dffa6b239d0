#include "journal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "owned.h"

enum { NS_PER_MS = 1000000 };

json_t *journal_text(const char *text)
{
    json_t *json;

    if (!text || !*text)
        return json_null();
    json = json_string(text); /* refuses what is not UTF-8 */
    return json ? json : json_string("(not UTF-8)");
}

static json_t *time_now(void)
{
    struct timespec now;
    struct tm parts;
    char text[64], whole[32];

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &parts);
    (void)strftime(whole, sizeof(whole), "%Y-%m-%dT%H:%M:%S", &parts);
    (void)snprintf(text, sizeof(text), "%s.%03ldZ", whole, now.tv_nsec / NS_PER_MS);
    return json_string(text);
}

void journal_write(const char *event, json_t *fields)
{
    OWNED(owned_json) json_t *line = json_object();
    OWNED(owned_text) char *text = NULL;

    /* Without memory there is no line: the shop goes on. */
    (void)json_object_set_new(line, "time", time_now());
    (void)json_object_set_new(line, "event", json_string(event));
    (void)json_object_update(line, fields);
    json_decref(fields);
    text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(6));
    if (text)
        (void)fprintf(stderr, "%s\n", text); /* one call: lines of threads do not mix */
}

void journal_note(const char *event, const char *format, ...)
{
    char message[512];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(message, sizeof(message), format, arguments); /* cut if overlong */
    va_end(arguments);
    journal_write(event, json_pack("{s:o}", "message", journal_text(message)));
}

static const char *kind_name(enum weir_log_kind kind)
{
    switch (kind) {
    case WEIR_LOG_SLOW_STATEMENT:
        return "slow_statement";
    case WEIR_LOG_FAILED_STATEMENT:
        return "failed_statement";
    case WEIR_LOG_CONNECT_FAILED:
        return "connect_failed";
    case WEIR_LOG_CONNECTION_LOST:
        return "connection_lost";
    case WEIR_LOG_ROLLED_BACK:
        return "rolled_back";
    case WEIR_LOG_LEAK:
        return "leak";
    case WEIR_LOG_MISUSE:
        return "misuse";
    case WEIR_LOG_TIMEOUT:
        return "no_connection";
    case WEIR_LOG_RELOAD:
        return "reload";
    case WEIR_LOG_HOOK:
        return "hook";
    }
    return "other"; /* of a newer libweir */
}

static json_t *milliseconds(uint64_t ns)
{
    return ns == WEIR_UNKNOWN_NS ? json_null() : json_real((double)ns / NS_PER_MS);
}

void journal_weir(void *userdata, const struct weir_log_entry *entry)
{
    json_t *fields = json_object();
    const struct {
        const char *name;
        json_t *value;
    } all[] = {
        {"pool", journal_text(entry->pool)},
        {"message", journal_text(entry->message)},
        {"statement", journal_text(entry->statement)},
        {"call_site", journal_text(entry->call_site)},
        {"tenant", journal_text(entry->tenant)},
        {"traceparent", journal_text(entry->traceparent)},
        {"sqlstate", journal_text(entry->sqlstate)},
        {"parameters", journal_text(entry->parameters)},
        {"backend_pid", entry->backend_pid ? json_integer(entry->backend_pid) : json_null()},
        {"duration_ms", milliseconds(entry->duration_ns)},
        {"wait_ms", milliseconds(entry->wait_ns)},
    };

    (void)userdata;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (json_is_null(all[i].value))
            json_decref(all[i].value);
        else
            (void)json_object_set_new(fields, all[i].name, all[i].value);
    journal_write(kind_name(entry->kind), fields);
}
