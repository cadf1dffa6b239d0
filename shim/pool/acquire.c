/* Taking a connection. Where nobody waits and the connection on top of the stack is known to be
 * good, it is one compare-and-swap; everything else is a request (request.h). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "shim/pool/request.h"

#define CALLER __builtin_return_address(0)

/* Of the options only the call site is the fast way's business. */
static inline bool opts_are_plain(const struct weir_acquire_opts *opts)
{
    return !opts || (opts->size >= sizeof(*opts) && !opts->tenant && !opts->traceparent &&
                     !opts->settings_count && !opts->canceller);
}

static inline bool slot_is_good(const struct weir_pool *pool, const struct slot *slot)
{
    return !atomic_load_explicit(&slot->is_doubtful, memory_order_relaxed) &&
           atomic_load_explicit(&slot->epoch, memory_order_relaxed) ==
               atomic_load_explicit(&pool->epoch, memory_order_relaxed);
}

static struct weir_connection *acquire_at_once(struct weir_pool *pool, const char *call_site,
                                               const void *caller)
{
    struct slot *slot = gate_pop(&pool->gate, pool->slots, false);
    uint64_t lease;

    if (!slot)
        return NULL;
    if (__builtin_expect(!slot_is_good(pool, slot), 0)) {
        pool_lock(pool);
        pool_give(pool, slot); /* a request makes it good, or closes it */
        pool_unlock(pool);
        return NULL;
    }
    lease = atomic_load_explicit(&slot->lease, memory_order_relaxed) + 1;
    holder_write(slot, caller, call_site ? &(struct holder_words){.call_site = call_site} : NULL);
    slot->wait_ns = 0;
    atomic_store_explicit(&slot->lease, lease, memory_order_release);
    hold_sample(slot);
    pool->table->acquire_immediate(pool->probe, slot->probe, call_site, caller);
    return slot_handle(slot, lease);
}

int pool_acquire(struct weir_pool *pool, const struct weir_acquire_opts *opts, const void *caller,
                 struct weir_connection **ret_connection, struct weir_error **ret_error)
{
    struct request request;
    int r;

    if (!pool || !ret_connection)
        return failure(ret_error, WEIR_ERROR_USAGE, "weir_pool_acquire: an argument is NULL");
    if (opts_are_plain(opts)) {
        *ret_connection = acquire_at_once(pool, opts ? opts->call_site : NULL, caller);
        if (__builtin_expect(*ret_connection != NULL, 1))
            return 0;
    }
    *ret_connection = NULL;
    r = request_begin(&request, pool, opts, caller, -1, ret_error);
    if (r)
        return r;
    request_await(&request);
    return request_end(&request, ret_connection, ret_error);
}

int weir_pool_acquire(struct weir_pool *pool, const struct weir_acquire_opts *opts,
                      struct weir_connection **ret_connection, struct weir_error **ret_error)
{
    return pool_acquire(pool, opts, CALLER, ret_connection, ret_error);
}

/* ---- for event loops ------------------------------------------------------------------------- */

struct weir_acquire {
    struct request request;
    char *call_site, *tenant, *traceparent;
};

static struct weir_acquire *acquire_free(struct weir_acquire *acquire)
{
    if (!acquire)
        return NULL;
    if (acquire->request.waiter.event_fd >= 0)
        (void)close(acquire->request.waiter.event_fd);
    free(acquire->call_site);
    free(acquire->tenant);
    free(acquire->traceparent);
    free(acquire);
    return NULL;
}

CLEANUP_DEFINE(struct weir_acquire *, acquire_freep, acquire_free)

static int text_copy(const char *text, char **ret)
{
    *ret = text ? strdup(text) : NULL;
    return text && !*ret ? -ENOMEM : 0;
}

int weir_acquire_start(struct weir_pool *pool, const struct weir_acquire_opts *opts,
                       struct weir_acquire **ret_acquire, struct weir_error **ret_error)
{
    CLEANUP(acquire_freep) struct weir_acquire *acquire = calloc(1, sizeof(*acquire));
    struct weir_acquire_opts kept = {.size = sizeof(kept)};
    int fd, r;

    if (!pool || !ret_acquire)
        return failure(ret_error, WEIR_ERROR_USAGE, "weir_acquire_start: an argument is NULL");
    if (!acquire)
        return failure_memory(ret_error);
    acquire->request.waiter.event_fd = -1;
    if (opts)
        memcpy(&kept, opts, opts->size < sizeof(kept) ? opts->size : sizeof(kept));
    kept.size = sizeof(kept);
    if (text_copy(kept.call_site, &acquire->call_site) ||
        text_copy(kept.tenant, &acquire->tenant) ||
        text_copy(kept.traceparent, &acquire->traceparent))
        return failure_memory(ret_error);
    kept.call_site = acquire->call_site;
    kept.tenant = acquire->tenant;
    kept.traceparent = acquire->traceparent;
    fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return failure(ret_error, WEIR_ERROR_RESOURCE, "weir_acquire_start: no descriptor: %s",
                       strerror(errno));
    r = request_begin(&acquire->request, pool, &kept, CALLER, fd, ret_error);
    if (r) {
        acquire->request.waiter.event_fd = fd; /* for acquire_freep: it may not be there yet */
        return r;
    }
    if (!request_is_over(&acquire->request))
        keeper_wake(pool->manager, acquire->request.waiter.deadline_ns);
    *ret_acquire = STEAL(acquire);
    return 0;
}

int weir_acquire_fd(const struct weir_acquire *acquire)
{
    return acquire ? acquire->request.waiter.event_fd : -1;
}

int weir_acquire_step(struct weir_acquire *acquire, struct weir_connection **ret_connection,
                      struct weir_error **ret_error)
{
    struct request *request = acquire ? &acquire->request : NULL;
    int r;

    if (!request || !ret_connection)
        return failure(ret_error, WEIR_ERROR_USAGE, "weir_acquire_step: an argument is NULL");
    if (!request_is_over(request)) {
        if (clock_monotonic_ns() < request->waiter.deadline_ns)
            return WEIR_PENDING;
        request_give_up(request, WEIR_ERROR_TIMEOUT);
    }
    *ret_connection = NULL;
    r = request_end(request, ret_connection, ret_error);
    acquire_free(acquire);
    return r;
}

void weir_acquire_cancel(struct weir_acquire *acquire)
{
    struct weir_connection *connection = NULL;

    if (!acquire)
        return;
    request_give_up(&acquire->request, WEIR_ERROR_CANCELLED);
    if (!request_end(&acquire->request, &connection, NULL))
        (void)weir_connection_release(connection); /* it was granted just now */
    acquire_free(acquire);
}
