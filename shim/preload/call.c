#include "shim/preload/call.h"

__thread struct outer_call outer_call __attribute__((tls_model("initial-exec")));

static bool is_below_outer(const void *caller, const void *frame)
{
    return outer_call.frame && (uintptr_t)frame < (uintptr_t)outer_call.frame && outer_call.libpq &&
           object_contains(&outer_call.libpq->object, caller);
}

void call_look(struct call *call, const void *connection, const void *caller, const void *frame)
{
    call->session = connections_find(connection);
    call->is_begun = false;
    call->is_inner = is_below_outer(caller, frame);
    call->caller = call->is_inner ? outer_call.caller : caller;
    call->libpq = call->session    ? call->session->libpq
                  : call->is_inner ? outer_call.libpq
                                   : libpq_of_caller(caller);
}

void call_enter(struct call *call, const void *connection, const void *caller, const void *frame,
                struct attempt *attempt)
{
    call_look(call, connection, caller, frame);
    call->before = outer_call;
    if (!call->is_inner && call->libpq)
        outer_call = (struct outer_call){frame, caller, call->libpq, attempt};
}

void call_leave(const struct call *call)
{
    outer_call = call->before;
}
