/* Text that other processes chose, made safe to expose. */
#pragma once

#include "base/buffer.h"
#include "base/view.h"

/* Appends @text with NUL and what is no well-formed UTF-8 as U+FFFD. */
void utf8_append(struct buffer *out, struct view text);
