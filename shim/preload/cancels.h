/* Which cancel object (PGcancel, PGcancelConn) belongs to which connection. Looked up without a
 * lock or a system call, since a signal handler may cancel; changed where such objects are made and
 * freed. Bounded: the cancels of further ones are not recorded. */
#pragma once

#include "shim/preload/libpq.h"

struct weir_probe_connection;

/* @connection may be NULL: only the libpq is known. */
void cancels_add(const void *key, struct weir_probe_connection *connection,
                 const struct libpq *libpq);
void cancels_remove(const void *key);
/* The connection is about to be freed: no cancel may find it any more. Returns when none does. */
void cancels_forget(const struct weir_probe_connection *connection);
/* Records that a cancel request goes out; returns the libpq to send it with. Async-signal-safe. */
const struct libpq *cancels_record(const void *key);
