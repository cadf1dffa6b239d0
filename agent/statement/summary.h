/* db.query.summary of a normalized text: its operations and what they are on, in source order. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "agent/statement/pg_query.h"
#include "base/view.h"

enum {
    SUMMARY_MAX = 255,             /* bytes; cut between words only */
    SUMMARY_TEXT_MAX = 16 * 1024,  /* longer texts are summarized by their beginning */
    SUMMARY_TOKENS_MAX = 4 * 1024, /* the same for tokens */
};

/* Memory to work in, so that a summary needs none but the parser's; any content. */
struct summary_space {
    char text[SUMMARY_TEXT_MAX + 1];
    char variant[SUMMARY_TEXT_MAX + 1];
    struct pg_token tokens[SUMMARY_TOKENS_MAX];
};

/* Writes the summary into @ret (SUMMARY_MAX + 1 bytes, NUL-terminated) and returns its length.
 * *ret_parsed: the parser read the text, so that the summary is right and not a good guess. */
size_t summary_write(struct view text, struct summary_space *space, char *ret, bool *ret_parsed);
