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

/* Identifies @sql (@flags: enum weir_statement_flag) and announces its text if need be. What an
 * sqlcommenter comment says goes into @origin where the thread said nothing. */
void text_identify(const struct segment *segment, struct view sql, uint32_t flags,
                   struct origin *origin, struct text_identity *ret);

/* A text that the caller keeps: struct weir_probe_text. */
struct weir_probe_text *text_new(const char *text, size_t text_length, uint32_t flags);
void text_free(struct weir_probe_text *text);
/* NULL @text: unknown, fingerprint 0. */
void text_identify_kept(const struct segment *segment, const struct weir_probe_text *text,
                        struct origin *origin, struct text_identity *ret);

/* The length that a `_length` argument means. */
size_t text_length_of(const char *text, size_t text_length);

void text_fork_child(void);
