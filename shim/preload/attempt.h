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

/* Begins @attempt, whose libpq and target are set, at what the target says. */
void attempt_begin(struct attempt *attempt);
/* libpq knows where it goes: if that is elsewhere, the attempt begins there instead. */
void attempt_correct(struct attempt *attempt, const PGconn *conn);
/* libpq made @conn (or NULL): it is followed from now on. Returns its session, or NULL. */
struct session *attempt_adopt(struct attempt *attempt, PGconn *conn);
/* The attempt of @session came to its end, if one is under way; @conn tells how. */
void attempt_end(struct session *session, const PGconn *conn);
