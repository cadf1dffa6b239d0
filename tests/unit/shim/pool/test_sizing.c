/* Queueing formulas against slow exact sums and against simulated queues, and what is said about
 * histories that are made so that the right answer is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/pool/sizing.h"

enum { SECOND_NS = 1000000000, SERVERS_MOST = 64, CUSTOMERS = 1000000 };

/* ---- formulas -------------------------------------------------------------------------------- */

/* The definition, term by term in logarithms: load^k / k!, and the last one over 1 - load/c. */
static double erlang_c_by_sum(uint32_t servers, double load)
{
    long double last = servers * logl(load) - lgammal((long double)servers + 1) -
                       logl(1 - (long double)load / servers);
    long double sum = 1; /* all relative to the last */

    for (uint32_t k = 0; k < servers; k++)
        sum += expl(k * logl(load) - lgammal((long double)k + 1) - last);
    return (double)(1 / sum);
}

static void erlang_c_is_its_sum(void **state)
{
    static const uint32_t servers[] = {1, 2, 3, 5, 10, 64, 100, 500, 1000, 4096};
    static const double shares[] = {0.01, 0.3, 0.5, 0.8, 0.9, 0.99, 0.9999};

    (void)state;
    for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
        for (size_t j = 0; j < sizeof(shares) / sizeof(shares[0]); j++) {
            double load = servers[i] * shares[j];
            double exact = erlang_c_by_sum(servers[i], load);
            double ours = sizing_erlang_c(servers[i], load);
            assert_true(fabs(ours - exact) <= 1e-9 * exact + 1e-300);
        }
    }
}

static void erlang_c_has_closed_values(void **state)
{
    (void)state;
    /* one server: the load; two: load²/(2 + load) */
    assert_true(fabs(sizing_erlang_c(1, 0.7) - 0.7) < 1e-14);
    assert_true(fabs(sizing_erlang_c(2, 1.0) - 1.0 / 3) < 1e-14);
    assert_true(fabs(sizing_erlang_c(2, 1.5) - 2.25 / 3.5) < 1e-14);
    assert_true(sizing_erlang_c(10, 0) == 0);
    assert_true(sizing_erlang_c(10, 10) == 1);
    assert_true(sizing_erlang_c(10, 1e300) == 1);
    assert_true(isinf(sizing_wait_quantile(10, 10, 1, 0.99)));
    assert_true(sizing_wait_quantile(10, 0.1, 1, 0.99) == 0);
}

static void formulas_are_monotonic(void **state)
{
    (void)state;
    for (uint32_t servers = 1; servers <= 300; servers += 13) {
        double before = 0;
        for (double share = 0.05; share < 1; share += 0.05) {
            double waits = sizing_erlang_c(servers, servers * share);
            assert_true(waits > before && waits < 1);
            before = waits;
        }
    }
    double before = INFINITY;
    for (uint32_t servers = 41; servers < 80; servers++) {
        double wait = sizing_wait_quantile(servers, 40, 1.3, 0.99);
        assert_true(wait < before || (wait == 0 && before == 0));
        before = wait;
    }
}

/* ---- simulated queues ------------------------------------------------------------------------ */

struct random {
    uint64_t state;
};

/* Marsaglia's xorshift64*: any good generator will do, but it must be the same everywhere. */
static double random_share(struct random *random)
{
    random->state ^= random->state >> 12;
    random->state ^= random->state << 25;
    random->state ^= random->state >> 27;
    return ((double)(random->state * 2685821657736338717u >> 11) + 0.5) / 9007199254740992.0;
}

static double random_exponential(struct random *random, double mean)
{
    return -mean * log(random_share(random));
}

/* Holds of mean 1 and a variation above 1: exponential ones of two means, either of which makes
 * half of the load. */
static double random_mixed(struct random *random, double variation)
{
    double square = variation * variation;
    double share = (1 + sqrt((square - 1) / (square + 1))) / 2;
    bool is_short = random_share(random) < share;

    return random_exponential(random, 1 / (2 * (is_short ? share : 1 - share)));
}

static int by_size(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

/* First come, first served: each takes the server that is free first. The quantile of waits, in
 * mean holds; the first tenth of the customers only fills the queue. */
static double simulated_wait(uint32_t servers, double load, double variation, double quantile)
{
    struct random random = {20240917};
    double free_at[SERVERS_MOST] = {0};
    double *waits = malloc(CUSTOMERS * sizeof(*waits));
    double now = 0;

    assert_non_null(waits);
    for (size_t i = 0; i < CUSTOMERS; i++) {
        size_t first = 0;
        for (size_t j = 1; j < servers; j++) {
            if (free_at[j] < free_at[first])
                first = j;
        }
        now += random_exponential(&random, 1 / load);
        double begin = free_at[first] > now ? free_at[first] : now;
        waits[i] = begin - now;
        free_at[first] = begin + (variation == 0  ? 1
                                  : variation > 1 ? random_mixed(&random, variation)
                                                  : random_exponential(&random, 1));
    }
    size_t skipped = CUSTOMERS / 10, counted = CUSTOMERS - skipped;
    qsort(waits + skipped, counted, sizeof(*waits), by_size);
    double wait = waits[skipped + (size_t)((double)counted * quantile)];
    free(waits);
    return wait;
}

/* Exact for exponential holds: within 6 %, which is what a million customers in queues of these
 * loads leave to chance. Otherwise an approximation: within 35 %. */
static void wait_is_that_of_a_queue(void **state)
{
    static const struct {
        uint32_t servers;
        double load, variation, tolerance;
    } queues[] = {
        {1, 0.7, 1, 0.06}, {4, 3.2, 1, 0.06},   {16, 14, 1, 0.06}, {48, 40, 1, 0.06},
        {4, 3.2, 0, 0.35}, {16, 14.4, 0, 0.35}, {4, 3.2, 2, 0.35}, {16, 14.4, 2, 0.35},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(queues) / sizeof(queues[0]); i++) {
        double simulated =
            simulated_wait(queues[i].servers, queues[i].load, queues[i].variation, 0.99);
        double ours =
            sizing_wait_quantile(queues[i].servers, queues[i].load, queues[i].variation, 0.99);
        assert_true(simulated > 0);
        if (fabs(ours - simulated) > queues[i].tolerance * simulated)
            fail_msg("%u servers, load %g, variation %g: %g, simulated %g", queues[i].servers,
                     queues[i].load, queues[i].variation, ours, simulated);
    }
}

/* ---- made histories -------------------------------------------------------------------------- */

static const struct sizing_limits limits_unknown = {-1, -1, -1, -1, 10};

struct history {
    uint32_t seconds, connections_max;
    double arrivals, hold; /* a second; seconds */
    uint32_t dry_percent;  /* of the looks */
    uint32_t burst_every;  /* all that arrives in so many seconds, arrives in one; 0: evenly */
    bool slows;            /* holds that begin among many take three times as long */
};

/* Ten looks a second at a pool that is used as @history says; every sixteenth hold is timed, holds
 * are exponential. */
static void history_play(const struct history *history, struct sizing *ret)
{
    struct random random = {7};
    double acquired = 0, used_part = 0;
    uint64_t held = 0;

    sizing_start(ret, 5 * (uint64_t)SECOND_NS, 1000);
    for (uint32_t look = 1; look <= history->seconds * 10; look++) {
        double load = history->arrivals * history->hold;
        uint32_t second = (look - 1) / 10;
        if (history->burst_every == 0)
            acquired += history->arrivals / 10;
        else if (second % history->burst_every == 0)
            acquired += history->arrivals * history->burst_every / 10;
        used_part += load; /* whole connections that are the load in the mean */
        uint32_t used = (uint32_t)used_part;
        used_part -= used;
        for (; held + 16 <= (uint64_t)acquired; held += 16) {
            uint32_t among = (uint32_t)(random_share(&random) * history->connections_max);
            bool is_slow = history->slows && among >= history->connections_max / 2;
            sizing_hold(ret,
                        &(struct sizing_hold){
                            random_exponential(&random, history->hold * (is_slow ? 3 : 1)), among},
                        history->connections_max);
        }
        sizing_look(ret, &(struct sizing_look){.now_ns = 5 * (uint64_t)SECOND_NS +
                                                         look * (uint64_t)SECOND_NS / 10,
                                               .acquires = 1000 + (uint64_t)acquired,
                                               .used = used,
                                               .waiting = look % 100 < history->dry_percent ? 1 : 0,
                                               .connections_max = history->connections_max});
    }
}

static struct weir_pool_advice advice_on(const struct history *history,
                                         const struct sizing_limits *limits)
{
    struct weir_pool_advice advice = {.size = 4711};
    struct sizing sizing;

    history_play(history, &sizing);
    sizing_advise(&sizing, 0, (int32_t)history->connections_max, limits, &advice);
    assert_int_equal(advice.size, 4711);
    assert_true(advice.confidence >= 0 && advice.confidence <= 1);
    assert_non_null(memchr(advice.text, '\0', sizeof(advice.text)));
    assert_true(advice.text[0] != '\0');
    return advice;
}

static void advises_nothing_on_nothing(void **state)
{
    struct weir_pool_advice advice =
        advice_on(&(struct history){.seconds = 100, .connections_max = 10}, &limits_unknown);

    (void)state;
    assert_int_equal(advice.connections_max, 0);
    assert_int_equal(advice.connections_min, 0);
    assert_int_equal(advice.doubts, WEIR_ADVICE_FEW);
    assert_true(advice.confidence == 0);
    assert_non_null(strstr(advice.text, "cannot tell"));
}

static void advises_on_a_steady_load(void **state)
{
    struct weir_pool_advice advice = advice_on(
        &(struct history){.seconds = 120, .connections_max = 10, .arrivals = 400, .hold = 0.010},
        &limits_unknown);

    (void)state;
    assert_int_equal(advice.doubts, 0);
    assert_true(advice.confidence == 1);
    assert_int_equal(advice.acquires, 48000);
    assert_true(fabs(advice.arrivals_per_second - 400) < 0.5);
    assert_true(fabs(advice.hold_mean_seconds - 0.010) < 0.001);
    assert_true(fabs(advice.hold_variation - 1) < 0.1);
    assert_true(fabs(advice.utilization - 0.4) < 0.04);
    /* load 4: the least c with ln(100 C(c, 4)) / (c - 4) at most a tenth is 10 */
    assert_in_range(advice.connections_max, 10, 11);
    assert_in_range(advice.connections_min, 4, 5);
    assert_true(advice.wait_p99_seconds <= 0.001);
    assert_non_null(strstr(advice.text, "(now 10)"));
    assert_int_equal(advice.server_connections_max, -1);
}

/* The maximum is the least that keeps its promise: one less breaks it. */
static void advises_the_least(void **state)
{
    (void)state;
    for (double arrivals = 50; arrivals < 20000; arrivals *= 1.7) {
        struct weir_pool_advice advice = advice_on(
            &(struct history){
                .seconds = 60, .connections_max = 200, .arrivals = arrivals, .hold = 0.010},
            &limits_unknown);
        double hold = advice.hold_mean_seconds, most = fmax(0.1 * hold, 0.001);
        double load = advice.utilization * 200;
        uint32_t servers = (uint32_t)advice.connections_max;
        assert_true(advice.wait_p99_seconds <= most);
        assert_true(sizing_wait_quantile(servers, load, advice.hold_variation, 0.99) * hold <=
                    most);
        if (servers > 1 && load < servers - 1)
            assert_true(
                sizing_wait_quantile(servers - 1, load, advice.hold_variation, 0.99) * hold > most);
    }
}

static void never_advises_less_for_more(void **state)
{
    int32_t most = 0, least = 0;

    (void)state;
    for (double hold = 0.0001; hold < 9; hold *= 1.3) {
        struct weir_pool_advice advice = advice_on(
            &(struct history){.seconds = 60, .connections_max = 64, .arrivals = 100, .hold = hold},
            &limits_unknown);
        assert_true(advice.connections_max >= most);
        assert_true(advice.connections_min >= least);
        assert_true(advice.connections_min <= advice.connections_max);
        most = advice.connections_max;
        least = advice.connections_min;
    }
    assert_true(most > 600);
}

static void doubts_a_short_history_smoothly(void **state)
{
    double confidence = 0;
    char few[40];

    (void)state;
    for (uint32_t seconds = 5; seconds <= 60; seconds += 5) {
        struct weir_pool_advice advice = advice_on(
            &(struct history){
                .seconds = seconds, .connections_max = 10, .arrivals = 100, .hold = 0.010},
            &limits_unknown);
        assert_int_equal(advice.doubts, seconds < 60 ? WEIR_ADVICE_FEW : 0);
        assert_true(advice.confidence > confidence && advice.confidence < confidence + 0.2);
        confidence = advice.confidence;
    }
    assert_true(confidence == 1);
    struct weir_pool_advice advice = advice_on(
        &(struct history){.seconds = 300, .connections_max = 10, .arrivals = 1, .hold = 0.010},
        &limits_unknown);
    assert_int_equal(advice.doubts, WEIR_ADVICE_FEW);
    assert_true(fabs(advice.confidence - 0.3) < 0.01);
    (void)snprintf(few, sizeof(few), "only %d in 300 s", (int)advice.acquires);
    assert_non_null(strstr(advice.text, few));
}

static void says_the_least_when_dry(void **state)
{
    struct history history = {.seconds = 120, .connections_max = 4, .arrivals = 395, .hold = 0.01};
    struct weir_pool_advice calm, dry;

    (void)state;
    history.dry_percent = 2;
    calm = advice_on(&history, &limits_unknown);
    assert_int_equal(calm.doubts, 0);
    history.dry_percent = 60;
    dry = advice_on(&history, &limits_unknown);
    assert_int_equal(dry.doubts, WEIR_ADVICE_SATURATED);
    assert_true(dry.connections_max > 4);
    assert_true(dry.connections_max >= calm.connections_max);
    assert_true(dry.confidence < 0.5 * calm.confidence);
    assert_true(strncmp(dry.text, "at least ", 9) == 0);
    assert_non_null(strstr(dry.text, "dry 60% of the time"));
    /* little was served, as something else kept the connections: still more than there are */
    history.arrivals = 1;
    assert_int_equal(advice_on(&history, &limits_unknown).connections_max, 5);
}

static void doubts_bursts(void **state)
{
    struct history history = {
        .seconds = 120, .connections_max = 10, .arrivals = 100, .hold = 0.01, .burst_every = 10};
    struct weir_pool_advice advice = advice_on(&history, &limits_unknown);

    (void)state;
    assert_int_equal(advice.doubts, WEIR_ADVICE_BURSTS);
    assert_true(advice.confidence < 0.2); /* variance over mean: 900 */
    assert_non_null(strstr(advice.text, "in bursts"));
}

/* Independent arrivals, however few or many, are no bursts. */
static void takes_no_chance_for_a_burst(void **state)
{
    (void)state;
    for (double arrivals = 5; arrivals < 5000; arrivals *= 5) {
        struct random random = {99};
        struct weir_pool_advice advice = {0};
        struct sizing sizing;
        double next = 0;
        uint64_t acquires = 0;
        sizing_start(&sizing, 0, 0);
        for (uint64_t second = 1; second <= 300; second++) {
            for (; next < (double)second; next += random_exponential(&random, 1 / arrivals))
                acquires++;
            sizing_look(&sizing, &(struct sizing_look){second * SECOND_NS, acquires, 1, 0, 10});
        }
        sizing_advise(&sizing, 0, 10, &limits_unknown, &advice);
        assert_false(advice.doubts & WEIR_ADVICE_BURSTS);
    }
}

static void doubts_holds_that_grow(void **state)
{
    struct history history = {
        .seconds = 120, .connections_max = 10, .arrivals = 100, .hold = 0.01, .slows = true};
    struct weir_pool_advice slow = advice_on(&history, &limits_unknown);

    (void)state;
    assert_int_equal(slow.doubts, WEIR_ADVICE_SLOWS);
    assert_non_null(strstr(slow.text, "holds grow with concurrency"));
    history.slows = false;
    assert_int_equal(advice_on(&history, &limits_unknown).doubts, 0);
    history.slows = true;
    history.seconds = 12; /* 75 holds: too few on one side */
    assert_int_equal(advice_on(&history, &limits_unknown).doubts, WEIR_ADVICE_FEW);
}

/* Three times as long, without any spread: still, forty of each kind may be one bad minute. */
static void doubts_no_holds_for_too_few(void **state)
{
    (void)state;
    for (size_t count = 40; count <= 60; count += 20) {
        struct weir_pool_advice advice = {0};
        struct sizing sizing;
        sizing_start(&sizing, 0, 0);
        for (size_t i = 0; i < count; i++) {
            sizing_hold(&sizing, &(struct sizing_hold){0.001, 1}, 10);
            sizing_hold(&sizing, &(struct sizing_hold){0.003, 9}, 10);
        }
        sizing_look(&sizing,
                    &(struct sizing_look){100 * (uint64_t)SECOND_NS, 32 * count, 1, 0, 10});
        sizing_advise(&sizing, 0, 10, &limits_unknown, &advice);
        assert_int_equal(advice.doubts & WEIR_ADVICE_SLOWS, count == 60 ? WEIR_ADVICE_SLOWS : 0);
    }
}

static void keeps_to_the_server(void **state)
{
    /* needs some 10 or 11; another pool has 20 */
    static const struct {
        struct sizing_limits limits;
        uint32_t doubts;
    } servers[] = {
        {{100, 3, -1, -1, 30}, 0},
        {{34, 3, -1, -1, 30}, 0},
        {{32, 3, -1, -1, 30}, WEIR_ADVICE_SERVER}, /* 9 left */
        {{31, -1, -1, -1, 30}, 0},                 /* reserved is not known */
        {{100, 3, 29, -1, 30}, WEIR_ADVICE_SERVER},
        {{100, 3, -1, 29, 30}, WEIR_ADVICE_SERVER},
        {{100, 3, 31, 31, 30}, 0},
        {{-1, -1, -1, -1, 2000}, 0},
        {{-1, -1, 0, -1, 30}, WEIR_ADVICE_SERVER},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
        struct weir_pool_advice advice = advice_on(
            &(struct history){
                .seconds = 120, .connections_max = 10, .arrivals = 400, .hold = 0.010},
            &servers[i].limits);
        assert_int_equal(advice.doubts, servers[i].doubts);
        assert_int_equal(advice.server_connections_max, servers[i].limits.server_connections_max);
        assert_int_equal(advice.role_connections_max, servers[i].limits.role_max);
        assert_int_equal(advice.pools_connections_max, servers[i].limits.pools_connections_max);
        assert_true((strstr(advice.text, "the server leaves") != NULL) ==
                    (servers[i].doubts == WEIR_ADVICE_SERVER));
    }
}

static void takes_no_harm_from_odd_looks(void **state)
{
    struct weir_pool_advice advice = {0};
    struct sizing sizing;

    (void)state;
    sizing_start(&sizing, SECOND_NS, 5);
    sizing_look(&sizing, &(struct sizing_look){SECOND_NS, 9, 3, 0, 10});     /* no time */
    sizing_look(&sizing, &(struct sizing_look){SECOND_NS / 2, 9, 3, 0, 10}); /* backwards */
    sizing_look(&sizing, &(struct sizing_look){2 * (uint64_t)SECOND_NS, 4, 3, 0, 10});
    assert_true(sizing.used_seconds == 0);
    sizing_hold(&sizing, &(struct sizing_hold){NAN, 1}, 10);
    sizing_hold(&sizing, &(struct sizing_hold){-1, 1}, 10);
    assert_int_equal(sizing.holds, 0);
    sizing_hold(&sizing, &(struct sizing_hold){1, 11}, 10); /* the maximum was lowered */
    sizing_hold(&sizing, &(struct sizing_hold){0, 0}, 0);
    assert_int_equal(sizing.level_holds[SIZING_LEVELS - 1], 2);
    sizing_look(&sizing, &(struct sizing_look){3 * (uint64_t)SECOND_NS, 4000000000, 100000, 0, 10});
    sizing_advise(&sizing, 0, 10, &limits_unknown, &advice);
    assert_int_equal(advice.connections_max, 4096);
    assert_int_equal(sizing.used_peak, 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(erlang_c_is_its_sum),
        cmocka_unit_test(erlang_c_has_closed_values),
        cmocka_unit_test(formulas_are_monotonic),
        cmocka_unit_test(wait_is_that_of_a_queue),
        cmocka_unit_test(advises_nothing_on_nothing),
        cmocka_unit_test(advises_on_a_steady_load),
        cmocka_unit_test(advises_the_least),
        cmocka_unit_test(never_advises_less_for_more),
        cmocka_unit_test(doubts_a_short_history_smoothly),
        cmocka_unit_test(says_the_least_when_dry),
        cmocka_unit_test(doubts_bursts),
        cmocka_unit_test(takes_no_chance_for_a_burst),
        cmocka_unit_test(doubts_holds_that_grow),
        cmocka_unit_test(doubts_no_holds_for_too_few),
        cmocka_unit_test(keeps_to_the_server),
        cmocka_unit_test(takes_no_harm_from_odd_looks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
