/* The client's hooks: each attempt to connect is told with its time, and each hook can be made to
 * fail or to hang by the test. */
#pragma once

#include <stdbool.h>

#include "include/weir/pool.h"

/* Installs those that @names ("before_connect,after_release") lists. False: there is no such hook.
 */
bool hooks_install(struct weir_pool_opts *opts, const char *names);
/* "NAME work", "NAME fail [COUNT]" or "NAME hang [COUNT]": from now on, or for the next COUNT
 * calls. What hangs goes on as soon as its hook has another mode. False: it says none of that. */
bool hooks_set(const char *text);
/* What before_connect supplies from now on; NULL: nothing. */
void hooks_rotate(const char *password);
/* Nothing hangs any more. */
void hooks_end(void);
