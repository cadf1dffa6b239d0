/* Frames: batches of records from clients that cannot map memory. */
#pragma once

#include "base/view.h"
#include "proto/wire/lane_reader.h"
#include "proto/wire/message.h"

/* A checked frame and how far it is read. Borrows the message. */
struct frame_reader {
    uint64_t number;       /* from 1, growing by 1 */
    uint32_t record_count; /* in all */
    struct view left;
};

/* Decodes @message (without its 32-bit length) and checks the lengths of all of its records, so
 * that a frame is taken whole or not at all. What the records hold is for record_check(). Returns 0
 * or enum refusal (REFUSAL_MALFORMED, REFUSAL_UNEXPECTED). */
int frame_open(struct frame_reader *reader, struct view message)
    __attribute__((warn_unused_result));

/* Copies the next record to aligned memory. False at the end. */
bool frame_next(struct frame_reader *reader, struct lane_record_copy *copy,
                const struct record_header **ret) __attribute__((warn_unused_result));
