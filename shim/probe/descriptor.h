/* A descriptor in a table that others use too: before each use we look whether it is still ours,
 * since a program may close all descriptors and open its own files in their places. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct descriptor {
    int fd; /* -1: none */
    uint64_t device;
    uint64_t inode;
};

/* Remembers what @fd is now; takes it over. On failure it is closed and the result is none. */
struct descriptor descriptor_take(int fd);

/* Moves @fd above 0, 1 and 2: a program that was started with one of them closed writes there.
 * Takes @fd; -1 and errno if no other is to be had. */
int descriptor_above_standard(int fd);

/* False: it was closed, or another file stands in its place. */
bool descriptor_is_ours(const struct descriptor *descriptor);

/* Closes it if it is still ours, forgets it in any case. */
void descriptor_close(struct descriptor *descriptor);
