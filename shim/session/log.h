/* What the pool tells through the caller's callback (weir/manager.h). Without one nothing is made
 * up: ask log_is_wanted() before composing anything. */
#pragma once

#include <stdbool.h>

#include "include/weir/manager.h"

enum { LOG_ERROR_MAX = 128 };

bool log_is_wanted(const struct weir_pool *pool);
/* Fills in size, time and pool, and calls the callback. */
void log_tell(const struct weir_pool *pool, struct weir_log_entry *entry);
/* What @error says, without the server's own words, which may hold values: into @room where needed,
 * behind @doing. */
const char *log_error_text(const struct weir_error *error, const char *doing,
                           char room[LOG_ERROR_MAX]);
/* A kind and a line of text alone. */
void log_line(const struct weir_pool *pool, enum weir_log_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
