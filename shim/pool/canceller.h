/* What ends waiting requests at their caller's wish. Its lock comes before a pool's. */
#pragma once

#include <stdbool.h>

#include "shim/pool/queue.h"

/* False: it was cancelled before. */
bool canceller_enter(struct weir_canceller *canceller, struct waiter *waiter);
void canceller_leave(struct waiter *waiter);
