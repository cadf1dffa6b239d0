/* The data directory and its lock: one agent owns it for life. */
#pragma once

#include <stdint.h>

/* Makes @path (its last part only) if it is not there, and waits up to @wait_ms for the lock in it,
 * which is held as long as *ret_fd is open. Returns 0, negative errno, or DIRECTORY_E_TAKEN:
 * another agent has it. Blocks; call it before the loop runs. */
enum { DIRECTORY_E_TAKEN = 1 };
int directory_lock(const char *path, uint32_t wait_ms, int *ret_fd)
    __attribute__((warn_unused_result));
