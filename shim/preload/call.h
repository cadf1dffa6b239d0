/* A call of the program that passes through us. libpq calls itself through the same names: such an
 * inner call is known by its frame, which lies below that of the outer wrapper, and by its return
 * address, which lies in libpq. A mark that longjmp() left behind is therefore harmless. */
#pragma once

#include "shim/preload/connections.h"
#include "shim/preload/libpq.h"

struct attempt;

/* What is under way in this thread. */
struct outer_call {
    const void *frame; /* NULL: nothing */
    const void *caller;
    const struct libpq *libpq;
    struct attempt *attempt; /* a connection that is being opened, or NULL */
};

struct call {
    struct session *session;   /* NULL: not followed */
    const struct libpq *libpq; /* NULL: there is none */
    const void *caller;        /* in the program */
    bool is_inner;
    bool is_begun; /* the session was told of something to be sent */
    struct outer_call before;
};

extern __thread struct outer_call outer_call __attribute__((tls_model("initial-exec")));

/* For functions that send or receive themselves: only looks who calls. */
void call_look(struct call *call, const void *connection, const void *caller, const void *frame);
/* For functions that call others of libpq: these are inner ones until call_leave(). */
void call_enter(struct call *call, const void *connection, const void *caller, const void *frame,
                struct attempt *attempt);
void call_leave(const struct call *call);

#define CALL_LOOK(call, connection)                                                                \
    call_look(&(call), (connection), __builtin_return_address(0), __builtin_frame_address(0))
#define CALL_ENTER(call, connection)                                                               \
    call_enter(&(call), (connection), __builtin_return_address(0), __builtin_frame_address(0), NULL)
