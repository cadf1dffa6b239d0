/* Whether the process's calls of libpq can be seen, and why not. */
#pragma once

#include "shim/preload/call.h"

/* A call that opens a connection: one that libpq makes itself, below no call of the program that we
 * saw, says that the program reached libpq past us. */
void observe_caller(const struct call *call);
