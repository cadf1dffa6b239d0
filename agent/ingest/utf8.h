/* Text from outside becomes UTF-8: every byte that is none is replaced by U+FFFD. */
#pragma once

#include "base/buffer.h"
#include "base/view.h"

void utf8_append_clean(struct buffer *out, struct view text);
