/* A load on the shop: many customers at once, on all copies that are ready. */
#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "copies.h"
#include "visitor.h"

enum { FIRST_READY_MS = 15000, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static atomic_bool has_ended;

static void on_signal(int number)
{
    (void)number;
    atomic_store(&has_ended, true);
}

/* What all visitors together did. */
struct sum {
    uint64_t requests, failed, conflicts;
    json_t *reasons;
    uint32_t *times_us;
    size_t times_count;
};

static int time_compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

static void sum_add_reasons(struct sum *sum, json_t *reasons)
{
    const char *reason;
    json_t *count;

    json_object_foreach(reasons, reason, count)
    {
        json_int_t before = json_integer_value(json_object_get(sum->reasons, reason));
        (void)json_object_set_new(sum->reasons, reason,
                                  json_integer(before + json_integer_value(count)));
    }
}

static int sum_make(struct sum *sum, const struct visitor *visitors, unsigned count)
{
    size_t room = 1;

    for (unsigned i = 0; i < count; i++)
        room += visitors[i].times_count;
    *sum = (struct sum){.reasons = json_object(), .times_us = malloc(room * sizeof(uint32_t))};
    if (!sum->reasons || !sum->times_us)
        return -1;
    for (unsigned i = 0; i < count; i++) {
        const struct visitor *visitor = &visitors[i];
        sum->requests += visitor->requests;
        sum->failed += visitor->failed;
        sum->conflicts += visitor->conflicts;
        sum_add_reasons(sum, visitor->reasons);
        if (visitor->times_count)
            memcpy(sum->times_us + sum->times_count, visitor->times_us,
                   visitor->times_count * sizeof(uint32_t));
        sum->times_count += visitor->times_count;
    }
    qsort(sum->times_us, sum->times_count, sizeof(uint32_t), time_compare);
    return 0;
}

static void sum_deinit(struct sum *sum)
{
    json_decref(sum->reasons);
    free(sum->times_us);
}

static double quantile_ms(const struct sum *sum, double part)
{
    if (sum->times_count == 0)
        return 0;
    return sum->times_us[(size_t)(part * (double)(sum->times_count - 1))] / 1e3;
}

static json_t *copies_json(const struct copies *copies)
{
    json_t *json = json_object();

    for (size_t i = 0; i < copies->count; i++)
        (void)json_object_set_new(json, copies->all[i].url,
                                  json_integer((json_int_t)copies->all[i].requests));
    return json;
}

static int print(const struct visitor *visitors, unsigned count, const struct copies *copies,
                 double seconds)
{
    struct sum sum;
    json_t *json = NULL;
    int r = sum_make(&sum, visitors, count);

    if (r == 0)
        json = json_pack("{s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:O, s:o}", "requests",
                         (json_int_t)sum.requests, "failed", (json_int_t)sum.failed, "conflicts",
                         (json_int_t)sum.conflicts, "seconds", seconds, "per_second",
                         (double)sum.requests / seconds, "p50_ms", quantile_ms(&sum, 0.5), "p99_ms",
                         quantile_ms(&sum, 0.99), "reasons", sum.reasons, "copies",
                         copies_json(copies));
    if (!json || json_dumpf(json, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6)) ||
        puts("") == EOF || fflush(stdout))
        r = -1;
    json_decref(json);
    sum_deinit(&sum);
    return r;
}

static int visitors_run(const struct arguments *arguments, struct copies *copies,
                        struct visitor *visitors)
{
    uint64_t begin_ns = clock_now_ns();
    unsigned started = 0;
    int r = 0;

    for (; r == 0 && started < arguments->threads; started += r == 0) {
        visitors[started] =
            (struct visitor){.arguments = arguments,
                             .copies = copies,
                             .number = started,
                             .begin_ns = begin_ns,
                             .has_ended = &has_ended,
                             .end_ns = begin_ns + arguments->seconds * UINT64_C(1000000000)};
        r = visitor_start(&visitors[started]);
    }
    for (unsigned i = 0; i < started; i++)
        visitor_join(&visitors[i]);
    if (r == 0)
        r = print(visitors, started, copies, (double)(clock_now_ns() - begin_ns) / 1e9);
    for (unsigned i = 0; i < started; i++)
        visitor_deinit(&visitors[i]);
    return r;
}

static int load_run(const struct arguments *arguments)
{
    struct visitor *visitors = calloc(arguments->threads, sizeof(*visitors));
    struct copies copies;
    int r = EXIT_FAILED;

    if (!visitors || copies_watch(&copies, arguments)) {
        (void)fputs("shop-load: no memory, no thread, or too long a URL\n", stderr);
        free(visitors);
        return EXIT_FAILED;
    }
    if (!copies_await(&copies, FIRST_READY_MS))
        (void)fputs("shop-load: no copy of the shop was ready within 15 s\n", stderr);
    else if (visitors_run(arguments, &copies, visitors) == 0)
        r = 0;
    else
        (void)fputs("shop-load: no memory or no thread\n", stderr);
    copies_end(&copies);
    free(visitors);
    return r;
}

int main(int argc, char *argv[])
{
    const struct sigaction end = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct arguments arguments;
    int r = arguments_parse(&arguments, argc, argv);

    if (r)
        return r == ARGUMENTS_E_HELP ? 0 : EXIT_USAGE;
    (void)sigaction(SIGINT, &end, NULL); /* these cannot fail */
    (void)sigaction(SIGTERM, &end, NULL);
    if (curl_global_init(CURL_GLOBAL_DEFAULT))
        return EXIT_FAILED;
    r = load_run(&arguments);
    curl_global_cleanup();
    return r;
}
