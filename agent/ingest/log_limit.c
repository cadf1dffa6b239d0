#include "agent/ingest/log_limit.h"

#include "base/clock.h"

static bool log_limit_passed(const struct log_limit *limit, uint64_t now_ns)
{
    return limit->said_ns == 0 || now_ns - limit->said_ns >= LOG_LIMIT_S * NS_PER_S;
}

bool log_limit_say(struct log_limit *limit, uint64_t now_ns, uint64_t *ret_unsaid)
{
    if (!log_limit_passed(limit, now_ns)) {
        limit->unsaid++;
        return false;
    }
    *ret_unsaid = limit->unsaid;
    *limit = (struct log_limit){.said_ns = now_ns};
    return true;
}

bool log_limit_due(struct log_limit *limit, uint64_t now_ns, uint64_t *ret_unsaid)
{
    if (limit->unsaid == 0 || !log_limit_passed(limit, now_ns))
        return false;
    *ret_unsaid = limit->unsaid;
    *limit = (struct log_limit){.said_ns = now_ns};
    return true;
}
