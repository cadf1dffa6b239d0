/* One libpq in the process, and its functions. A process may have several: a driver that brings its
 * own, of another version and under another name. */
#pragma once

#include "shim/preload/libpq_types.h"
#include "shim/preload/object.h"

struct libpq {
    struct libpq *next; /* the one that was seen before it */
    struct object object;
    uint32_t version;
    bool is_bound; /* calls itself unseen */
#define FUNCTION(result, name, parameters) result(*name) parameters;
#include "shim/preload/functions.def"
#undef FUNCTION
};

/* The libpq that a call from @caller would have gone to without us: what stands behind us in the
 * global scope, else what the caller's own object brought along. Another interposer that stands
 * behind us is kept in between. NULL: there is none. Takes the loader's lock. Lives for ever, and
 * so does the library: what we point to must not be unloaded. */
const struct libpq *libpq_of_caller(const void *caller);
/* Any libpq that was seen so far, or NULL. Async-signal-safe. */
const struct libpq *libpq_any(void);
