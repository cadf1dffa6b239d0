/* One JSON object a line on standard output, member by member. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

/* Begins a line: what stands at byte @at of the file. */
void json_line_begin(uint64_t at, const char *is);
/* Begins a line about a fault at byte @at. */
void json_line_begin_fault(uint64_t at, const char *fault);
void json_line_end(void);

void json_number(const char *key, uint64_t value);
/* As null where @value is @unknown. */
void json_number_or_null(const char *key, uint64_t value, uint64_t unknown);
/* 64-bit names and ids: JSON numbers of many readers end at 2^53. */
void json_hex(const char *key, uint64_t value);
void json_bytes(const char *key, const void *bytes, size_t length);
void json_bool(const char *key, bool value);
void json_token(const char *key, const char *token);
/* False: @text was not UTF-8, and stands there with each bad byte replaced. */
bool json_text(const char *key, struct view text);
/* The names of the bits set in @flags, @tokens[i] for bit i; bits without one as "bit<i>". */
void json_flags(const char *key, uint32_t flags, const char *const *tokens, uint32_t count);
