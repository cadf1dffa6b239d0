/* What this process says of itself when it hands its segment over. */
#pragma once

#include <stddef.h>

#include "shim/probe/process.h"

enum { HELLO_SIZE_MAX = 16 << 10 }; /* with attributes; what does not fit is left out */

/* Reads the environment and keeps the attributes. By the thread that starts us, which is inside a
 * call of the database library and so reads the environment anyway. */
void hello_prepare(const struct process_identity *identity);

/* Writes the message, its length in front, with both clocks as of now. Returns its size. */
size_t hello_make(const struct segment *segment, bool has_pidfd, char bytes[HELLO_SIZE_MAX]);
