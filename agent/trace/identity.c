#include "agent/trace/identity.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* What is hashed, without holes. An event outside a hold has no number of its own there; its time
 * and place in its lane tell it from others. */
struct identity {
    uint8_t client_id[16];
    uint64_t hold_id;
    uint64_t time_ns;
    uint32_t kind;
    uint32_t sequence;
    uint32_t number;
    uint32_t zero;
};
_Static_assert(sizeof(struct identity) == 48, "has no holes");

static struct identity identity_of(const uint8_t client_id[16], const struct event_head *head)
{
    struct identity identity = {.hold_id = head->hold_id};

    memcpy(identity.client_id, client_id, sizeof(identity.client_id));
    if (head->hold_id == 0) {
        identity.time_ns = head->header.time_ns;
        identity.number = head->header.number;
    }
    return identity;
}

void identity_span(const uint8_t client_id[16], const struct event_head *head, uint8_t ret[8])
{
    struct identity identity = identity_of(client_id, head);
    XXH64_canonical_t canonical;

    identity.kind = head->header.kind;
    identity.sequence = head->sequence;
    uint64_t hash = XXH3_128bits(&identity, sizeof(identity)).low64;
    XXH64_canonicalFromHash(&canonical, hash ? hash : 1);
    memcpy(ret, canonical.digest, sizeof(canonical.digest));
}

void identity_trace(const uint8_t client_id[16], const struct event_head *head, uint8_t ret[16])
{
    struct identity identity = identity_of(client_id, head);
    XXH128_canonical_t canonical;
    XXH128_hash_t hash = XXH3_128bits(&identity, sizeof(identity));

    hash.low64 = hash.low64 || hash.high64 ? hash.low64 : 1;
    XXH128_canonicalFromHash(&canonical, hash);
    memcpy(ret, canonical.digest, sizeof(canonical.digest));
}
