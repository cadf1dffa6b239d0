/* A snapshot of two services and the agent, with every kind of metric, for the tests of serve. */
#pragma once

#include "agent/model/snapshot.h"

/* The caller owns one reference. */
const struct snapshot *fixture_snapshot(void);

/* The same with @calls in the histogram of the shop's first statement. */
const struct snapshot *fixture_snapshot_of(uint64_t calls);
