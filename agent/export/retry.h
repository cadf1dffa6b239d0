/* Which answers may be tried again, and when: the specification's tables. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum outcome {
    OUTCOME_ARRIVED,
    OUTCOME_RETRY,     /* the same request may be tried again */
    OUTCOME_REFUSED,   /* it never will be taken: drop it */
    OUTCOME_CANCELLED, /* we gave it up ourselves */
};

enum outcome retry_of_http(long status);
/* @says_when: the answer carried a google.rpc.RetryInfo. */
enum outcome retry_of_grpc(int status, bool says_when);
/* The name of a gRPC status, as self-observation shows it: "UNAVAILABLE". */
const char *retry_grpc_name(int status);

/* How long a google.rpc.Status (@bytes) asks to wait; false: it does not say. *ret_wait_ms is the
 * server's word and may be 0. */
bool retry_info_read(const void *bytes, uint64_t length, uint64_t *ret_wait_ms);

struct retry_opts {
    uint32_t first_ms, most_ms; /* between attempts, before jitter */
    uint32_t give_up_ms;        /* after a request's first failure */
};

enum { RETRY_AFTER_MAX_MS = 3600 * 1000 }; /* longer waits that a server asks for are cut to this */

/* The wait before the next attempt, kept from one failure to the next; zeros: no failure yet. */
struct backoff {
    uint64_t current_ms;
};

/* Exponential with jitter of a half; @asked_ms (0: nothing) is what the server asked for: it is
 * waited for at least, and growth goes on from it. @random: any number, new at each call. */
uint64_t backoff_next_ms(struct backoff *backoff, const struct retry_opts *opts, uint64_t asked_ms,
                         uint32_t random);
