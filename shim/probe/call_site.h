/* Where in the program a call came from: "<first 16 hex digits of the object's
 * build-id>+0x<offset>", the same across restarts. Objects without a build-id go by their file's
 * name. */
#pragma once

#include "shim/probe/segment.h"

/* The name id of @return_address, announced; 0: it lies in no known object (generated code). The
 * first sight of an address searches the loaded objects, later ones cost a look-up. An address is
 * taken to mean the same for good: after dlclose another library may lie there and be named
 * wrongly. */
uint64_t call_site_of(const struct segment *segment, const void *return_address);
