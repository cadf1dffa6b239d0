#include "visitor.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    READY_WAIT_MS = 5000,
    ANSWER_MAX_MS = 15000,
    PRODUCTS = 100, /* of a tenant, as schema.sql makes them */
    BODY_BYTES = 512,
    HTTP_CONFLICT = 409,
    ERRORS_FROM = 400,
};

/* An answer's beginning: enough to say what went wrong. */
struct answer {
    size_t length;
    char bytes[BODY_BYTES];
};

uint64_t clock_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t random_next(struct visitor *visitor)
{
    visitor->random ^= visitor->random << 13;
    visitor->random ^= visitor->random >> 7;
    visitor->random ^= visitor->random << 17;
    return visitor->random;
}

static unsigned random_below(struct visitor *visitor, unsigned end)
{
    return (unsigned)(random_next(visitor) % end);
}

static size_t answer_receive(char *bytes, size_t size, size_t count, void *userdata)
{
    struct answer *answer = userdata;
    size_t length = size * count, room = sizeof(answer->bytes) - answer->length;

    memcpy(answer->bytes + answer->length, bytes, length < room ? length : room);
    answer->length += length < room ? length : room;
    return length;
}

/* ---- what customers ask for ------------------------------------------------------------------ */

/* One of a hundred requests; @body stays "" for a GET. */
static void request_choose(struct visitor *visitor, char *path, size_t path_size, char *body,
                           size_t body_size)
{
    const struct arguments *arguments = visitor->arguments;
    const char *tenant =
        arguments->tenants[random_below(visitor, (unsigned)arguments->tenants_count)];
    unsigned dice = random_below(visitor, 100);
    unsigned product = 1 + random_below(visitor, PRODUCTS);

    *body = 0;
    if (dice < 35) {
        (void)snprintf(path, path_size, "/tenants/%s/products?q=article%%20%u", tenant,
                       product / 10);
    } else if (dice < 65) {
        (void)snprintf(path, path_size, "/tenants/%s/products/A-%u", tenant, product);
    } else if (dice < 90) {
        (void)snprintf(path, path_size, "/tenants/%s/orders", tenant);
        (void)snprintf(body, body_size,
                       "{\"customer\":\"Customer %u\",\"items\":[{\"sku\":\"A-%u\",\"quantity\":1},"
                       "{\"sku\":\"A-%u\",\"quantity\":2}]}",
                       random_below(visitor, 500), product, 1 + product % PRODUCTS);
    } else if (dice < 99) {
        (void)snprintf(path, path_size, "/tenants/%s/orders?limit=20", tenant);
    } else {
        (void)snprintf(path, path_size, "/reports/daily?days=3");
    }
}

/* ---- how it went ----------------------------------------------------------------------------- */

static void failure_count(struct visitor *visitor, const char *reason)
{
    json_int_t count = json_integer_value(json_object_get(visitor->reasons, reason));

    visitor->failed++;
    (void)json_object_set_new(visitor->reasons, reason, json_integer(count + 1));
}

static void time_record(struct visitor *visitor, uint64_t duration_ns)
{
    if (visitor->times_count == visitor->times_room) {
        size_t room = visitor->times_room ? visitor->times_room * 2 : 4096;
        uint32_t *larger = realloc(visitor->times_us, room * sizeof(*larger));
        if (!larger)
            return; /* the quantiles are then of fewer */
        visitor->times_us = larger;
        visitor->times_room = room;
    }
    visitor->times_us[visitor->times_count++] = (uint32_t)(duration_ns / 1000);
}

static void answer_count(struct visitor *visitor, long status, const struct answer *answer)
{
    char reason[128];
    const char *word;
    json_t *body;

    if (status == HTTP_CONFLICT)
        visitor->conflicts++;
    if (status < ERRORS_FROM || status == HTTP_CONFLICT)
        return;
    body = json_loadb(answer->bytes, answer->length, 0, NULL);
    word = json_string_value(json_object_get(body, "error"));
    (void)snprintf(reason, sizeof(reason), "%ld %s", status, word ? word : "");
    json_decref(body);
    failure_count(visitor, reason);
}

/* ---- sending --------------------------------------------------------------------------------- */

/* Some requests are of a sampled trace. */
static struct curl_slist *headers_make(struct visitor *visitor)
{
    char line[100];
    int is_sampled = random_below(visitor, 100) == 0;
    struct curl_slist *headers;

    (void)snprintf(line, sizeof(line),
                   "traceparent: 00-%016" PRIx64 "%016" PRIx64 "-%016" PRIx64 "-%02d",
                   random_next(visitor), random_next(visitor), random_next(visitor), is_sampled);
    headers = curl_slist_append(NULL, line);
    return headers ? curl_slist_append(headers, "Content-Type: application/json") : NULL;
}

static void visitor_send(struct visitor *visitor, CURL *curl, const char *copy)
{
    struct answer answer = {0};
    struct curl_slist *headers = headers_make(visitor);
    char path[256], url[512], body[256];
    uint64_t begin_ns = clock_now_ns();
    long status = 0;
    CURLcode r;

    request_choose(visitor, path, sizeof(path), body, sizeof(body));
    (void)snprintf(url, sizeof(url), "%s%s", copy, path);
    curl_easy_reset(curl);
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)ANSWER_MAX_MS);
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, answer_receive);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    if (*body)
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    r = curl_easy_perform(curl);
    visitor->requests++;
    if (r != CURLE_OK) {
        failure_count(visitor, curl_easy_strerror(r));
    } else {
        (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        answer_count(visitor, status, &answer);
        time_record(visitor, clock_now_ns() - begin_ns);
    }
    curl_slist_free_all(headers);
}

/* When the visitor's request of that number is due; those of all visitors are evenly spread. */
static uint64_t due_ns(const struct visitor *visitor, uint64_t number)
{
    const struct arguments *arguments = visitor->arguments;
    double turn = (double)(number * arguments->threads + visitor->number);

    if (arguments->rate <= 0)
        return visitor->begin_ns;
    return visitor->begin_ns + (uint64_t)(turn / arguments->rate * 1e9);
}

static void await_time(uint64_t at_ns)
{
    const struct timespec at = {.tv_sec = (time_t)(at_ns / 1000000000),
                                .tv_nsec = (long)(at_ns % 1000000000)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

static void *visitor_run(void *userdata)
{
    struct visitor *visitor = userdata;
    CURL *curl = curl_easy_init();
    uint64_t at_ns;

    if (!curl) {
        failure_count(visitor, "no memory");
        return NULL;
    }
    for (uint64_t number = 0; (at_ns = due_ns(visitor, number)) < visitor->end_ns; number++) {
        const char *copy;
        await_time(at_ns);
        if (atomic_load(visitor->has_ended) || clock_now_ns() >= visitor->end_ns)
            break;
        copy = copies_pick(visitor->copies, READY_WAIT_MS);
        if (copy) {
            visitor_send(visitor, curl, copy);
        } else {
            visitor->requests++;
            failure_count(visitor, "no copy is ready");
        }
    }
    curl_easy_cleanup(curl);
    return NULL;
}

int visitor_start(struct visitor *visitor)
{
    int r;

    visitor->random = 0x9e3779b97f4a7c15u * (visitor->number + 1) ^ visitor->begin_ns;
    visitor->reasons = json_object();
    if (!visitor->reasons)
        return -ENOMEM;
    r = -pthread_create(&visitor->thread, NULL, visitor_run, visitor);
    if (r)
        visitor_deinit(visitor);
    return r;
}

void visitor_join(struct visitor *visitor)
{
    (void)pthread_join(visitor->thread, NULL);
}

void visitor_deinit(struct visitor *visitor)
{
    json_decref(visitor->reasons);
    free(visitor->times_us);
}
