/* A whole segment as a stranger may write it: header, board, names and lanes, read as the agent
 * reads them, twice, with other heads the second time.
 *
 * A segment is half a megabyte, nearly all of it zeros. An input holds the parts that matter, one
 * behind the other; they are laid where they stand in the golden segment. The header is one of
 * them, so that all places may be others. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/board_reader.h"
#include "proto/wire/lane_reader.h"
#include "proto/wire/record_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { SIZE = SEGMENT_SIZE_MIN, RECORDS_MAX = 4 * SIZE / RECORD_ALIGN };

static const struct {
    uint32_t offset, length;
} parts[] = {
    {0, 320},       /* header */
    {4096, 64},     /* process */
    {4160, 256},    /* two pools */
    {8256, 384},    /* two slots */
    {32832, 128},   /* two waiters */
    {40960, 1216},  /* names: its words and what stands first */
    {139264, 1728}, /* lane 0 */
    {159744, 384},  /* lane 1: its words, and what stands first in the second lap */
    {180128, 96},   /* what stands at its end */
    {139336, 8},    /* of the second pass: lane 0's head, */
    {159816, 8},    /* lane 1's, */
    {41032, 8},     /* and that of the names */
};
enum { PARTS = sizeof(parts) / sizeof(parts[0]), PARTS_FIRST = PARTS - 3 };

static volatile uint64_t sink; /* so that nothing read is left out */

static void touch(const void *bytes, size_t length)
{
    const uint8_t *byte = bytes;
    uint64_t sum = 0;

    for (size_t i = 0; i < length; i++)
        sum += byte[i];
    sink += sum;
}

static size_t lay(uint8_t *segment, const uint8_t *bytes, size_t length, size_t from, size_t to)
{
    size_t used = 0;

    for (size_t i = from; i < to; i++) {
        size_t take = length - used < parts[i].length ? length - used : parts[i].length;
        memcpy(segment + parts[i].offset, bytes + used, take);
        used += take;
    }
    return used;
}

static void wipe(uint8_t *segment)
{
    for (size_t i = 0; i < PARTS; i++)
        memset(segment + parts[i].offset, 0, parts[i].length);
}

static void read_record(const struct record_header *record)
{
    const struct event_context *context;
    struct view view;

    if (record_check(record) != 0)
        return;
    touch(record, record->length);
    context = record_context(record);
    if (context)
        touch(context, sizeof(*context));
    if (record->kind == RECORD_NAME) {
        view = record_name_text(record);
        touch(view.bytes, view.length);
    }
    if (record->kind == RECORD_PARAMETERS) {
        view = record_parameter_bytes(record);
        touch(view.bytes, view.length);
    }
}

static void read_ring(struct lane_reader *reader, struct lane_record_copy *copy)
{
    const struct record_header *record;
    uint32_t count = 0;

    if (lane_reader_look(reader) != 0)
        return;
    while (lane_reader_next(reader, copy, &record) == 0) {
        if (reader->position > reader->head || reader->record >= reader->position ||
            count++ > RECORDS_MAX)
            abort();
        read_record(record);
        if (record_check(record) > RECORD_E_UNKNOWN_KIND)
            lane_reader_condemn(reader);
    }
    if (reader->position > reader->head)
        abort();
    lane_reader_commit(reader, reader->position);
    if (lane_reader_recorded(reader) < reader->number)
        abort();
}

static void read_board(const void *segment, const struct segment_layout *layout)
{
    struct board_view board = board_view_of(segment, layout);
    struct process_copy process = board_read_process(&board);
    struct pool_copy pool;
    struct slot_copy slot;
    struct waiter_copy waiter;

    touch(&process, sizeof(process));
    for (uint32_t i = 0; i <= board.pool_count; i++) {
        if (board_read_pool(&board, i, layout->created_monotonic_ns, &pool))
            sink += pool.used_peak;
    }
    for (uint32_t i = 0; i <= board.slot_count; i++) {
        if (board_read_slot(&board, i, &slot) && slot.state > SLOT_LISTENING)
            abort();
    }
    for (uint32_t i = 0; i <= board.waiter_count; i++) {
        if (board_read_waiter(&board, i, &waiter))
            sink += waiter.pool;
    }
}

/* Twice over all rings: the second time after the writer went on. */
static void read_rings(uint8_t *segment, const struct segment_layout *layout, const uint8_t *bytes,
                       size_t length)
{
    static struct lane_reader readers[SEGMENT_LANES_MAX + 1];
    static struct lane_record_copy copy;
    const uint32_t count = layout->lane_count + 1;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t offset = i == 0 ? layout->names_offset
                                 : layout->lanes_offset + (uint64_t)(i - 1) * layout->lane_stride;
        uint32_t stride = i == 0 ? layout->names_stride : layout->lane_stride;
        struct lane *lane = (struct lane *)(void *)(segment + offset);
        if (lane_reader_open(&readers[i], lane, stride) != 0)
            continue;
        /* Every second one as if a checkpoint were there. */
        if (i % 2 == 0 && lane_reader_resume(&readers[i], lane->tail, lane->recorded / 2) > 2)
            abort();
    }
    for (uint32_t i = 0; i < count; i++)
        read_ring(&readers[i], &copy);
    (void)lay(segment, bytes, length, PARTS_FIRST, PARTS);
    for (uint32_t i = 0; i < count; i++)
        read_ring(&readers[i], &copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static uint8_t *segment; /* kept: making it costs more than a run */
    struct segment_layout layout;
    unsigned char fixed[SEGMENT_FIXED_SIZE];
    const char *what = NULL;
    size_t used;

    if (!segment) {
        segment = aligned_alloc(SEGMENT_PAGE, SIZE);
        if (!segment)
            abort();
        memset(segment, 0, SIZE);
    }
    used = lay(segment, bytes, length, 0, PARTS_FIRST);
    memcpy(fixed, segment, sizeof(fixed));
    if (segment_check(fixed, SIZE, &layout, &what) == 0) {
        read_board(segment, &layout);
        read_rings(segment, &layout, bytes + used, length - used);
        /* Tails were stored wherever the header said that rings are. */
        memset(segment, 0, SIZE);
    } else if (!what) {
        abort();
    }
    wipe(segment);
    return 0;
}
