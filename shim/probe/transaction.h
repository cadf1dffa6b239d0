/* A transaction as the connection's status tells it. */
#pragma once

#include "shim/probe/connection.h"

void transaction_begin(struct weir_probe_connection *connection, const void *caller);
void transaction_end(struct weir_probe_connection *connection,
                     enum weir_transaction_outcome outcome);

/* Records the end of the one that is open. The hold and the board are the caller's. */
void transaction_finish(const struct segment *segment, struct weir_probe_connection *connection,
                        enum weir_transaction_outcome outcome, uint64_t now_ns);
