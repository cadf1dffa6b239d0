/* What the client says: one JSON object a line on standard output. Any thread. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "include/weir/error.h"

/* Takes @event over. Its "at_ns" (CLOCK_MONOTONIC, which all processes of a machine share) is the
 * moment of this call unless it has one. */
void tell(json_t *event);
/* A number for json_pack's "I". */
json_int_t tell_number(uint64_t number);
/* The client cannot go on: says why on standard error and ends with 1. */
void tell_fatal(const char *doing, const struct weir_error *error) __attribute__((noreturn));
