/* Decides which observed statements become spans, and makes those. Pure: no descriptor, no clock,
 * no log, no thread; one owner, the loop. The decision comes before anything is made. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/model/names.h"
#include "agent/model/observation.h"
#include "agent/model/span.h"
#include "agent/trace/policy.h"

struct trace;

/* The db.query.summary of a normalized text; borrowed until the next call. */
typedef struct view (*trace_summary_fn)(void *userdata, uint64_t fingerprint, struct view text);

struct trace_opts {
    struct trace_policy policy;
    uint32_t spans_per_second, burst; /* of a service; the token bucket's refill and size */
    uint32_t services_max;            /* with a bucket of their own; later ones share one */
    bool statement_text;              /* db.query.text: the normalized text */
    struct names *names;              /* borrowed for life */
    trace_summary_fn summary;
    void *summary_userdata;
};

/* made = sampled_out + limited + out_of_memory + kept */
struct trace_stats {
    uint64_t made;        /* statements that could have become a span */
    uint64_t sampled_out; /* the policy does not want them */
    uint64_t limited;     /* dropped: the service's bucket was empty */
    uint64_t out_of_memory;
    uint64_t kept;
};

int trace_new(const struct trace_opts *opts, struct trace **ret)
    __attribute__((warn_unused_result));
struct trace *trace_free(struct trace *trace);
CLEANUP_DEFINE(struct trace *, trace_freep, trace_free)

/* A new policy, from a configuration read again. */
void trace_set_policy(struct trace *trace, struct trace_policy policy);

/* The span of @observation, which the caller owns; NULL: none (also for want of memory, and for
 * events other than statements). @now_ns: any clock that does not go back, for the buckets. */
const struct span *trace_observe(struct trace *trace, const struct observation *observation,
                                 uint64_t now_ns) __attribute__((warn_unused_result));

struct trace_stats trace_stats(const struct trace *trace);
