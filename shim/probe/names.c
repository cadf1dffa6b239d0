/* Two tables, both process-wide and never freed: which ids were announced in which epoch (lossy: a
 * collision only repeats an announcement), and the texts of names that come from set-once calls. */
#include "shim/probe/names.h"

#include <string.h>

#include "base/checked.h"
#include "shim/probe/clock.h"

enum {
    ANNOUNCED_SETS = 1024,
    ANNOUNCED_WAYS = 4,
    REMEMBERED_BUCKETS = 256,
    REMEMBERED_BYTES = 128 << 10,
    RING_SPINS = 200, /* about what one announcement of 16 KiB takes */
};

/* One word an entry: the id's upper 48 bits, a mark that it is used, and 15 bits of the epoch. The
 * set is chosen by the id's lower bits. */
static _Atomic uint64_t announced[ANNOUNCED_SETS][ANNOUNCED_WAYS];

/* A remembered text. The bucket's word is an index into the arena, in units of its alignment; 0:
 * none. Entries are linked before they are published, and stay. */
struct remembered {
    uint64_t id;
    uint32_t next;
    uint16_t kind;
    uint16_t length;
    char text[];
};

static _Atomic uint32_t remembered_buckets[REMEMBERED_BUCKETS];
static _Atomic uint32_t remembered_used = 1;
static alignas(8) char remembered_arena[REMEMBERED_BYTES];

static uint64_t announced_word(const struct segment *segment, uint64_t id)
{
    return (id & ~UINT64_C(0xffff)) | UINT64_C(0x8000) | (segment_epoch(segment) & 0x7fff);
}

bool names_is_announced(const struct segment *segment, uint64_t id)
{
    uint64_t word = announced_word(segment, id);
    _Atomic uint64_t *set = announced[id % ANNOUNCED_SETS];

    for (unsigned i = 0; i < ANNOUNCED_WAYS; i++)
        if (atomic_load_explicit(&set[i], memory_order_relaxed) == word)
            return true;
    return false;
}

/* The newest first; the oldest falls out. Races only lose entries. */
static void announced_add(const struct segment *segment, uint64_t id)
{
    _Atomic uint64_t *set = announced[id % ANNOUNCED_SETS];

    for (unsigned i = ANNOUNCED_WAYS - 1; i > 0; i--)
        atomic_store_explicit(&set[i], atomic_load_explicit(&set[i - 1], memory_order_relaxed),
                              memory_order_relaxed);
    atomic_store_explicit(&set[0], announced_word(segment, id), memory_order_relaxed);
}

static void names_refuse(const struct segment *segment)
{
    atomic_fetch_add_explicit(&segment->header->names_refused, 1, memory_order_relaxed);
}

static bool names_take(const struct segment *segment, uint32_t length, struct lane_record *ret)
{
    for (int spins = 0; spins < RING_SPINS; spins++) {
        int outcome = lane_take(segment->names, length, ret);
        if (!outcome)
            return true;
        if (outcome == LANE_E_FULL)
            break;
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
    names_refuse(segment);
    return false;
}

bool names_announce(const struct segment *segment, enum name_kind kind, uint64_t id,
                    struct view text, uint16_t flags)
{
    struct lane_record taken;
    uint32_t length;

    if (names_is_announced(segment, id))
        return true;
    if (segment_is_stopped(segment))
        return false;
    if (text.length > NAME_TEXT_MAX) {
        text.length = NAME_TEXT_MAX;
        flags |= NAME_CUT;
    }
    length = (uint32_t)align_up(sizeof(struct record_name) + text.length, RECORD_ALIGN);
    if (!names_take(segment, length, &taken))
        return false;
    struct record_name *name = (struct record_name *)(void *)taken.header;
    *name = (struct record_name){
        .header = {.kind = RECORD_NAME, .length = (uint16_t)length, .time_ns = probe_clock_ns()},
        .id = id,
        .name_kind = (uint16_t)kind,
        .flags = flags,
        .text_length = (uint32_t)text.length,
    };
    memcpy(name + 1, text.bytes, text.length);
    memset((char *)(name + 1) + text.length, 0, length - sizeof(*name) - text.length);
    lane_publish(&taken);
    announced_add(segment, id);
    return true;
}

bool names_has_room(const struct segment *segment)
{
    uint64_t head = atomic_load_explicit(&segment->names->head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&segment->names->tail, memory_order_relaxed);

    if (head - tail + 2 * (NAME_TEXT_MAX + sizeof(struct record_name)) <= segment->names->capacity)
        return true;
    names_refuse(segment);
    return false;
}

static struct remembered *remembered_at(uint32_t index)
{
    return (struct remembered *)(void *)(remembered_arena + (size_t)index * 8);
}

static struct remembered *remembered_find(enum name_kind kind, uint64_t id)
{
    /* Partner: the release in names_remember. */
    uint32_t index =
        atomic_load_explicit(&remembered_buckets[id % REMEMBERED_BUCKETS], memory_order_acquire);

    for (; index; index = remembered_at(index)->next)
        if (remembered_at(index)->id == id && remembered_at(index)->kind == kind)
            return remembered_at(index);
    return NULL;
}

void names_remember(enum name_kind kind, uint64_t id, struct view text)
{
    _Atomic uint32_t *bucket = &remembered_buckets[id % REMEMBERED_BUCKETS];
    uint32_t words = (uint32_t)(align_up(sizeof(struct remembered) + text.length, 8) / 8);
    uint32_t words_max = sizeof(remembered_arena) / 8;
    uint32_t index, first;

    if (remembered_find(kind, id))
        return;
    index = atomic_load_explicit(&remembered_used, memory_order_relaxed);
    do {
        if (words > words_max - index)
            return;
    } while (!atomic_compare_exchange_weak_explicit(&remembered_used, &index, index + words,
                                                    memory_order_relaxed, memory_order_relaxed));
    struct remembered *kept = remembered_at(index);
    kept->id = id;
    kept->kind = (uint16_t)kind;
    kept->length = (uint16_t)text.length;
    memcpy(kept->text, text.bytes, text.length);
    first = atomic_load_explicit(bucket, memory_order_relaxed);
    do {
        kept->next = first;
    } while (!atomic_compare_exchange_weak_explicit(bucket, &first, index, memory_order_release,
                                                    memory_order_relaxed));
}

bool names_announce_known(const struct segment *segment, enum name_kind kind, uint64_t id)
{
    struct remembered *kept = remembered_find(kind, id);

    if (!kept)
        return true;
    return names_announce(segment, kind, id, (struct view){kept->text, kept->length}, 0);
}
