#include "agent/export/retry.h"

#include <stddef.h>
#include <string.h>

#include "proto/opentelemetry/rpc.pb-c.h"

/* gRPC's status codes, which are part of its protocol. */
enum {
    STATUS_OK = 0,
    STATUS_CANCELLED = 1,
    STATUS_DEADLINE_EXCEEDED = 4,
    STATUS_RESOURCE_EXHAUSTED = 8,
    STATUS_ABORTED = 10,
    STATUS_OUT_OF_RANGE = 11,
    STATUS_UNAVAILABLE = 14,
    STATUS_DATA_LOSS = 15,
    STATUS_END = 17,
};

enum outcome retry_of_http(long status)
{
    switch (status) {
    case 429:
    case 502:
    case 503:
    case 504:
        return OUTCOME_RETRY;
    default:
        return status >= 200 && status < 300 ? OUTCOME_ARRIVED : OUTCOME_REFUSED;
    }
}

enum outcome retry_of_grpc(int status, bool says_when)
{
    switch (status) {
    case STATUS_OK:
        return OUTCOME_ARRIVED;
    case STATUS_CANCELLED:
    case STATUS_DEADLINE_EXCEEDED:
    case STATUS_ABORTED:
    case STATUS_OUT_OF_RANGE:
    case STATUS_UNAVAILABLE:
    case STATUS_DATA_LOSS:
        return OUTCOME_RETRY;
    case STATUS_RESOURCE_EXHAUSTED:
        return says_when ? OUTCOME_RETRY : OUTCOME_REFUSED;
    default:
        return OUTCOME_REFUSED;
    }
}

const char *retry_grpc_name(int status)
{
    static const char *const names[STATUS_END] = {
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    };

    return status >= 0 && status < STATUS_END ? names[status] : "UNKNOWN";
}

static bool names_retry_info(const char *type_url)
{
    const char *name = strrchr(type_url, '/');

    return strcmp(name ? name + 1 : type_url, "google.rpc.RetryInfo") == 0;
}

static uint64_t delay_ms(const Google__Rpc__Delay *delay)
{
    if (!delay || delay->seconds < 0 || delay->nanos < 0)
        return 0;
    if (delay->seconds >= RETRY_AFTER_MAX_MS / 1000)
        return RETRY_AFTER_MAX_MS;
    return (uint64_t)delay->seconds * 1000 + ((uint64_t)delay->nanos + 999999) / 1000000;
}

bool retry_info_read(const void *bytes, uint64_t length, uint64_t *ret_wait_ms)
{
    Google__Rpc__Status *status = google__rpc__status__unpack(NULL, length, bytes);
    bool is_found = false;

    for (size_t i = 0; status && i < status->n_details && !is_found; i++) {
        const Google__Rpc__Detail *detail = status->details[i];
        if (!names_retry_info(detail->type_url))
            continue;
        Google__Rpc__RetryInfo *info =
            google__rpc__retry_info__unpack(NULL, detail->value.len, detail->value.data);
        if (info) {
            is_found = true;
            *ret_wait_ms = delay_ms(info->retry_delay);
            google__rpc__retry_info__free_unpacked(info, NULL);
        }
    }
    if (status)
        google__rpc__status__free_unpacked(status, NULL);
    return is_found;
}

uint64_t backoff_next_ms(struct backoff *backoff, const struct retry_opts *opts, uint64_t asked_ms,
                         uint32_t random)
{
    uint64_t base =
        backoff->current_ms ? backoff->current_ms + backoff->current_ms / 2 : opts->first_ms;

    if (base > opts->most_ms)
        base = opts->most_ms;
    if (asked_ms > RETRY_AFTER_MAX_MS)
        asked_ms = RETRY_AFTER_MAX_MS;
    if (asked_ms > base)
        base = asked_ms;
    backoff->current_ms = base;
    /* Between a half and one and a half of it; never before what was asked for. */
    uint64_t jittered = base / 2 + (base * (random >> 16) >> 16);
    return jittered > asked_ms ? jittered : asked_ms + (base / 2 * (random >> 16) >> 16);
}
