/* PostgreSQL's own scanner, as libpg_query brings it, behind one call. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "shim/probe/lexer.h"

struct scanned {
    uint32_t begin, end;
    enum token_kind kind;
    char is_excepted; /* its range cannot be told: U& forms */
};

/* Scans NUL-terminated @text, comments too. *ret is the caller's to free. 0, or -EINVAL if the
 * scanner refuses it, or -ENOMEM. */
int scanner_scan(const char *text, struct scanned **ret, size_t *ret_count);
