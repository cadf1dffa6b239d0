#include "agent/trace/policy.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct trace_policy trace_policy_default(void)
{
    return (struct trace_policy){TRACE_PARENT, TRACE_THRESHOLD_NONE};
}

static int ratio_read(const char *text, uint64_t *ret_threshold)
{
    char *end;
    double ratio = 1;

    *ret_threshold = TRACE_THRESHOLD_ALL;
    if (text && text[0]) {
        ratio = strtod(text, &end);
        if (end == text || *end || !(ratio >= 0 && ratio <= 1))
            return TRACE_POLICY_E_ARGUMENT;
    }
    *ret_threshold = TRACE_THRESHOLD_NONE - (uint64_t)(ratio * (double)TRACE_THRESHOLD_NONE);
    return 0;
}

int trace_policy_from_sampler(const char *sampler, const char *argument, struct trace_policy *ret)
{
    *ret = trace_policy_default();
    if (!sampler || !sampler[0] || strcasecmp(sampler, "parentbased_always_off") == 0)
        return 0;
    if (strcasecmp(sampler, "always_on") == 0) {
        ret->mode = TRACE_ALL;
    } else if (strcasecmp(sampler, "always_off") == 0) {
        ret->mode = TRACE_KEPT;
    } else if (strcasecmp(sampler, "parentbased_always_on") == 0) {
        ret->root_threshold = TRACE_THRESHOLD_ALL;
    } else if (strcasecmp(sampler, "traceidratio") == 0 ||
               strcasecmp(sampler, "parentbased_traceidratio") == 0) {
        return ratio_read(argument, &ret->root_threshold);
    } else {
        return TRACE_POLICY_E_UNKNOWN;
    }
    return 0;
}

bool trace_policy_takes_root(const struct trace_policy *policy, const uint8_t trace_id[16])
{
    uint64_t randomness = 0;

    for (size_t i = 9; i < 16; i++)
        randomness = randomness << 8 | trace_id[i];
    return randomness >= policy->root_threshold;
}
