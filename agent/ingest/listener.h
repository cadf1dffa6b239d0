/* The agent's socket: its lock, its name, and new connections. */
#pragma once

#include <stdint.h>

/* Binds @path + ".<pid>.new" with @mode and renames it to @path, so that whoever finds the name
 * finds somebody listening. Whatever stands at @path is replaced: the caller holds the lock.
 * Returns 0 or negative errno. The descriptor does not block and closes on exec. */
int listener_open(const char *path, uint32_t mode, int *ret_fd) __attribute__((warn_unused_result));

/* Accepts one connection. 0, -EAGAIN, or another negative errno; -EMFILE after one that had to be
 * turned away for want of descriptors. @spare: a descriptor kept for that, replaced. */
int listener_accept(int listener, int *spare, int *ret_fd) __attribute__((warn_unused_result));

/* A descriptor to be spared. -1 if there is none left. */
int listener_spare(void);
