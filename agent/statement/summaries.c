/* Chained hash table with a list from the newest to the oldest use. Buckets are fixed at the
 * start: the number of entries is bounded. */
#include "agent/statement/summaries.h"

#include <errno.h>
#include <string.h>

#include "agent/statement/summary.h"

struct entry {
    struct entry *chain;
    struct entry *newer, *older;
    uint64_t fingerprint;
    uint32_t length;
    char text[];
};

struct summaries {
    struct summaries_opts opts;
    struct summaries_stats stats;
    struct entry *newest, *oldest;
    struct summary_space space;
    char last[SUMMARY_MAX + 1]; /* an answer that found no memory to be kept */
    uint64_t bucket_mask;
    struct entry *buckets[];
};

int summaries_new(const struct summaries_opts *opts, struct summaries **ret)
{
    uint64_t bucket_count = 16;

    while (bucket_count < opts->entries_max && bucket_count < UINT64_C(1) << 20)
        bucket_count *= 2;
    struct summaries *summaries =
        calloc(1, sizeof(*summaries) + bucket_count * sizeof(summaries->buckets[0]));
    if (!summaries)
        return -ENOMEM;
    summaries->opts = *opts;
    summaries->bucket_mask = bucket_count - 1;
    *ret = summaries;
    return 0;
}

struct summaries *summaries_free(struct summaries *summaries)
{
    if (!summaries)
        return NULL;
    for (struct entry *entry = summaries->newest, *older; entry; entry = older) {
        older = entry->older;
        free(entry);
    }
    free(summaries);
    return NULL;
}

static void entry_unlink(struct summaries *summaries, struct entry *entry)
{
    *(entry->newer ? &entry->newer->older : &summaries->newest) = entry->older;
    *(entry->older ? &entry->older->newer : &summaries->oldest) = entry->newer;
    entry->newer = entry->older = NULL;
}

static void entry_link_newest(struct summaries *summaries, struct entry *entry)
{
    entry->older = summaries->newest;
    *(entry->older ? &entry->older->newer : &summaries->oldest) = entry;
    summaries->newest = entry;
}

static size_t entry_bytes(const struct entry *entry)
{
    return sizeof(*entry) + entry->length;
}

static void evict_oldest(struct summaries *summaries)
{
    struct entry *entry = summaries->oldest;
    struct entry **place = &summaries->buckets[entry->fingerprint & summaries->bucket_mask];

    while (*place != entry)
        place = &(*place)->chain;
    *place = entry->chain;
    entry_unlink(summaries, entry);
    summaries->stats.entries--;
    summaries->stats.bytes -= entry_bytes(entry);
    summaries->stats.evicted++;
    free(entry);
}

static void keep(struct summaries *summaries, uint64_t fingerprint, size_t length)
{
    size_t bytes = sizeof(struct entry) + length;

    if (summaries->opts.entries_max == 0 || bytes > summaries->opts.bytes_max)
        return;
    while (summaries->oldest && (summaries->stats.entries >= summaries->opts.entries_max ||
                                 summaries->stats.bytes + bytes > summaries->opts.bytes_max))
        evict_oldest(summaries);

    struct entry *entry = calloc(1, bytes);
    if (!entry)
        return;
    entry->fingerprint = fingerprint;
    entry->length = (uint32_t)length;
    memcpy(entry->text, summaries->last, length);
    struct entry **bucket = &summaries->buckets[fingerprint & summaries->bucket_mask];
    entry->chain = *bucket;
    *bucket = entry;
    entry_link_newest(summaries, entry);
    summaries->stats.entries++;
    summaries->stats.bytes += bytes;
}

struct view summaries_find(void *userdata, uint64_t fingerprint, struct view text)
{
    struct summaries *summaries = userdata;
    struct entry *entry = summaries->buckets[fingerprint & summaries->bucket_mask];

    while (entry && entry->fingerprint != fingerprint)
        entry = entry->chain;
    if (entry) {
        summaries->stats.hits++;
        entry_unlink(summaries, entry);
        entry_link_newest(summaries, entry);
        return (struct view){entry->text, entry->length};
    }

    bool is_parsed;
    size_t length = summary_write(text, &summaries->space, summaries->last, &is_parsed);
    summaries->stats.misses++;
    summaries->stats.unparsed += !is_parsed;
    keep(summaries, fingerprint, length);
    return (struct view){summaries->last, length};
}

struct summaries_stats summaries_stats(const struct summaries *summaries)
{
    return summaries->stats;
}
