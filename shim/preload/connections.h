/* Which PGconn is followed by which session. Looked up at every call without a lock; changed at
 * connecting and finishing only. Bounded: further connections go unobserved. */
#pragma once

#include "shim/preload/session.h"

enum {
    CONNECTIONS_PLACES = 1 << 14, /* a power of two */
    CONNECTIONS_MAX = CONNECTIONS_PLACES / 4 * 3,
};

/* NULL: not followed. @key may be NULL. */
struct session *connections_find(const void *key);
/* False: there is no place left. A key that is there already is replaced: the old connection went
 * away unseen; its session is returned in @ret_old, else NULL. */
bool connections_add(const void *key, struct session *session, struct session **ret_old)
    __attribute__((warn_unused_result));
/* NULL: it was not followed. */
struct session *connections_remove(const void *key);
