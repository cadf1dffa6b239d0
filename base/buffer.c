#include "base/buffer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

enum { BUFFER_CAPACITY_MIN = 256 };

void buffer_init(struct buffer *buffer, size_t length_max)
{
    *buffer = (struct buffer){.length_max = length_max};
}

void buffer_deinit(struct buffer *buffer)
{
    free(buffer->bytes);
    *buffer = (struct buffer){.length_max = buffer->length_max};
}

void buffer_clear(struct buffer *buffer)
{
    buffer->length = 0;
    buffer->failed = false;
}

/* Makes room for @extra bytes and a NUL behind them. */
static bool buffer_reserve(struct buffer *buffer, size_t extra)
{
    size_t needed, capacity;

    if (buffer->failed || !CHECKED_ADD(buffer->length, extra, &needed) ||
        needed > buffer->length_max) {
        buffer->failed = true;
        return false;
    }
    if (needed < buffer->capacity)
        return true;
    capacity = buffer->capacity ? buffer->capacity : BUFFER_CAPACITY_MIN;
    while (capacity <= needed)
        capacity *= 2;
    char *bytes = realloc(buffer->bytes, capacity);
    if (!bytes) {
        buffer->failed = true;
        return false;
    }
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return true;
}

void buffer_append(struct buffer *buffer, const void *bytes, size_t length)
{
    if (!buffer_reserve(buffer, length))
        return;
    if (length)
        memcpy(buffer->bytes + buffer->length, bytes, length);
    buffer->length += length;
    buffer->bytes[buffer->length] = '\0';
}

void buffer_append_text(struct buffer *buffer, const char *text)
{
    buffer_append(buffer, text, strlen(text));
}

void buffer_append_char(struct buffer *buffer, char c)
{
    buffer_append(buffer, &c, 1);
}

void buffer_format(struct buffer *buffer, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0) {
        buffer->failed = true;
        return;
    }
    if (!buffer_reserve(buffer, (size_t)length))
        return;
    va_start(arguments, format);
    (void)vsnprintf(buffer->bytes + buffer->length, (size_t)length + 1, format, arguments);
    va_end(arguments);
    buffer->length += (size_t)length;
}

char *buffer_take(struct buffer *buffer, size_t *ret_length)
{
    char *bytes;

    if (!buffer_reserve(buffer, 0)) {
        buffer_deinit(buffer);
        return NULL;
    }
    bytes = buffer->bytes;
    bytes[buffer->length] = '\0';
    if (ret_length)
        *ret_length = buffer->length;
    *buffer = (struct buffer){.length_max = buffer->length_max};
    return bytes;
}
