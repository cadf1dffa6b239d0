/* Places on the board: which pool, slot and waiter entries this process uses. The claims are kept
 * in our own memory; the entries themselves tell the agent. */
#pragma once

#include "proto/wire/board_writer.h"
#include "shim/probe/segment.h"

#define BOARD_NO_PLACE UINT16_MAX

/* Each returns a free place of its part, or BOARD_NO_PLACE, which is counted. */
uint16_t board_pool_claim(const struct segment *segment);
uint16_t board_slot_claim(const struct segment *segment);
uint16_t board_waiter_claim(const struct segment *segment);

/* Empties the entry, then gives its place back. */
void board_pool_free(const struct segment *segment, uint16_t place);
void board_slot_free(const struct segment *segment, uint16_t place);
void board_waiter_free(const struct segment *segment, uint16_t place);

/* A new segment's board is empty. */
void board_reset(void);
