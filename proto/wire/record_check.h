/* Is this record possible? Judges the reader's own copy of a record, never shared memory. */
#pragma once

#include "base/view.h"
#include "proto/wire/record.h"

enum record_check_outcome {
    RECORD_E_UNKNOWN_KIND = 1, /* of a later minor version: to be skipped and counted */
    RECORD_E_LENGTH = 2,       /* shorter than its kind, flags or inner lengths need */
    RECORD_E_ENUM = 3,         /* a value outside its closed list */
    RECORD_E_TEXT = 4,         /* an sqlstate that is not five printable characters */
    RECORD_E_END
};

/* @record: header->length bytes, aligned, all readable. Returns 0 or enum record_check_outcome.
 * RECORD_PAD is no record: RECORD_E_ENUM. */
int record_check(const struct record_header *record) __attribute__((warn_unused_result));

/* The context of a checked event, or NULL. */
const struct event_context *record_context(const struct record_header *record);

/* The text of a checked RECORD_NAME. */
struct view record_name_text(const struct record_header *record);

/* The values of a checked RECORD_PARAMETERS. */
struct view record_parameter_bytes(const struct record_header *record);
