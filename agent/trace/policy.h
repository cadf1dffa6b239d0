/* Which statements become spans. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum trace_mode {
    TRACE_OFF,
    TRACE_KEPT,   /* for cause alone: the statement failed */
    TRACE_PARENT, /* of sampled parents, and for cause */
    TRACE_ALL,
};

/* Of 2^56: a trace without a parent is sampled if its randomness (its id's last 7 bytes, as W3C
 * defines it) is at least that. */
#define TRACE_THRESHOLD_ALL  UINT64_C(0)
#define TRACE_THRESHOLD_NONE (UINT64_C(1) << 56)

struct trace_policy {
    enum trace_mode mode;
    uint64_t root_threshold; /* for TRACE_PARENT */
};

/* The default: TRACE_PARENT, no roots. */
struct trace_policy trace_policy_default(void);

/* What OTEL_TRACES_SAMPLER (@sampler) and OTEL_TRACES_SAMPLER_ARG (@argument) mean here; both may
 * be NULL or "". Returns 0, TRACE_POLICY_E_UNKNOWN (no such sampler here: the default) or
 * TRACE_POLICY_E_ARGUMENT (no ratio from 0 to 1: 1 is taken). */
enum { TRACE_POLICY_E_UNKNOWN = 1, TRACE_POLICY_E_ARGUMENT };
int trace_policy_from_sampler(const char *sampler, const char *argument, struct trace_policy *ret);

/* True if a root of @trace_id is sampled. */
bool trace_policy_takes_root(const struct trace_policy *policy, const uint8_t trace_id[16]);
