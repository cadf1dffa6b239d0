/* What the synchronous functions have in common. */
#pragma once

#include "shim/preload/send.h"

/* True if libpq's own calls inside this one go unseen, and are to be made in its place; then
 * nothing is left from before. */
bool exec_is_ours(const struct call *call, PGconn *conn);
/* As libpq collects results: the last one, or the first that begins a COPY. */
PGresult *exec_collect(const struct call *call, PGconn *conn, int is_sent);
/* The outermost call returns to the program: what it lent goes back. */
void exec_end(const struct call *call);

void exec_fastpath_begin(struct call *call, PGconn *conn);
void exec_fastpath_end(const struct call *call, PGconn *conn, PGresult *result);
/* A prepared statement was closed by the protocol's message, if @result says so. */
void exec_closed(const struct call *call, const char *name, PGresult *result, uint64_t begin_ns);
