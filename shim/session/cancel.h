/* Cancelling a statement on the server. libpq's call connects anew and waits, so a thread of the
 * crew makes it. The connection must not be used for something else before the request is done: it
 * would strike what comes next. */
#pragma once

#include <libpq-fe.h>
#include <stdbool.h>

#include "shim/session/crew.h"

struct server_cancel; /* of one connection; outlives it while a request is under way */

/* NULL: memory ran out. */
struct server_cancel *server_cancel_new(PGconn *conn);
struct server_cancel *server_cancel_unref(struct server_cancel *cancel); /* NULL is fine */
/* Any thread; never waits. False: it could not even be tried. */
bool server_cancel_send(struct server_cancel *cancel, struct crew *crew);
/* No request is under way. */
bool server_cancel_is_done(const struct server_cancel *cancel);
