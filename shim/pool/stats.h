/* What a pool is at: counted from its slots, so that the fast way counts nothing shared. */
#pragma once

#include "shim/pool/house.h"

struct pool_use {
    uint64_t acquires, releases; /* running totals */
    uint32_t used, idle;
};

/* Under the pool's mutex. */
struct pool_use pool_use_count(const struct weir_pool *pool);
