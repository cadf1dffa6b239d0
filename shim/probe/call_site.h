/* Where in the program a call came from: "<first 16 hex digits of the object's
 * build-id>+0x<offset>", the same across restarts. Objects without a build-id go by their file's
 * name. */
#pragma once

#include "shim/probe/segment.h"

enum { CALL_SITES = 1024 };

/* Written without a lock by whoever sees the address first. A torn entry does not verify: check is
 * address ^ id ^ epoch. */
struct call_site {
    _Atomic uint64_t check;
    _Atomic uint64_t id;
    _Atomic uint64_t epoch;
};

extern struct call_site call_sites[CALL_SITES];

static inline struct call_site *call_site_entry(uint64_t address)
{
    return &call_sites[(address ^ address >> 10) % CALL_SITES];
}

/* What names the code at @address, as text with its NUL, cut to @capacity; 0: it lies in no known
 * object. Searches the loaded objects. */
size_t call_site_text(uintptr_t address, char *text, size_t capacity);

/* The first sight of an address in this epoch: searches the loaded objects, announces. */
uint64_t call_site_learn(const struct segment *segment, uint64_t address);

/* The name id of @return_address, announced; 0: it lies in no known object (generated code). An
 * address is taken to mean the same for good: after dlclose another library may lie there and be
 * named wrongly. */
static inline uint64_t call_site_of(const struct segment *segment, const void *return_address)
{
    uint64_t address = (uintptr_t)return_address, epoch = segment_epoch(segment);
    const struct call_site *site = call_site_entry(address);
    uint64_t id = atomic_load_explicit(&site->id, memory_order_relaxed);
    uint64_t then = atomic_load_explicit(&site->epoch, memory_order_relaxed);
    uint64_t check = atomic_load_explicit(&site->check, memory_order_relaxed);

    if (__builtin_expect(then == epoch && (check ^ id ^ then) == address, 1))
        return id;
    return call_site_learn(segment, address);
}
