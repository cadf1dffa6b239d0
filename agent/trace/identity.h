/* Ids of spans and traces that follow from what is observed: known before a span ends, and the same
 * after a restart of the agent. Pure. */
#pragma once

#include <stdint.h>

#include "proto/wire/record.h"

/* The span of the event @head of client @client_id; never zeros. */
void identity_span(const uint8_t client_id[16], const struct event_head *head, uint8_t ret[8]);
/* The trace of an event without a parent: one for all events of a hold; never zeros. */
void identity_trace(const uint8_t client_id[16], const struct event_head *head, uint8_t ret[16]);
