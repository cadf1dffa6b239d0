#include "agent/self/log.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/model/utf8.h"

enum { MESSAGE_SIZE = 1024, LINE_SIZE = MESSAGE_SIZE + 128 };

static _Atomic int log_level_now = LOG_LEVEL_INFO;
static _Atomic int log_format_now = LOG_FORMAT_TEXT;

static const char *const level_names[] = {"error", "warning", "info", "debug"};

void log_setup(enum log_level level, enum log_format format)
{
    atomic_store_explicit(&log_level_now, (int)level, memory_order_relaxed);
    atomic_store_explicit(&log_format_now, (int)format, memory_order_relaxed);
}

static void write_line(const char *line, size_t length)
{
    if (write(STDERR_FILENO, line, length) < 0)
        return; /* there is nowhere left to say so */
}

/* RFC 3339, UTC, milliseconds. */
static void write_time(char *ret, size_t size)
{
    struct timespec now;
    struct tm broken;
    size_t length;

    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    (void)gmtime_r(&now.tv_sec, &broken);
    length = strftime(ret, size, "%Y-%m-%dT%H:%M:%S", &broken);
    (void)snprintf(ret + length, size - length, ".%03ldZ", now.tv_nsec / 1000000);
}

static void write_json(const char *time, enum log_level level, const char *message)
{
    json_t *object =
        json_pack("{s:s, s:s, s:s}", "time", time, "level", level_names[level], "message", message);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    size_t length = text ? strlen(text) : 0;

    if (text) {
        text[length] = '\n'; /* instead of the NUL: the length is known */
        write_line(text, length + 1);
    }
    free(text);
    json_decref(object);
}

void log_line(enum log_level level, const char *format, ...)
{
    char time[48], message[MESSAGE_SIZE], line[LINE_SIZE];
    va_list arguments;
    int length;

    if ((int)level > atomic_load_explicit(&log_level_now, memory_order_relaxed))
        return;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof(message), format, arguments); /* cut is enough */
    va_end(arguments);
    for (char *at = message; *at; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = ' '; /* a client's words must not begin a line of their own */
    }
    utf8_repair(message, strlen(message)); /* also where it was cut: JSON takes nothing else */
    write_time(time, sizeof(time));
    if (atomic_load_explicit(&log_format_now, memory_order_relaxed) == LOG_FORMAT_JSON) {
        write_json(time, level, message);
        return;
    }
    length = snprintf(line, sizeof(line), "%s %s %s\n", time, level_names[level], message);
    if (length > 0)
        write_line(line, (size_t)length < sizeof(line) ? (size_t)length : sizeof(line) - 1);
}
