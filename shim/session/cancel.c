#include "shim/session/cancel.h"

#include <stdatomic.h>
#include <stdlib.h>

struct server_cancel {
    struct crew_job job;
    PGcancel *cancel;
    _Atomic uint32_t references;
    _Atomic uint32_t is_pending;
};

struct server_cancel *server_cancel_new(PGconn *conn)
{
    struct server_cancel *cancel = calloc(1, sizeof(*cancel));

    if (!cancel)
        return NULL;
    cancel->cancel = PQgetCancel(conn);
    atomic_init(&cancel->references, 1);
    if (!cancel->cancel) {
        free(cancel);
        return NULL;
    }
    return cancel;
}

struct server_cancel *server_cancel_unref(struct server_cancel *cancel)
{
    if (cancel && atomic_fetch_sub_explicit(&cancel->references, 1, memory_order_acq_rel) == 1) {
        PQfreeCancel(cancel->cancel);
        free(cancel);
    }
    return NULL;
}

static void server_cancel_run(struct crew_job *job)
{
    struct server_cancel *cancel = (struct server_cancel *)job;
    char error[256];

    /* Not delivered: the statement goes on, and its caller's grace decides. */
    (void)PQcancel(cancel->cancel, error, sizeof(error));
    atomic_store_explicit(&cancel->is_pending, 0, memory_order_release);
    (void)server_cancel_unref(cancel);
}

bool server_cancel_send(struct server_cancel *cancel, struct crew *crew)
{
    uint32_t idle = 0;

    if (!cancel)
        return false;
    if (!atomic_compare_exchange_strong_explicit(&cancel->is_pending, &idle, 1,
                                                 memory_order_acq_rel, memory_order_acquire))
        return true; /* one is under way */
    atomic_fetch_add_explicit(&cancel->references, 1, memory_order_relaxed);
    cancel->job.run = server_cancel_run;
    if (crew_submit_endless(crew, &cancel->job)) /* PQcancel() awaits the server for ever */
        return true;
    atomic_store_explicit(&cancel->is_pending, 0, memory_order_release);
    (void)server_cancel_unref(cancel);
    return false;
}

bool server_cancel_is_done(const struct server_cancel *cancel)
{
    return !cancel || !atomic_load_explicit(&cancel->is_pending, memory_order_acquire);
}
