/* From the text of a statement to its fingerprint, through the cache; announces texts. */
#pragma once

#include "include/weir/probe.h"
#include "shim/probe/connection.h"
#include "shim/probe/normalize.h"

struct text_identity {
    uint64_t fingerprint;
    uint32_t flags; /* STATEMENT_CUT, STATEMENT_MALFORMED */
    bool is_empty;  /* nothing but white space and comments: no call */
};

static inline uint32_t text_options(uint32_t flags)
{
    return flags & WEIR_STATEMENT_BACKSLASH_STRINGS ? NORMALIZE_BACKSLASH_STRINGS : 0;
}

/* Where a text of at least 8 bytes lies among those that the connection sent lately. */
static inline struct recent_text *text_recent_place(struct weir_probe_connection *connection,
                                                    struct view sql)
{
    uint64_t first, last;

    memcpy(&first, sql.bytes, sizeof(first));
    memcpy(&last, sql.bytes + sql.length - sizeof(last), sizeof(last));
    first = (first ^ last << 1 ^ sql.length) * UINT64_C(0x9e3779b97f4a7c15);
    return &connection->recent[first >> 61 & (RECENT_TEXTS - 1)];
}

/* Through the process-wide cache, or by normalizing. @recent may be NULL. */
void text_identify_slowly(const struct segment *segment, struct recent_text *recent,
                          struct view sql, uint32_t options, struct origin *origin,
                          struct text_identity *ret);

/* Identifies @sql (@flags: enum weir_statement_flag), which @connection sends, and announces its
 * text if need be. What an sqlcommenter comment says goes into @origin where the thread said
 * nothing. */
static inline void text_identify(const struct segment *segment,
                                 struct weir_probe_connection *connection, struct view sql,
                                 uint32_t flags, struct origin *origin, struct text_identity *ret)
{
    uint32_t options = text_options(flags);
    struct recent_text *recent = NULL;

    if (sql.length >= sizeof(uint64_t) && sql.length <= RECENT_TEXT_MAX) {
        recent = text_recent_place(connection, sql);
        if (recent->length == sql.length && recent->epoch == segment_epoch(segment) &&
            recent->options == options && !memcmp(recent->text, sql.bytes, sql.length)) {
            ret->fingerprint = recent->fingerprint;
            ret->flags = recent->flags;
            ret->is_empty = false;
            return;
        }
    }
    text_identify_slowly(segment, recent, sql, options, origin, ret);
}

/* A text that the caller keeps: struct weir_probe_text. */
struct weir_probe_text *text_new(const char *text, size_t text_length, uint32_t flags);
void text_free(struct weir_probe_text *text);
/* NULL @text: unknown, fingerprint 0. */
void text_identify_kept(const struct segment *segment, const struct weir_probe_text *text,
                        struct origin *origin, struct text_identity *ret);

/* The length that a `_length` argument means. */
size_t text_length_of(const char *text, size_t text_length);

void text_fork_child(void);
