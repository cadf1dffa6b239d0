#include "proto/wire/conformance/json_line.h"

#include <inttypes.h>
#include <stdio.h>

static void json_key(const char *key)
{
    printf(", \"%s\": ", key);
}

void json_line_begin(uint64_t at, const char *is)
{
    printf("{\"at\": %" PRIu64 ", \"is\": \"%s\"", at, is);
}

void json_line_begin_fault(uint64_t at, const char *fault)
{
    printf("{\"at\": %" PRIu64 ", \"fault\": \"%s\"", at, fault);
}

void json_line_end(void)
{
    puts("}");
}

void json_number(const char *key, uint64_t value)
{
    json_key(key);
    printf("%" PRIu64, value);
}

void json_number_or_null(const char *key, uint64_t value, uint64_t unknown)
{
    json_key(key);
    if (value == unknown)
        printf("null");
    else
        printf("%" PRIu64, value);
}

void json_hex(const char *key, uint64_t value)
{
    json_key(key);
    printf("\"%016" PRIx64 "\"", value);
}

void json_bytes(const char *key, const void *bytes, size_t length)
{
    const unsigned char *byte = bytes;

    json_key(key);
    putchar('"');
    for (size_t i = 0; i < length; i++)
        printf("%02x", byte[i]);
    putchar('"');
}

void json_bool(const char *key, bool value)
{
    json_key(key);
    printf(value ? "true" : "false");
}

void json_token(const char *key, const char *token)
{
    json_key(key);
    printf("\"%s\"", token);
}

/* The length of the UTF-8 sequence that @text begins with, 0 if there is none. */
static size_t utf8_sequence(struct view text)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *bytes = (const unsigned char *)text.bytes;
    size_t size = bytes[0] < 0x80   ? 1
                  : bytes[0] < 0xc0 ? 0
                  : bytes[0] < 0xe0 ? 2
                  : bytes[0] < 0xf0 ? 3
                  : bytes[0] < 0xf8 ? 4
                                    : 0;
    uint32_t point;

    if (size <= 1 || size > text.length)
        return size <= text.length ? size : 0;
    point = bytes[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (bytes[i] & 0x3fu);
    }
    if (point < least[size] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
        return 0;
    return size;
}

bool json_text(const char *key, struct view text)
{
    bool is_clean = true;

    json_key(key);
    putchar('"');
    while (text.length > 0) {
        unsigned char first = (unsigned char)text.bytes[0];
        size_t size = utf8_sequence(text);
        if (size == 0) {
            is_clean = false;
            printf("\\ufffd");
            size = 1;
        } else if (first == '"' || first == '\\') {
            printf("\\%c", first);
        } else if (first < 0x20 || first == 0x7f) {
            printf("\\u%04x", first);
        } else {
            (void)fwrite(text.bytes, 1, size, stdout); /* a failed write is found at the end */
        }
        text.bytes += size;
        text.length -= size;
    }
    putchar('"');
    return is_clean;
}

void json_flags(const char *key, uint32_t flags, const char *const *tokens, uint32_t count)
{
    const char *between = "";

    json_key(key);
    putchar('[');
    for (uint32_t bit = 0; bit < 32; bit++) {
        if (!(flags >> bit & 1u))
            continue;
        if (bit < count && tokens[bit])
            printf("%s\"%s\"", between, tokens[bit]);
        else
            printf("%s\"bit%u\"", between, bit);
        between = ", ";
    }
    putchar(']');
}
