#include "agent/serve/utf8.h"

#include <stdint.h>

static size_t lead_length(uint8_t lead)
{
    if (lead < 0x80)
        return lead > 0;
    if (lead >= 0xc2 && lead < 0xe0)
        return 2;
    if (lead >= 0xe0 && lead < 0xf0)
        return 3;
    if (lead >= 0xf0 && lead < 0xf5)
        return 4;
    return 0;
}

/* The length of the well-formed sequence at @bytes; 0: there is none. */
static size_t sequence_length(const uint8_t *bytes, size_t available)
{
    uint8_t lead = bytes[0];
    size_t length = lead_length(lead);

    if (length > available)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    }
    bool is_overlong = (lead == 0xe0 && bytes[1] < 0xa0) || (lead == 0xf0 && bytes[1] < 0x90);
    bool is_surrogate = lead == 0xed && bytes[1] > 0x9f;
    bool is_too_large = lead == 0xf4 && bytes[1] > 0x8f;
    return is_overlong || is_surrogate || is_too_large ? 0 : length;
}

void utf8_append(struct buffer *out, struct view text)
{
    size_t good = 0, i = 0;

    while (i < text.length) {
        size_t length = sequence_length((const uint8_t *)text.bytes + i, text.length - i);
        if (length > 0) {
            i += length;
            continue;
        }
        buffer_append(out, text.bytes + good, i - good);
        buffer_append_text(out, "\xef\xbf\xbd");
        good = ++i;
    }
    if (text.length > good)
        buffer_append(out, text.bytes + good, text.length - good);
}
