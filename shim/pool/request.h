/* A request for a connection, from its beginning to its end: blocking ones lie on the caller's
 * stack, those of event loops are struct weir_acquire. */
#pragma once

#include "shim/pool/house.h"

struct request {
    struct waiter waiter;
    struct weir_probe_acquire probe;
    const void *caller;
    const char *call_site, *tenant, *traceparent; /* borrowed; weir_acquire keeps copies */
    uint64_t begin_ns;
};

/* Enters @request. 0: await its end. Else it was refused, and is over. */
int request_begin(struct request *request, struct weir_pool *pool,
                  const struct weir_acquire_opts *opts, const void *caller, int event_fd,
                  struct weir_error **ret_error);
/* Sleeps until it is granted or has failed, by its deadline. */
void request_await(struct request *request);
/* Its deadline has passed, or somebody cancels it: it fails with @category if it is not over yet.
 */
void request_give_up(struct request *request, enum weir_error_category category);
/* It is granted or has failed. */
int request_end(struct request *request, struct weir_connection **ret_connection,
                struct weir_error **ret_error);

/* weir_pool_acquire() with the address that the call site is derived from. */
int pool_acquire(struct weir_pool *pool, const struct weir_acquire_opts *opts, const void *caller,
                 struct weir_connection **ret_connection, struct weir_error **ret_error);

static inline bool request_is_over(const struct request *request)
{
    return atomic_load_explicit(&request->waiter.word, memory_order_acquire) == WORD_OVER;
}
