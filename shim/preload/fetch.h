/* The way of a result to the program. */
#pragma once

#include "shim/preload/call.h"

/* libpq's next result, observed. */
PGresult *fetch_result(const struct call *call, PGconn *conn);
/* Nothing more will come: the session learns where the connection stands. */
void fetch_rest(const struct call *call, PGconn *conn);
/* The program looks at its connection now. NULL is fine. */
void fetch_touch(struct session *session);
