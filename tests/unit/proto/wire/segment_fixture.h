/* A segment in plain memory, as a shim would make it, for tests. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Counts on those above. */
#include <cmocka.h>

#include "proto/wire/segment_plan.h"

/* Free with free(). */
static inline struct segment_header *segment_fixture_new(uint64_t size)
{
    struct segment_header *header = aligned_alloc(SEGMENT_PAGE, size);

    assert_non_null(header);
    memset(header, 0, size);
    assert_int_equal(segment_plan(size, header), 0);
    memset(header->segment_id, 0x5a, sizeof(header->segment_id));
    header->pid = 4711;
    segment_init_rings(header);
    return header;
}

/* A lane of @capacity bytes on its own. Free with free(). */
static inline struct lane *lane_fixture_new(uint32_t capacity)
{
    size_t size = (sizeof(struct lane) + capacity + 63) / 64 * 64;
    struct lane *lane = aligned_alloc(64, size);

    assert_non_null(lane);
    memset(lane, 0, size);
    lane_init(lane, capacity);
    return lane;
}

/* Writes one statement whose fingerprint and context bytes derive from @value. 0 or lane_outcome.
 */
static inline int lane_fixture_write(struct lane *lane, uint64_t value, uint32_t length)
{
    struct lane_record record;
    int r = lane_take(lane, length, &record);

    if (r != 0)
        return r;
    memset(record.header, (int)(value & 0x7f), length);
    record.header->kind = RECORD_STATEMENT;
    record.header->length = (uint16_t)length;
    record.header->time_ns = value;
    if (length >= EVENT_CORE_SIZE) {
        struct record_statement *statement = (struct record_statement *)(void *)record.header;
        statement->head.flags = 0;
        statement->fingerprint = value * 31;
        memset(statement->sqlstate, 0, sizeof(statement->sqlstate));
        statement->failure = FAILURE_NONE;
    }
    lane_publish(&record);
    return 0;
}
