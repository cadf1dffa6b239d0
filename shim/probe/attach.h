/* The way to the agent: a first attach that waits for nothing, and a thread that keeps it up.
 *
 * The thread takes a descriptor table of its own (unshare), so that a program which closes all
 * descriptors closes none of ours and a forked child inherits none. Where the kernel or a filter
 * refuses that, descriptors stay in the program's table and are checked before each use; a memfd
 * that the program closed then can no longer be handed over: recording goes on for the agent that
 * has it mapped already. */
#pragma once

#include <stdbool.h>

#include "shim/probe/process.h"

/* Connects, says hello with @memory and starts the thread; takes @memory over. Under the process's
 * mutex. Without an agent, or without a thread, nothing fails. */
void attach_start(const struct segment *segment, const struct process_identity *identity,
                  int memory);

/* Whether the thread has its own copies of descriptors that still lie in the program's table. */
bool attach_has_leftovers(void);

/* Closes those, unless they are somebody else's by now. Under the process's mutex. */
void attach_leftovers_close(void);

/* In a child of fork: there is no thread; closes what it left in the table. */
void attach_fork_child(void);
