/* A record as a JSON line. */
#pragma once

#include <stdbool.h>

#include "proto/wire/record.h"

/* Where a record stands, which decides what it may be. */
enum record_place {
    PLACE_NAMES, /* the names ring: names alone */
    PLACE_LANE,  /* a lane: events alone */
    PLACE_FRAME, /* anything that travels */
};

/* Judges the copy @record, which stood at byte @at of the file, and says what it holds, or what is
 * wrong. True: a reader takes it, or skips it as one of a later version. */
bool show_record(const struct record_header *record, uint64_t at, enum record_place place);
