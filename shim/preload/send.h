/* The way of something that the program sends: begun before libpq has it, taken back if libpq
 * refuses it. */
#pragma once

#include "shim/preload/call.h"

/* @sent's flags and caller are filled in here. Without a session nothing happens. */
void send_begin(struct call *call, PGconn *conn, const struct sent *sent);
/* Returns @is_sent. Keeps what the program lent, unless the outer call still lends it. */
int send_end(const struct call *call, PGconn *conn, int is_sent);

#define SEND_TEXT(call, conn, request_kind, text)                                                  \
    send_begin(&(call), (conn), &(struct sent){.kind = (request_kind), .sql = view_from(text)})
#define SEND_NAME(call, conn, request_kind, its_name)                                              \
    send_begin(&(call), (conn), &(struct sent){.kind = (request_kind), .name = view_from(its_name)})
#define SEND_PARSE(call, conn, its_name, text)                                                     \
    send_begin(&(call), (conn),                                                                    \
               &(struct sent){                                                                     \
                   .kind = REQUEST_PARSE, .sql = view_from(text), .name = view_from(its_name)})
