/* A growing byte buffer with a stated maximum: exceeding it is an outcome, never an abort. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer {
    char *bytes;
    size_t length;
    size_t capacity;
    size_t length_max;
    bool failed; /* sticky: an append did not fit or memory ran out; the content is then incomplete
                  */
};

void buffer_init(struct buffer *buffer, size_t length_max);
void buffer_deinit(struct buffer *buffer);
void buffer_clear(struct buffer *buffer);

/* Appends; on failure sets @failed and leaves the content as it was. Never fails loudly: callers
 * append freely and ask buffer->failed once at the end. */
void buffer_append(struct buffer *buffer, const void *bytes, size_t length);
void buffer_append_text(struct buffer *buffer, const char *text);
void buffer_append_char(struct buffer *buffer, char c);
void buffer_format(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Hands the bytes to the caller (free with free()), NUL-terminated beyond the length. NULL if the
 * buffer failed. The buffer is empty and usable afterwards. */
char *buffer_take(struct buffer *buffer, size_t *ret_length) __attribute__((warn_unused_result));
