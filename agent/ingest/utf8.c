#include "agent/ingest/utf8.h"

#include <stdint.h>

/* The length of the UTF-8 sequence at @bytes, 0 if there is none: no surrogates, no overlong forms,
 * nothing beyond U+10FFFF, no NUL. */
static size_t utf8_sequence(const unsigned char *bytes, size_t length)
{
    uint32_t point;
    size_t size;

    if (bytes[0] < 0x80)
        return bytes[0] != 0;
    if (bytes[0] < 0xc2 || bytes[0] > 0xf4)
        return 0;
    size = bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;
    if (size > length)
        return 0;
    point = bytes[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (bytes[i] & 0x3fu);
    }
    if (size == 3 && (point < 0x800 || (point >= 0xd800 && point < 0xe000)))
        return 0;
    if (size == 4 && (point < 0x10000 || point > 0x10ffff))
        return 0;
    return size;
}

void utf8_append_clean(struct buffer *out, struct view text)
{
    const unsigned char *bytes = (const unsigned char *)text.bytes;
    size_t clean = 0; /* bytes before i that are not yet appended start here */

    for (size_t i = 0; i < text.length;) {
        size_t size = utf8_sequence(bytes + i, text.length - i);
        if (size > 0) {
            i += size;
            continue;
        }
        buffer_append(out, text.bytes + clean, i - clean);
        buffer_append(out, "\xef\xbf\xbd", 3);
        clean = ++i;
    }
    if (text.length > clean)
        buffer_append(out, text.bytes + clean, text.length - clean);
}
