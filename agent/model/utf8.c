#include "agent/model/utf8.h"

#include <stdint.h>

/* Length of the sequence at @at, 0 if none is there: no overlong form, no surrogate, nothing beyond
 * U+10FFFF, no NUL. */
static size_t sequence_length(const unsigned char *at, size_t left)
{
    uint32_t point;
    size_t length;

    if (at[0] < 0x80)
        return at[0] != 0;
    if (at[0] < 0xc2 || at[0] > 0xf4)
        return 0;
    length = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    if (length > left)
        return 0;
    point = at[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (at[i] & 0x3fu);
    }
    if (length == 3 && (point < 0x800 || (point >= 0xd800 && point < 0xe000)))
        return 0;
    if (length == 4 && (point < 0x10000 || point > 0x10ffff))
        return 0;
    return length;
}

bool utf8_is_valid(struct view text)
{
    for (size_t at = 0; at < text.length;) {
        size_t length = sequence_length((const unsigned char *)text.bytes + at, text.length - at);
        if (length == 0)
            return false;
        at += length;
    }
    return true;
}

void utf8_repair(char *text, size_t length)
{
    for (size_t at = 0; at < length;) {
        size_t sequence = sequence_length((const unsigned char *)text + at, length - at);
        if (sequence == 0) {
            text[at] = '?';
            sequence = 1;
        }
        at += sequence;
    }
}
