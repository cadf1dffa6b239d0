/* A base-2 exponential histogram's buckets at scale 6 (0.54 % error) or coarser: a window of
 * touched buckets whose counters widen from 8 to 64 bits as they need. Bucket i counts values in
 * (base^i, base^(i+1)], base = 2^(2^-scale), as OpenTelemetry's data model defines them.
 *
 * Windows of all histograms share a budget of bytes. When it is used up, the histogram whose window
 * has been growing longest ago is downscaled, down to eight buckets each. Pure; one owner. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/model/rows.h"

enum {
    EXPONENTIAL_SCALE_MAX = 6,
    EXPONENTIAL_SCALE_MIN = -4,
    EXPONENTIAL_LENGTH_MAX = 4096, /* buckets: more and the scale goes down */
};

struct exponential {
    struct exponential *newer, *older; /* in the budget's order of growth */
    void *counts;                      /* length counters of width bytes */
    uint64_t zero_count;
    int32_t offset; /* index of the first bucket */
    uint16_t length;
    uint8_t width; /* 1, 2, 4 or 8 */
    int8_t scale;
};

struct exponential_budget {
    uint64_t bytes, bytes_max;
    uint64_t downscaled; /* how often the budget made one coarser */
    struct exponential *newest, *oldest;
};

/* Prepares the tables that map values to buckets; once, before the first record. */
void exponential_prepare(void);

void exponential_init(struct exponential *exponential);
void exponential_deinit(struct exponential *exponential, struct exponential_budget *budget);

/* Adds @count times @value. False: no memory; the value is not counted. */
bool exponential_record(struct exponential *exponential, struct exponential_budget *budget,
                        double value, uint64_t count);
/* Adds all of @from, at the coarser scale of both. False: no memory, nothing added. */
bool exponential_merge(struct exponential *exponential, struct exponential_budget *budget,
                       const struct exponential *from);

uint64_t exponential_count_at(const struct exponential *exponential, uint32_t position);
/* The value at quantile @q of @count values; middle of its bucket. */
double exponential_quantile(const struct exponential *exponential, uint64_t count, double q);

void exponential_write(const struct exponential *exponential, struct buffer *value);
/* False: unreadable or no memory; @exponential is then empty. */
bool exponential_read(struct exponential *exponential, struct exponential_budget *budget,
                      struct row_reader *reader);
