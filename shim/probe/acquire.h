/* A request for a connection: waiting, then a hold or a failure. */
#pragma once

#include "shim/probe/connection.h"

void acquire_begin(struct weir_probe_pool *pool, struct weir_probe_acquire *room,
                   const char *call_site, const void *caller);
void acquire_end(struct weir_probe_acquire *room, struct weir_probe_connection *connection,
                 enum weir_failure failure, const char *sqlstate);
void acquire_immediate(struct weir_probe_pool *pool, struct weir_probe_connection *connection,
                       const char *call_site, const void *caller);
void acquire_release_noting(struct weir_probe_connection *connection, uint32_t flags);
void acquire_release(struct weir_probe_connection *connection);
