/* UTF-8 of texts that somebody else wrote: receivers refuse a whole request for one string that is
 * none, and no text format carries a NUL. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/view.h"

/* Every byte of @text belongs to a well-formed sequence other than NUL. */
bool utf8_is_valid(struct view text);

/* Overwrites the bytes that do not with '?'. */
void utf8_repair(char *text, size_t length);
