/* Statements: sent, first byte, ended. The way of every statement of a service leads through here.
 */
#pragma once

#include "base/view.h"
#include "shim/probe/connection.h"

void statement_begin(struct weir_probe_connection *connection, struct weir_probe_statement *room,
                     struct view sql, uint32_t flags, const void *caller);
void statement_begin_prepared(struct weir_probe_connection *connection,
                              struct weir_probe_statement *room, const struct weir_probe_text *text,
                              uint32_t flags, const void *caller);
void statement_first_byte(struct weir_probe_statement *room);
void statement_end(struct weir_probe_statement *room,
                   const struct weir_probe_statement_result *result);
void statement_prepare(struct weir_probe_connection *connection, const struct weir_probe_text *text,
                       enum weir_prepare_action action, uint64_t duration_ns, const char *sqlstate);
