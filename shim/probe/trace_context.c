#include "shim/probe/trace_context.h"

/* 00-<32 hex>-<16 hex>-<2 hex>; later versions may go on behind a dash. */
enum { VERSION_AT = 0, TRACE_ID_AT = 3, PARENT_AT = 36, FLAGS_AT = 53, TRACEPARENT_LENGTH = 55 };

/* The recommendation allows lower case only. */
static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

/* Decodes @count bytes; false if a digit is none. *ret_any tells whether one was not 0. */
static bool hex_decode(const char *text, size_t count, uint8_t *bytes, bool *ret_any)
{
    uint8_t any = 0;

    for (size_t i = 0; i < count; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
        any |= bytes[i];
    }
    *ret_any = any != 0;
    return true;
}

bool trace_context_parse(struct view traceparent, struct trace_context *ret)
{
    const char *text = traceparent.bytes;
    struct trace_context parsed;
    bool has_trace, has_parent, any;
    uint8_t version;

    if (traceparent.length < TRACEPARENT_LENGTH)
        return false;
    if (text[TRACE_ID_AT - 1] != '-' || text[PARENT_AT - 1] != '-' || text[FLAGS_AT - 1] != '-')
        return false;
    if (!hex_decode(text + VERSION_AT, 1, &version, &any) || version == 0xff)
        return false;
    if (traceparent.length > TRACEPARENT_LENGTH &&
        (version == 0 || text[TRACEPARENT_LENGTH] != '-'))
        return false;
    if (!hex_decode(text + TRACE_ID_AT, sizeof(parsed.trace_id), parsed.trace_id, &has_trace) ||
        !hex_decode(text + PARENT_AT, sizeof(parsed.parent_span_id), parsed.parent_span_id,
                    &has_parent) ||
        !hex_decode(text + FLAGS_AT, 1, &parsed.flags, &any))
        return false;
    if (!has_trace || !has_parent)
        return false;
    *ret = parsed;
    return true;
}
