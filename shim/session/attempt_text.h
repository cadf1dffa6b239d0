/* What the text of a failed attempt to connect says; see failure_of_connection(). Pure. */
#pragma once

#include <stdbool.h>

#include "include/weir/error.h"

struct attempt_text {
    enum weir_error_category category;
    bool is_retryable;
    char sqlstate[6]; /* "" if the server said none */
};

/* @needs_password: the server asked for one that we did not have, which libpq knows in any
 * language.
 */
void attempt_text_read(const char *text, bool needs_password, struct attempt_text *ret);
