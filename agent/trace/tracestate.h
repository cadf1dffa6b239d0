/* W3C tracestate, as far as a sampler touches it. Pure. */
#pragma once

#include <stddef.h>

#include "base/view.h"

enum { TRACESTATE_SIZE = 1024 }; /* longer ones are dropped whole: a part may not be shown */

/* Copies @state to @ret. With @erase_threshold the OpenTelemetry member loses its sampling
 * threshold
 * (`th`), as it must where a choice was not made by probability; every other key stays as it was.
 */
void tracestate_copy(struct view state, bool erase_threshold, char ret[TRACESTATE_SIZE]);
