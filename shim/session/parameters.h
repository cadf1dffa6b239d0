/* A statement's parameters, for the log, by the rules of weir/pool.h: off unless the pool or the
 * statement asks for them; never more than the environment's WEIR_PARAMETERS (off, hashed,
 * redacted; read once, an unknown word is off, unset allows all).
 *
 * Redacted shows a value only if the text says what it is compared with, assigned or inserted to,
 * and no name or string near it contains a word of the pool's list or of the built-in one. All else
 * is hashed: when in doubt, a value is not shown. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"
#include "include/weir/statement.h"
#include "shim/session/options.h"

enum { PARAMETERS_SHOWN_MAX = 64, PARAMETER_BYTES_MAX = 64 };

/* "$1 = 'abc', $2 = #5f3a…"; the caller frees it. NULL: nothing is to be shown. */
char *parameters_show(struct view sql, const struct weir_statement_opts *opts,
                      const struct options *options, bool backslash_strings);

/* Which of the first PARAMETERS_SHOWN_MAX parameters may be shown, $1 being the lowest bit. @words:
 * "a, b", or NULL. Pure. */
uint64_t parameters_open(struct view sql, bool backslash_strings, const char *words);
