/* A connection that is being opened: from before libpq does anything, so that its time is whole,
 * until there is a PGconn to follow. */
#pragma once

#include "shim/preload/call.h"
#include "shim/preload/target.h"

struct attempt {
    const struct libpq *libpq;
    struct weir_probe_connection *connection; /* NULL: not begun */
    struct target target;
};

/* At where the environment says. Not on the stack: what longjmp() leaves behind may be looked at
 * once more. NULL: memory ran out. */
struct attempt *attempt_new(const struct libpq *libpq);
struct attempt *attempt_free(struct attempt *attempt); /* returns NULL */
/* Begins @attempt at what its target says. */
void attempt_begin(struct attempt *attempt);
/* libpq knows where it goes: if that is elsewhere, the attempt begins there instead. */
void attempt_correct(struct attempt *attempt, const PGconn *conn);
/* libpq made @conn (or NULL): it is followed from now on. Returns its session, or NULL. */
struct session *attempt_adopt(struct attempt *attempt, PGconn *conn);
/* The attempt of @session came to its end, if one is under way; @conn tells how. */
void attempt_end(struct session *session, const PGconn *conn);
/* The program will not wait for its end. */
void attempt_give_up(struct session *session);
