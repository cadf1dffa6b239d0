#include "shim/session/newest.h"

#include <string.h>

#include "shim/probe/normalize.h"
#include "shim/session/slot.h"

void newest_note(struct newest *newest, struct view sql)
{
    uint32_t sequence = atomic_load_explicit(&newest->sequence, memory_order_relaxed);
    size_t length = sql.length < NEWEST_WORDS * 8 ? sql.length : NEWEST_WORDS * 8;
    uint64_t word;

    /* Each store is a release, and each load below an acquire, instead of a fence, which the thread
     * sanitizer does not know: who sees a new word sees the odd number before it. */
    atomic_store_explicit(&newest->sequence, sequence | 1, memory_order_relaxed);
    atomic_store_explicit(&newest->length, (uint32_t)length, memory_order_release);
    atomic_store_explicit(&newest->is_cut, sql.length > length, memory_order_release);
    for (size_t at = 0; at < length; at += sizeof(word)) {
        word = 0;
        memcpy(&word, sql.bytes + at, length - at < sizeof(word) ? length - at : sizeof(word));
        atomic_store_explicit(&newest->words[at / sizeof(word)], word, memory_order_release);
    }
    atomic_store_explicit(&newest->sequence, (sequence | 1) + 1, memory_order_release);
}

/* False: it changed meanwhile. */
static bool newest_copy(const struct newest *newest, char text[NEWEST_WORDS * 8],
                        size_t *ret_length, bool *ret_cut)
{
    uint32_t sequence = atomic_load_explicit(&newest->sequence, memory_order_acquire);
    uint64_t word;

    if (sequence & 1)
        return false;
    *ret_length = atomic_load_explicit(&newest->length, memory_order_acquire);
    *ret_cut = atomic_load_explicit(&newest->is_cut, memory_order_acquire) != 0;
    if (*ret_length > NEWEST_WORDS * 8)
        return false;
    for (size_t at = 0; at < *ret_length; at += sizeof(word)) {
        word = atomic_load_explicit(&newest->words[at / sizeof(word)], memory_order_acquire);
        memcpy(text + at, &word, sizeof(word));
    }
    return atomic_load_explicit(&newest->sequence, memory_order_relaxed) == sequence;
}

void newest_read(const struct newest *newest, char text[NEWEST_NORMALIZED_MAX],
                 uint64_t *ret_fingerprint)
{
    char raw[NEWEST_WORDS * 8];
    struct normalized normalized;
    size_t length;
    bool is_cut;

    text[0] = '\0';
    *ret_fingerprint = 0;
    for (unsigned i = 0; i < 8; i++) {
        if (!newest_copy(newest, raw, &length, &is_cut))
            continue;
        normalize((struct view){raw, length}, 0, text, NEWEST_NORMALIZED_MAX - 1, &normalized);
        text[normalized.text_length] = '\0';
        *ret_fingerprint = is_cut ? 0 : normalized.fingerprint;
        return;
    }
}

char *slot_statement(const struct slot *slot)
{
    char text[NEWEST_NORMALIZED_MAX];
    uint64_t fingerprint;

    newest_read(&slot->newest, text, &fingerprint);
    return strdup(text);
}
