/* A bounded cache of summaries by fingerprint: the one unused longest leaves. One owner. */
#pragma once

#include <stdint.h>

#include "base/cleanup.h"
#include "base/view.h"

struct summaries;

struct summaries_opts {
    uint32_t entries_max;
    uint64_t bytes_max; /* of entries with their texts */
};

struct summaries_stats {
    uint64_t entries, bytes;
    uint64_t hits, misses, evicted;
    uint64_t unparsed; /* misses whose summary is a guess from the text's words */
};

int summaries_new(const struct summaries_opts *opts, struct summaries **ret)
    __attribute__((warn_unused_result));
struct summaries *summaries_free(struct summaries *summaries);
CLEANUP_DEFINE(struct summaries *, summaries_freep, summaries_free)

/* The summary of the first text seen with @fingerprint; borrowed until the next call. A miss parses
 * @text. Its type is summary_fn of agent/aggregate, with the cache as userdata. */
struct view summaries_find(void *summaries, uint64_t fingerprint, struct view text);

struct summaries_stats summaries_stats(const struct summaries *summaries);
