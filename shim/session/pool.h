/* What a session asks of the pool around it. Declared here, defined by shim/pool: includes and
 * links point from the pool to the session only. */
#pragma once

#include "shim/probe/table.h"
#include "shim/session/crew.h"
#include "shim/session/options.h"
#include "shim/session/slot.h"

const struct options *pool_options(const struct weir_pool *pool);
struct crew *pool_crew(struct weir_pool *pool);
/* The functions of the process's one probe. */
const struct probe_table *pool_probe(const struct weir_pool *pool);
