/* What the server is at for one connection: begun and ended here, with the transactions and the
 * prepared names that follow from it. */
#pragma once

#include "shim/preload/session.h"

/* The next statement of @request's script begins. False: there is none. */
bool execution_begin_part(struct session *session, struct request *request);
/* What else @request asks for begins. */
void execution_begin(struct session *session, struct request *request);
/* Its result: DONE, EMPTY or ERROR. */
void execution_end(struct session *session, struct request *request, const struct outcome *outcome);
/* It will have no result that we know of. */
void execution_abandon(struct session *session, enum weir_failure failure);
/* Nothing is under way, and the server said where it stands. */
void execution_rest(struct session *session, enum transaction_state transaction);
/* The prepared statement @name was closed, or @outcome says why not. */
void execution_closed(struct session *session, struct view name, const struct outcome *outcome,
                      uint64_t duration_ns);
