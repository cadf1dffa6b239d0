/* The process as one probed thing: its segment, made at the first pool or connection, its attach
 * thread, its identity, and what fork does to all that. */
#pragma once

#include "include/weir/probe.h"
#include "shim/probe/segment.h"

/* The segment, made now if there is none yet: at the first pool or connection, and again in a child
 * of fork. Attaches without waiting for an answer. NULL: WEIR_DISABLED, or the system refuses. */
const struct segment *process_start(void);

/* Cheap chores that need some call now and then: gives back descriptors that the attach thread took
 * over. */
void process_tend(void);

void process_identify(const struct weir_probe_identity *identity);
void process_observed(enum weir_observed observed, uint32_t library_version);

/* What weir_probe_identify said; empty texts if nothing. */
enum { IDENTITY_TEXT_MAX = 256 };
struct process_identity {
    char shim_name[IDENTITY_TEXT_MAX];
    char service_name[IDENTITY_TEXT_MAX];
    char library[IDENTITY_TEXT_MAX];
};

/* In a child of fork: forgets the parent's segment, and who held our mutex. */
void process_fork_child(void);
void process_mutex_renew(void);
