#include "shim/session/keyed_hash.h"

#include <errno.h>
#include <pthread.h>
#include <sys/random.h>

struct state {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t turn(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

static void state_mix(struct state *state, unsigned rounds)
{
    while (rounds--) {
        state->v0 += state->v1;
        state->v2 += state->v3;
        state->v1 = turn(state->v1, 13) ^ state->v0;
        state->v3 = turn(state->v3, 16) ^ state->v2;
        state->v0 = turn(state->v0, 32);
        state->v2 += state->v1;
        state->v0 += state->v3;
        state->v1 = turn(state->v1, 17) ^ state->v2;
        state->v3 = turn(state->v3, 21) ^ state->v0;
        state->v2 = turn(state->v2, 32);
    }
}

static void state_take(struct state *state, uint64_t word)
{
    state->v3 ^= word;
    state_mix(state, 2);
    state->v0 ^= word;
}

/* Little-endian, whatever the machine. */
static uint64_t word_read(const unsigned char *bytes, size_t length)
{
    uint64_t word = 0;

    for (size_t i = 0; i < length; i++)
        word |= (uint64_t)bytes[i] << (8 * i);
    return word;
}

uint64_t keyed_hash(struct hash_key key, const void *bytes, size_t length)
{
    const unsigned char *at = bytes;
    size_t left = length;
    struct state state = {
        key.low ^ UINT64_C(0x736f6d6570736575),
        key.high ^ UINT64_C(0x646f72616e646f6d),
        key.low ^ UINT64_C(0x6c7967656e657261),
        key.high ^ UINT64_C(0x7465646279746573),
    };

    for (; left >= 8; left -= 8, at += 8)
        state_take(&state, word_read(at, 8));
    state_take(&state, word_read(at, left) | (uint64_t)length << 56);
    state.v2 ^= 0xff;
    state_mix(&state, 4);
    return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

/* ---- the process's key ----------------------------------------------------------------------- */

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static struct hash_key process_key;
static bool has_process_key;

static void key_draw(void)
{
    ssize_t got;

    do
        got = getrandom(&process_key, sizeof(process_key), 0);
    while (got < 0 && errno == EINTR);
    has_process_key = got == (ssize_t)sizeof(process_key);
}

bool hash_key_of_process(struct hash_key *ret)
{
    (void)pthread_once(&key_once, key_draw); /* cannot fail for a valid once */
    *ret = process_key;
    return has_process_key;
}
