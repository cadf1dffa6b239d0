/* The API's answers as JSON. Rows are written one after the other, so that a table of thousands
 * needs the memory of its text alone. */
#pragma once

#include "agent/serve/server.h"
#include "base/buffer.h"

enum { API_BYTES_MAX = 256 * 1024 * 1024, API_E_UNKNOWN = 1 };

/* @name: what follows /api/v1/. Appends to @out. 0, -ENOMEM or API_E_UNKNOWN. */
int api_write(const struct serve_source *source, const char *name, struct buffer *out)
    __attribute__((warn_unused_result));
