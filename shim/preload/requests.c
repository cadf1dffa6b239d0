#include "shim/preload/requests.h"

#include <stdlib.h>
#include <string.h>

enum { REQUESTS_FIRST = 4 };

static void request_deinit(struct request *request)
{
    free(request->kept);
    request->kept = NULL;
    prepared_text_unref(request->text);
    request->text = NULL;
}

static bool requests_grow(struct requests *requests)
{
    uint32_t capacity = requests->capacity ? requests->capacity * 2 : REQUESTS_FIRST;
    struct request *ring;

    if (capacity > REQUESTS_MAX)
        return false;
    ring = calloc(capacity, sizeof(*ring));
    if (!ring)
        return false;
    for (uint32_t i = 0; i < requests->count; i++)
        ring[i] = *requests_at(requests, i);
    free(requests->ring);
    requests->ring = ring;
    requests->capacity = capacity;
    requests->first = 0;
    return true;
}

struct request *requests_push(struct requests *requests)
{
    struct request *request;

    if (requests->count == requests->capacity && !requests_grow(requests))
        return NULL;
    requests->count++;
    request = requests_newest(requests);
    memset(request, 0, sizeof(*request));
    return request;
}

void requests_pop_oldest(struct requests *requests)
{
    if (!requests->count)
        return;
    request_deinit(requests_oldest(requests));
    requests->first++;
    requests->count--;
}

void requests_pop_newest(struct requests *requests)
{
    if (!requests->count)
        return;
    request_deinit(requests_newest(requests));
    requests->count--;
}

void requests_deinit(struct requests *requests)
{
    while (requests->count)
        requests_pop_oldest(requests);
    free(requests->ring);
    *requests = (struct requests){0};
}
