/* Whether the process's calls of libpq can be seen, and why not: told to the probe once, so that
 * the process appears with the reason. */
#pragma once

#include "shim/preload/call.h"

/* A connection is followed. Beats all reasons. */
void observe_yes(uint32_t library_version);
/* No connection can be followed, for @reason; the first one told counts. */
void observe_not(enum weir_observed reason, uint32_t library_version);
/* A call that opens a connection: one that libpq makes itself, below no call of the program that we
 * saw, says that the program reached libpq past us: through addresses of its own, as ctypes does.
 * True if so: some of its calls would come by, and half a count is none. */
bool observe_caller(const struct call *call);
/* An object was opened so that its calls go to what it brought along, past us: if that holds a
 * libpq, it goes unseen. */
void observe_deep_bound(void *handle);
