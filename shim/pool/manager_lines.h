/* Where things stand in a manager's file: libcyaml gives values, but no lines of good ones. */
#pragma once

#include <stddef.h>

#include "base/cleanup.h"

struct manager_lines;

enum { MANAGER_LINES_E_SYNTAX = 1 };

/* Reads @text, which is borrowed for the call. Returns 0, -ENOMEM, or MANAGER_LINES_E_SYNTAX with
 * libyaml's reason, a static text, and the line. */
int manager_lines_read(const char *text, struct manager_lines **ret, const char **ret_reason,
                       unsigned *ret_line) __attribute__((warn_unused_result));
struct manager_lines *manager_lines_free(struct manager_lines *lines);
CLEANUP_DEFINE(struct manager_lines *, manager_lines_freep, manager_lines_free)

/* The line of @key in the pool of that place, or of the pool's beginning if it has no such key. */
unsigned manager_lines_option(struct manager_lines *lines, size_t pool, const char *key);
/* The line of @key beside `pools`; 0: none. */
unsigned manager_lines_top(struct manager_lines *lines, const char *key);
/* The line of the first @key in any pool; 0: none. */
unsigned manager_lines_any(struct manager_lines *lines, const char *key);
/* The line of the first @key that its mapping had before; 1 if there is none. */
unsigned manager_lines_repeated(struct manager_lines *lines, const char *key);
