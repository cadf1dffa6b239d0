/* The agent's own log: one line an event on standard error, as text or JSON. Any thread; one write
 * a line, so that lines never mix. */
#pragma once

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
};

enum log_format {
    LOG_FORMAT_TEXT,
    LOG_FORMAT_JSON,
};

/* From now on: what is less urgent than @level is left out. */
void log_setup(enum log_level level, enum log_format format);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
