/* The preload's one lock, for connecting, finishing and the first sight of a libpq; statements
 * never take it. A forked child finds it free. */
#pragma once

void guard_lock(void);
void guard_unlock(void);
