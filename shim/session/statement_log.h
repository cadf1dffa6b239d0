/* Tells slow and failed statements to the manager's log: normalized text, never a literal, never
 * the server's own words, since those may hold values. */
#pragma once

#include "shim/session/account.h"

/* @account is at its end. @sqlstate: "" if the server said none. Cheap if there is nothing to tell.
 */
void statement_log(const struct account *account, enum weir_error_category category,
                   const char *sqlstate);
