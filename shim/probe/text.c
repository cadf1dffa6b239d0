#include "shim/probe/text.h"

#include <stdlib.h>
#include <string.h>

#include "shim/probe/names.h"
#include "shim/probe/text_cache.h"
#include "shim/probe/trace_context.h"

enum {
    SCRATCHES = 8,
    COMMENT_ARENA = 1536,
};

struct weir_probe_text {
    uint64_t fingerprint;
    _Atomic uint32_t epoch; /* in which it was announced */
    uint32_t flags;         /* STATEMENT_CUT, STATEMENT_MALFORMED */
    bool is_empty;
    uint64_t call_site; /* of its comment, 0: none */
    uint32_t length;
    char text[]; /* normalized */
};

/* Room for one normalized text: too much for the stacks of other people's threads. Taken at the
 * first sight of a text; a thread that dies inside costs one. */
struct scratch {
    _Atomic uint32_t owner;
    char text[NORMALIZE_TEXT_MAX];
};

static struct scratch scratches[SCRATCHES];

static struct scratch *scratch_take(void)
{
    for (unsigned i = 0; i < SCRATCHES; i++) {
        uint32_t expected = 0;
        if (atomic_compare_exchange_strong_explicit(&scratches[i].owner, &expected, 1,
                                                    memory_order_acquire, memory_order_relaxed))
            return &scratches[i];
    }
    return NULL;
}

static void scratch_free(struct scratch *scratch)
{
    if (scratch)
        atomic_store_explicit(&scratch->owner, 0, memory_order_release);
}

void text_fork_child(void)
{
    for (unsigned i = 0; i < SCRATCHES; i++)
        if (atomic_load_explicit(&scratches[i].owner, memory_order_relaxed))
            atomic_store_explicit(&scratches[i].owner, 0, memory_order_relaxed);
}

size_t text_length_of(const char *text, size_t text_length)
{
    if (!text)
        return 0;
    return text_length == SIZE_MAX ? strlen(text) : text_length;
}

static uint32_t statement_flags(uint32_t normalized_flags)
{
    return (normalized_flags & NORMALIZED_CUT ? STATEMENT_CUT : 0) |
           (normalized_flags & NORMALIZED_MALFORMED ? STATEMENT_MALFORMED : 0);
}

static uint16_t name_flags(uint32_t normalized_flags)
{
    return normalized_flags & NORMALIZED_CUT ? NAME_CUT : 0;
}

/* The slow way: normalizes, announces, and remembers in *known. */
static void text_learn(const struct segment *segment, struct view sql, uint32_t options,
                       struct text_known *known)
{
    struct scratch *scratch = scratch_take();
    struct normalized normalized;

    normalize(sql, options, scratch ? scratch->text : NULL, scratch ? NORMALIZE_TEXT_MAX : 0,
              &normalized);
    *known = (struct text_known){
        .fingerprint = normalized.fingerprint,
        .verb = (uint8_t)normalized.verb,
        .flags = (uint8_t)normalized.flags,
    };
    if (normalized.verb != VERB_EMPTY && scratch)
        known->is_announced = names_announce(segment, NAME_STATEMENT, normalized.fingerprint,
                                             (struct view){scratch->text, normalized.text_length},
                                             name_flags(normalized.flags));
    known->epoch = (uint16_t)segment_epoch(segment);
    scratch_free(scratch);
}

/* The text is known, but the agent has not heard of it in this epoch. */
static void text_announce(const struct segment *segment, struct view sql, uint32_t options,
                          struct text_known *known)
{
    if (known->verb == VERB_EMPTY || segment_is_stopped(segment))
        return;
    if (names_is_announced(segment, known->fingerprint)) {
        known->epoch = (uint16_t)segment_epoch(segment);
        known->is_announced = true;
    } else if (names_has_room(segment)) {
        text_learn(segment, sql, options, known);
    }
}

/* A context to write the comment's words into, if the thread has none. */
static void origin_clear_context(struct origin *origin)
{
    if (!origin->has_context)
        *origin = (struct origin){.call_site = origin->call_site};
}

static void comment_apply(const struct segment *segment, struct view sql, struct origin *origin)
{
    static const uint8_t no_trace[16];
    char arena[COMMENT_ARENA];
    struct sql_comment comment;
    struct trace_context trace;

    sql_comment_read(sql, arena, sizeof(arena), &comment);
    origin_clear_context(origin);
    if (!memcmp(origin->trace_id, no_trace, sizeof(no_trace)) &&
        trace_context_parse(comment.traceparent, &trace)) {
        origin->has_context = true;
        memcpy(origin->trace_id, trace.trace_id, sizeof(trace.trace_id));
        memcpy(origin->parent_span_id, trace.parent_span_id, sizeof(trace.parent_span_id));
        origin->trace_flags = trace.flags;
        if (comment.tracestate.length) {
            origin->tracestate = name_id(comment.tracestate);
            (void)names_announce(segment, NAME_TRACESTATE, origin->tracestate, comment.tracestate,
                                 0); /* refused: counted; told again by the next such text */
        }
    }
    if (!origin->call_site && comment.call_site.length) {
        origin->call_site = name_id(comment.call_site);
        (void)names_announce(segment, NAME_CALL_SITE, origin->call_site, comment.call_site,
                             0); /* the same */
    }
}

/* The process-wide way: by the text's hash. True: it may be kept among the recent ones, since it is
 * announced and has no comment, which may say something else each time. */
static bool text_look_up(const struct segment *segment, struct view sql, uint32_t options,
                         struct origin *origin, struct text_known *known)
{
    bool is_commented = false;
    struct text_known before;
    struct text_key key =
        text_key_of(sql, text_cache_seed() ^ (uint64_t)options << 8, &is_commented);

    if (!text_cache_find(key, known)) {
        text_learn(segment, sql, options, known);
        text_cache_store(key, known);
    } else if (!known->is_announced || known->epoch != (uint16_t)segment_epoch(segment)) {
        before = *known;
        text_announce(segment, sql, options, known);
        if (known->is_announced != before.is_announced || known->epoch != before.epoch)
            text_cache_store(key, known);
    }
    if (is_commented)
        comment_apply(segment, sql, origin);
    return !is_commented && known->is_announced;
}

static void recent_keep(struct recent_text *recent, struct view sql, uint32_t options,
                        uint32_t epoch, const struct text_identity *identity)
{
    recent->fingerprint = identity->fingerprint;
    recent->epoch = epoch;
    recent->flags = identity->flags;
    recent->options = options;
    recent->length = (uint32_t)sql.length;
    memcpy(recent->text, sql.bytes, sql.length);
}

void text_identify_slowly(const struct segment *segment, struct recent_text *recent,
                          struct view sql, uint32_t options, struct origin *origin,
                          struct text_identity *ret)
{
    struct text_known known;
    bool may_keep = text_look_up(segment, sql, options, origin, &known);

    ret->fingerprint = known.fingerprint;
    ret->flags = statement_flags(known.flags);
    ret->is_empty = known.verb == VERB_EMPTY;
    if (recent && may_keep && !ret->is_empty)
        recent_keep(recent, sql, options, segment_epoch(segment), ret);
}

/* ---- kept texts ------------------------------------------------------------------------------ */

struct weir_probe_text *text_new(const char *text, size_t text_length, uint32_t flags)
{
    struct view sql = {text, text_length_of(text, text_length)};
    struct scratch *scratch = scratch_take();
    struct normalized normalized;
    struct weir_probe_text *kept;
    uint32_t length;
    char arena[COMMENT_ARENA];
    struct sql_comment comment;

    normalize(sql, text_options(flags), scratch ? scratch->text : NULL,
              scratch ? NORMALIZE_TEXT_MAX : 0, &normalized);
    length = scratch ? normalized.text_length : 0;
    kept = calloc(1, sizeof(*kept) + length);
    if (kept) {
        kept->fingerprint = normalized.fingerprint;
        kept->flags = statement_flags(normalized.flags);
        kept->is_empty = normalized.verb == VERB_EMPTY;
        kept->length = length;
        if (length)
            memcpy(kept->text, scratch->text, length);
        sql_comment_read(sql, arena, sizeof(arena), &comment);
        if (comment.call_site.length) {
            kept->call_site = name_id(comment.call_site);
            names_remember(NAME_CALL_SITE, kept->call_site, comment.call_site);
        }
    }
    scratch_free(scratch);
    return kept;
}

void text_free(struct weir_probe_text *text)
{
    free(text);
}

void text_identify_kept(const struct segment *segment, const struct weir_probe_text *text,
                        struct origin *origin, struct text_identity *ret)
{
    uint32_t epoch = segment_epoch(segment);
    struct weir_probe_text *kept = (struct weir_probe_text *)(uintptr_t)text; /* its epoch only */

    *ret = (struct text_identity){0};
    if (!text)
        return;
    ret->fingerprint = text->fingerprint;
    ret->flags = text->flags;
    ret->is_empty = text->is_empty;
    if (__builtin_expect(atomic_load_explicit(&kept->epoch, memory_order_relaxed) != epoch, 0) &&
        text->length) {
        bool is_done = names_announce(segment, NAME_STATEMENT, text->fingerprint,
                                      (struct view){text->text, text->length},
                                      text->flags & STATEMENT_CUT ? NAME_CUT : 0);
        if (text->call_site)
            is_done &= names_announce_known(segment, NAME_CALL_SITE, text->call_site);
        if (is_done)
            atomic_store_explicit(&kept->epoch, epoch, memory_order_relaxed);
    }
    if (!origin->call_site)
        origin->call_site = text->call_site;
}
