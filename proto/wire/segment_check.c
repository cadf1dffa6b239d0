#include "proto/wire/segment_check.h"

#include <string.h>

#include "base/checked.h"
#include "proto/wire/layout.h"
#include "proto/wire/message_codec.h"

enum { REGION_ALIGN = 64 };

/* The fixed part again, without the atomic words behind it. */
struct segment_fixed {
    uint64_t magic;
    uint16_t version_major, version_minor;
    uint32_t header_size;
    uint64_t segment_size;
    uint8_t segment_id[16];
    uint64_t board_offset, names_offset, lanes_offset;
    uint32_t names_stride, lane_stride;
    uint32_t lane_count, pool_count, slot_count, waiter_count;
    uint64_t created_monotonic_ns, created_realtime_ns;
    uint32_t pid, reserved0;
    uint8_t rest[16];
};
static_assert(sizeof(struct segment_fixed) == SEGMENT_FIXED_SIZE, "the same bytes");
static_assert(offsetof(struct segment_fixed, pid) == offsetof(struct segment_header, pid),
              "the same places");

static bool segment_counts_fit(const struct segment_fixed *fixed)
{
    return fixed->lane_count > 0 && fixed->lane_count <= SEGMENT_LANES_MAX &&
           fixed->pool_count <= SEGMENT_POOLS_MAX && fixed->slot_count <= SEGMENT_SLOTS_MAX &&
           fixed->waiter_count <= SEGMENT_WAITERS_MAX;
}

static bool segment_stride_fits(uint32_t stride)
{
    return stride >= sizeof(struct lane) + LANE_CAPACITY_MIN && stride % REGION_ALIGN == 0;
}

/* True if [offset, offset + size) lies between @floor and the segment's end, aligned. */
static bool segment_region_fits(uint64_t offset, uint64_t size, uint64_t floor, uint64_t end)
{
    return offset >= floor && offset % REGION_ALIGN == 0 && checked_range(offset, size, end);
}

static int segment_check_identity(const struct segment_fixed *fixed, uint64_t file_size,
                                  const char **ret_what)
{
    static const uint8_t zeros[16];

    *ret_what = "magic";
    if (fixed->magic != SEGMENT_MAGIC)
        return REFUSAL_SEGMENT_LAYOUT;
    *ret_what = "version_major";
    if (fixed->version_major < WIRE_VERSION_MAJOR_OLDEST ||
        fixed->version_major > WIRE_VERSION_MAJOR)
        return REFUSAL_VERSION;
    *ret_what = "segment_size";
    if (fixed->segment_size != file_size || file_size < SEGMENT_SIZE_MIN ||
        file_size > SEGMENT_SIZE_MAX)
        return REFUSAL_SEGMENT_SIZE;
    *ret_what = "header_size";
    if (fixed->header_size < sizeof(struct segment_header) || fixed->header_size > file_size)
        return REFUSAL_SEGMENT_LAYOUT;
    *ret_what = "segment_id";
    return memcmp(fixed->segment_id, zeros, sizeof(zeros)) == 0 ? REFUSAL_SEGMENT_LAYOUT : 0;
}

/* The regions lie behind each other in the order of the header, so that none can overlap. */
static int segment_check_regions(const struct segment_fixed *fixed, struct segment_layout *layout,
                                 const char **ret_what)
{
    const uint64_t end = fixed->segment_size;
    uint64_t board, lanes;

    *ret_what = "counts";
    if (!segment_counts_fit(fixed))
        return REFUSAL_SEGMENT_LAYOUT;
    *ret_what = "strides";
    if (!segment_stride_fits(fixed->names_stride) || !segment_stride_fits(fixed->lane_stride))
        return REFUSAL_SEGMENT_LAYOUT;
    layout->process_offset = fixed->board_offset;
    layout->pools_offset = BOARD_POOLS_OFFSET;
    layout->slots_offset = layout->pools_offset + fixed->pool_count * sizeof(struct board_pool);
    layout->waiters_offset = layout->slots_offset + fixed->slot_count * sizeof(struct board_slot);
    board = layout->waiters_offset + fixed->waiter_count * sizeof(struct board_waiter);
    *ret_what = "board_offset";
    if (!segment_region_fits(fixed->board_offset, board, fixed->header_size, end))
        return REFUSAL_SEGMENT_LAYOUT;
    layout->pools_offset += fixed->board_offset;
    layout->slots_offset += fixed->board_offset;
    layout->waiters_offset += fixed->board_offset;
    *ret_what = "names_offset";
    if (!segment_region_fits(fixed->names_offset, fixed->names_stride, fixed->board_offset + board,
                             end))
        return REFUSAL_SEGMENT_LAYOUT;
    *ret_what = "lanes_offset";
    lanes = (uint64_t)fixed->lane_count * fixed->lane_stride;
    if (!segment_region_fits(fixed->lanes_offset, lanes, fixed->names_offset + fixed->names_stride,
                             end))
        return REFUSAL_SEGMENT_LAYOUT;
    return 0;
}

int segment_check(const unsigned char fixed_bytes[SEGMENT_FIXED_SIZE], uint64_t file_size,
                  struct segment_layout *ret, const char **ret_what)
{
    struct segment_fixed fixed;
    int r;

    memcpy(&fixed, fixed_bytes, sizeof(fixed));
    r = segment_check_identity(&fixed, file_size, ret_what);
    if (r != 0)
        return r;
    *ret = (struct segment_layout){
        .version_major = fixed.version_major,
        .version_minor = fixed.version_minor,
        .size = fixed.segment_size,
        .names_offset = fixed.names_offset,
        .lanes_offset = fixed.lanes_offset,
        .names_stride = fixed.names_stride,
        .lane_stride = fixed.lane_stride,
        .lane_count = fixed.lane_count,
        .pool_count = fixed.pool_count,
        .slot_count = fixed.slot_count,
        .waiter_count = fixed.waiter_count,
        .created_monotonic_ns = fixed.created_monotonic_ns,
        .created_realtime_ns = fixed.created_realtime_ns,
        .pid = fixed.pid,
    };
    memcpy(ret->id, fixed.segment_id, sizeof(ret->id));
    r = segment_check_regions(&fixed, ret, ret_what);
    if (r == 0)
        *ret_what = NULL;
    return r;
}
