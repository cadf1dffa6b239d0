#include "agent/trace/tracestate.h"

#include <string.h>

/* Takes what stands before @separator off the front of @rest. */
static struct view part_take(struct view *rest, char separator)
{
    const char *end = rest->length ? memchr(rest->bytes, separator, rest->length) : NULL;
    struct view part = {rest->bytes, end ? (size_t)(end - rest->bytes) : rest->length};
    size_t taken = part.length + (end != NULL);

    rest->bytes += taken;
    rest->length -= taken;
    return part;
}

static bool begins(struct view text, struct view start)
{
    return text.length >= start.length && memcmp(text.bytes, start.bytes, start.length) == 0;
}

static struct view trim(struct view text)
{
    while (text.length && (text.bytes[0] == ' ' || text.bytes[0] == '\t')) {
        text.bytes++;
        text.length--;
    }
    while (text.length &&
           (text.bytes[text.length - 1] == ' ' || text.bytes[text.length - 1] == '\t'))
        text.length--;
    return text;
}

/* Appends; the caller has checked that @ret holds at least what @state does. */
static size_t append(char *ret, size_t used, char separator, bool is_first, struct view text)
{
    if (!is_first)
        ret[used++] = separator;
    memcpy(ret + used, text.bytes, text.length);
    return used + text.length;
}

/* Appends "ot=" and its pairs but for th; nothing if none is left. */
static size_t append_without_threshold(char *ret, size_t used, struct view member)
{
    struct view value = {member.bytes + 3, member.length - 3};
    size_t start = used;
    bool is_first = true;

    while (value.length) {
        struct view pair = part_take(&value, ';');
        if (!pair.length || begins(pair, VIEW_LITERAL("th:")))
            continue;
        if (is_first)
            used = append(ret, used, ',', start == 0, VIEW_LITERAL("ot="));
        used = append(ret, used, ';', is_first, pair);
        is_first = false;
    }
    return used;
}

void tracestate_copy(struct view state, bool erase_threshold, char ret[TRACESTATE_SIZE])
{
    size_t used = 0;

    ret[0] = '\0';
    if (!state.bytes || state.length >= TRACESTATE_SIZE)
        return;
    while (state.length) {
        struct view member = trim(part_take(&state, ','));
        if (!member.length)
            continue;
        if (erase_threshold && begins(member, VIEW_LITERAL("ot=")))
            used = append_without_threshold(ret, used, member);
        else
            used = append(ret, used, ',', used == 0, member);
    }
    ret[used] = '\0';
}
