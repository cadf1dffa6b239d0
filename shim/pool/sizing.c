/* Erlang's formulas by their recurrence, which adds only positive numbers: it neither overflows nor
 * cancels, whatever the number of connections. What is said about the data is a rule of thumb with
 * its number named here, and each lowers the confidence. */
#include "shim/pool/sizing.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { CONNECTIONS_MOST = 4096, LEVEL_HOLDS_LEAST = 50, INTERVALS_LEAST = 10 };

static const double ns_of_second = 1e9;
static const double acquires_enough = 1000, seconds_enough = 60;
static const double dry_much = 0.03;       /* of the time */
static const double slows_by = 1.5;        /* holds at high over holds at low concurrency */
static const double slows_deviations = 4;  /* and so many standard errors: of seven splits */
static const double bursts_dispersion = 4; /* variance over mean of acquires a second; Poisson: 1 */
static const double quantile_promised = 0.99;
static const double wait_share = 0.1, wait_seconds_least = 0.001;

void sizing_start(struct sizing *sizing, uint64_t now_ns, uint64_t acquires)
{
    memset(sizing, 0, sizeof(*sizing));
    sizing->begin_ns = sizing->last_ns = sizing->interval_begin_ns = now_ns;
    sizing->acquires_begin = sizing->acquires_last = sizing->interval_acquires = acquires;
}

/* Looks come a little late, so an interval is a second or a little more: counted as its rate. */
static void interval_close(struct sizing *sizing, const struct sizing_look *look)
{
    double seconds = (double)(look->now_ns - sizing->interval_begin_ns) / ns_of_second;

    if (seconds < 1)
        return;
    double rate = (double)(look->acquires - sizing->interval_acquires) / seconds;
    sizing->interval_count++;
    sizing->interval_sum += rate;
    sizing->interval_square_sum += rate * rate;
    sizing->interval_begin_ns = look->now_ns;
    sizing->interval_acquires = look->acquires;
}

void sizing_look(struct sizing *sizing, const struct sizing_look *look)
{
    if (look->now_ns <= sizing->last_ns || look->acquires < sizing->acquires_last)
        return;
    double seconds = (double)(look->now_ns - sizing->last_ns) / ns_of_second;
    sizing->used_seconds += seconds * look->used;
    if (look->waiting > 0)
        sizing->dry_seconds += seconds;
    if (look->used > sizing->used_peak)
        sizing->used_peak = look->used;
    sizing->last_ns = look->now_ns;
    sizing->acquires_last = look->acquires;
    interval_close(sizing, look);
}

void sizing_hold(struct sizing *sizing, const struct sizing_hold *hold, uint32_t connections_max)
{
    uint64_t level = SIZING_LEVELS - 1;

    if (!(hold->seconds >= 0))
        return;
    if (hold->used < connections_max)
        level = (uint64_t)hold->used * SIZING_LEVELS / connections_max;
    sizing->holds++;
    sizing->hold_sum += hold->seconds;
    sizing->hold_square_sum += hold->seconds * hold->seconds;
    sizing->level_holds[level]++;
    sizing->level_sum[level] += hold->seconds;
}

double sizing_erlang_c(uint32_t servers, double load)
{
    double blocked = 1; /* Erlang B of no servers */

    if (!(load > 0))
        return 0;
    if (load >= servers)
        return 1;
    for (uint32_t i = 1; i <= servers; i++)
        blocked = load * blocked / (i + load * blocked);
    return blocked * servers / (servers - load * (1 - blocked));
}

double sizing_wait_quantile(uint32_t servers, double load, double variation, double quantile)
{
    if (load >= servers)
        return INFINITY;
    double waits = sizing_erlang_c(servers, load);
    double late = 1 - quantile;

    if (waits <= late)
        return 0;
    return log(waits / late) / (servers - load) * (1 + variation * variation) / 2;
}

/* What the numbers say, before anybody has doubts. */
struct measure {
    double seconds, arrivals, load, hold_mean, hold_deviation, variation, dry, dispersion;
    uint64_t acquires;
};

static double spread(double count, double sum, double square_sum)
{
    double mean = sum / count;
    double variance = square_sum / count - mean * mean;

    return variance > 0 ? variance : 0; /* rounding may make a small negative number of none */
}

static struct measure measure_of(const struct sizing *sizing)
{
    struct measure measure = {.acquires = sizing->acquires_last - sizing->acquires_begin};

    measure.seconds = (double)(sizing->last_ns - sizing->begin_ns) / ns_of_second;
    if (measure.seconds <= 0 || measure.acquires == 0)
        return measure;
    measure.arrivals = (double)measure.acquires / measure.seconds;
    measure.load = sizing->used_seconds / measure.seconds;
    measure.dry = sizing->dry_seconds / measure.seconds;
    measure.hold_mean = measure.load / measure.arrivals; /* Little's law, if no hold was timed */
    if (sizing->holds > 0) {
        double count = (double)sizing->holds;
        measure.hold_mean = sizing->hold_sum / count;
        measure.hold_deviation = sqrt(spread(count, sizing->hold_sum, sizing->hold_square_sum));
    }
    /* Looks may miss holds that are short, and one of sixteen holds those that are long and rare:
     * the larger load is the careful one. */
    measure.load = fmax(measure.load, measure.arrivals * measure.hold_mean);
    measure.variation = sizing->holds < 2       ? 1 /* as if exponential */
                        : measure.hold_mean > 0 ? measure.hold_deviation / measure.hold_mean
                                                : 0;
    if (sizing->interval_count >= INTERVALS_LEAST && sizing->interval_sum > 0)
        measure.dispersion =
            spread(sizing->interval_count, sizing->interval_sum, sizing->interval_square_sum) /
            (sizing->interval_sum / sizing->interval_count);
    return measure;
}

static bool wait_is_short(const struct measure *measure, uint32_t connections)
{
    double wait =
        sizing_wait_quantile(connections, measure->load, measure->variation, quantile_promised);

    return wait * measure->hold_mean <= fmax(wait_share * measure->hold_mean, wait_seconds_least);
}

/* The least that keeps waits short. Waits only fall with more connections: halving finds it. */
static uint32_t connections_needed(const struct measure *measure)
{
    uint32_t low = 1, high = CONNECTIONS_MOST;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (measure->load < middle && wait_is_short(measure, middle))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Whether holds that began among many are longer than those that began among few: by ratio, and by
 * more than their spread explains, wherever the levels are split. */
static bool holds_grow(const struct sizing *sizing, const struct measure *measure)
{
    double low_count = 0, low_sum = 0;

    for (size_t i = 0; i + 1 < SIZING_LEVELS; i++) {
        low_count += (double)sizing->level_holds[i];
        low_sum += sizing->level_sum[i];
        double high_count = (double)sizing->holds - low_count;
        double high_sum = sizing->hold_sum - low_sum;
        if (low_count < LEVEL_HOLDS_LEAST || high_count < LEVEL_HOLDS_LEAST)
            continue;
        double low = low_sum / low_count, high = high_sum / high_count;
        double error = measure->hold_deviation * sqrt(1 / low_count + 1 / high_count);
        if (high > slows_by * low && high - low > slows_deviations * error)
            return true;
    }
    return false;
}

/* How many connections the server leaves to this pool; INT32_MAX if nothing is known. */
static int32_t server_leaves(const struct sizing_limits *limits, int32_t connections_max)
{
    int64_t most = INT32_MAX;
    int64_t others = (int64_t)limits->pools_connections_max - connections_max;

    if (limits->server_connections_max >= 0)
        most = (int64_t)limits->server_connections_max -
               (limits->server_reserved > 0 ? limits->server_reserved : 0);
    if (limits->role_max >= 0 && limits->role_max < most)
        most = limits->role_max;
    if (limits->database_max >= 0 && limits->database_max < most)
        most = limits->database_max;
    if (most == INT32_MAX)
        return INT32_MAX;
    most -= others > 0 ? others : 0;
    return most > 0 ? (int32_t)most : 0;
}

/* Each doubt lowers it by what it is worth; a history that is half as long as it should be, by
 * half. */
static double confidence_of(const struct measure *measure, uint32_t doubts)
{
    double confidence = fmin(1, (double)measure->acquires / acquires_enough) *
                        fmin(1, measure->seconds / seconds_enough);

    if (doubts & WEIR_ADVICE_SATURATED)
        confidence *= 0.5 * (1 - fmin(1, measure->dry));
    if (doubts & WEIR_ADVICE_SLOWS)
        confidence *= 0.5;
    if (doubts & WEIR_ADVICE_BURSTS)
        confidence *= sqrt(bursts_dispersion / measure->dispersion);
    return confidence;
}

/* Adds a clause if it fits whole: half a number would be a wrong one. */
__attribute__((format(printf, 2, 3))) static void clause_add(struct weir_pool_advice *advice,
                                                             const char *format, ...)
{
    size_t length = strlen(advice->text), room = sizeof(advice->text) - length;
    va_list arguments;

    va_start(arguments, format);
    int written = vsnprintf(advice->text + length, room, format, arguments);
    va_end(arguments);
    if (written < 0 || (size_t)written >= room)
        advice->text[length] = '\0';
}

static void advice_write(struct weir_pool_advice *advice, const struct measure *measure,
                         int32_t connections_min, int32_t connections_max, int32_t leaves)
{
    bool is_censored = advice->doubts & WEIR_ADVICE_SATURATED;

    clause_add(advice,
               "%s%d connections (now %d), %d kept open (now %d): %.4g acquires/s of %.3g ms need "
               "%.3g",
               is_censored ? "at least " : "", advice->connections_max, connections_max,
               advice->connections_min, connections_min, measure->arrivals,
               measure->hold_mean * 1e3, measure->load);
    if (advice->doubts & WEIR_ADVICE_SERVER)
        clause_add(advice, "; the server leaves %d", leaves);
    if (is_censored)
        clause_add(advice, "; dry %.0f%% of the time", measure->dry * 100);
    if (advice->doubts & WEIR_ADVICE_SLOWS)
        clause_add(advice, "; holds grow with concurrency");
    if (advice->doubts & WEIR_ADVICE_BURSTS)
        clause_add(advice, "; in bursts (%.0f)", measure->dispersion);
    if (advice->doubts & WEIR_ADVICE_FEW)
        clause_add(advice, "; only %llu in %.0f s", (unsigned long long)measure->acquires,
                   measure->seconds);
    if (isfinite(advice->wait_p99_seconds))
        clause_add(advice, "; p99 wait %.3g ms", advice->wait_p99_seconds * 1e3);
}

static uint32_t doubts_of(const struct sizing *sizing, const struct measure *measure)
{
    uint32_t doubts = 0;

    if ((double)measure->acquires < acquires_enough || measure->seconds < seconds_enough)
        doubts |= WEIR_ADVICE_FEW;
    if (measure->dry > dry_much)
        doubts |= WEIR_ADVICE_SATURATED;
    if (holds_grow(sizing, measure))
        doubts |= WEIR_ADVICE_SLOWS;
    if (measure->dispersion > bursts_dispersion)
        doubts |= WEIR_ADVICE_BURSTS;
    return doubts;
}

/* The numbers of the advice, for a pool that was used at all. */
static void advice_make(const struct measure *measure, int32_t connections_max, int32_t leaves,
                        struct weir_pool_advice *ret)
{
    int32_t needed = (int32_t)connections_needed(measure);

    /* What was served while others waited is less than what was asked for. */
    if ((ret->doubts & WEIR_ADVICE_SATURATED) && needed <= connections_max)
        needed = connections_max < CONNECTIONS_MOST ? connections_max + 1 : CONNECTIONS_MOST;
    if (needed > leaves)
        ret->doubts |= WEIR_ADVICE_SERVER;
    ret->connections_max = needed;
    double base = fmax(1, ceil(measure->load));
    ret->connections_min = base < needed ? (int32_t)base : needed;
    ret->confidence = confidence_of(measure, ret->doubts);
    ret->wait_p99_seconds = sizing_wait_quantile((uint32_t)needed, measure->load,
                                                 measure->variation, quantile_promised) *
                            measure->hold_mean;
}

void sizing_advise(const struct sizing *sizing, int32_t connections_min, int32_t connections_max,
                   const struct sizing_limits *limits, struct weir_pool_advice *ret)
{
    struct measure measure = measure_of(sizing);
    int32_t leaves = server_leaves(limits, connections_max);
    size_t size = ret->size;

    memset(ret, 0, sizeof(*ret));
    ret->size = size;
    ret->doubts = doubts_of(sizing, &measure);
    ret->arrivals_per_second = measure.arrivals;
    ret->hold_mean_seconds = measure.hold_mean;
    ret->hold_variation = measure.variation;
    ret->utilization = connections_max > 0 ? measure.load / connections_max : 0;
    ret->acquires = measure.acquires;
    ret->server_connections_max = limits->server_connections_max;
    ret->server_reserved = limits->server_reserved;
    ret->role_connections_max = limits->role_max;
    ret->database_connections_max = limits->database_max;
    ret->pools_connections_max = limits->pools_connections_max;
    if (measure.acquires == 0) {
        clause_add(ret, "cannot tell (now %d connections): nothing was acquired in %.0f s",
                   connections_max, measure.seconds);
        return;
    }
    advice_make(&measure, connections_max, leaves, ret);
    advice_write(ret, &measure, connections_min, connections_max, leaves);
}
