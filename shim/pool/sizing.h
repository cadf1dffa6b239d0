/* How large a pool should be: pure arithmetic over what was measured. No clock, no lock.
 *
 * Model: arrivals of rate L, holds of mean S and variation C (standard deviation over mean), c
 * connections: an M/G/c queue. Waiting: Erlang C (A. K. Erlang, 1917) for the probability to wait,
 * the exponential tail exp(-(c - L S) t / S) for how long, scaled by (1 + C²)/2 (A. O. Allen,
 * Probability, Statistics, and Queueing Theory, 2nd ed., ch. 5.3; exact for C = 1). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "include/weir/pool.h"

enum { SIZING_LEVELS = 8 };

/* What the keeper measures, at each of its looks. */
struct sizing_look {
    uint64_t now_ns;
    uint64_t acquires; /* running total */
    uint32_t used, waiting, connections_max;
};

/* Times of single holds, one of sixteen of them. */
struct sizing_hold {
    double seconds;
    uint32_t used; /* connections in use when it began */
};

struct sizing {
    uint64_t begin_ns, last_ns;
    uint64_t acquires_begin, acquires_last;
    double used_seconds; /* integral of used over time */
    double dry_seconds;  /* of time in which requests waited */
    uint32_t used_peak;
    double interval_count, interval_sum, interval_square_sum; /* acquires in each second */
    uint64_t interval_begin_ns, interval_acquires;
    uint64_t holds;
    double hold_sum, hold_square_sum;
    /* holds by how many connections were in use, for telling whether holds grow with concurrency:
     * level i is used/max in [i/8, (i+1)/8) */
    uint64_t level_holds[SIZING_LEVELS];
    double level_sum[SIZING_LEVELS];
};

void sizing_start(struct sizing *sizing, uint64_t now_ns, uint64_t acquires);
void sizing_look(struct sizing *sizing, const struct sizing_look *look);
void sizing_hold(struct sizing *sizing, const struct sizing_hold *hold, uint32_t connections_max);

struct sizing_limits {
    int32_t server_connections_max, server_reserved, role_max, database_max; /* -1 unknown */
    int32_t pools_connections_max; /* all of this manager's at that server, this one included */
};
/* Fills all of *ret but size. @connections_min, @connections_max: as configured now. The advised
 * maximum is the least that keeps the predicted 99th percentile of waiting under a tenth of the
 * mean hold or 1 ms, whichever is more. */
void sizing_advise(const struct sizing *sizing, int32_t connections_min, int32_t connections_max,
                   const struct sizing_limits *limits, struct weir_pool_advice *ret);

/* Probability that a request waits with @servers and @load = arrival rate times hold time, and the
 * wait that the share @quantile (0.99) of requests stays under, in units of the mean hold. */
double sizing_erlang_c(uint32_t servers, double load);
double sizing_wait_quantile(uint32_t servers, double load, double variation, double quantile);
