/* SipHash-2-4 (Aumasson and Bernstein, 2012) with a key that the process draws at random: who does
 * not know the key can neither compute a value's hash nor find a value for one. Pure but for the
 * first use of the process's own key. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash_key {
    uint64_t low, high;
};

uint64_t keyed_hash(struct hash_key key, const void *bytes, size_t length);

/* The process's own; a forked child has its parent's. False: the system gave no random bytes. */
bool hash_key_of_process(struct hash_key *ret);
