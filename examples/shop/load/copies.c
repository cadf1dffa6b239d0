#include "copies.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <time.h>

enum { ASK_EVERY_MS = 100, ANSWER_MAX_MS = 500 };

static struct timespec time_in(int ms)
{
    struct timespec at;

    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += ms / 1000;
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

static size_t body_ignore(char *bytes, size_t size, size_t count, void *userdata)
{
    (void)bytes;
    (void)userdata;
    return size * count;
}

static bool copy_ask(CURL *curl, const struct copy *copy)
{
    long status = 0;

    (void)curl_easy_setopt(curl, CURLOPT_URL, copy->readiness_url);
    return curl_easy_perform(curl) == CURLE_OK &&
           curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK && status == 200;
}

static void *copies_run(void *userdata)
{
    struct copies *copies = userdata;
    CURL *curl = curl_easy_init();
    struct timespec next;

    if (!curl)
        return NULL; /* none is ever ready, and that is told */
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)ANSWER_MAX_MS);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, body_ignore);
    /* A connection of its own each time: a copy that accepts none is not ready. */
    (void)curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
    (void)pthread_mutex_lock(&copies->mutex);
    while (!copies->is_ending) {
        next = time_in(ASK_EVERY_MS);
        for (size_t i = 0; i < copies->count; i++) {
            bool is_ready;
            (void)pthread_mutex_unlock(&copies->mutex);
            is_ready = copy_ask(curl, &copies->all[i]);
            (void)pthread_mutex_lock(&copies->mutex);
            copies->all[i].is_ready = is_ready;
        }
        (void)pthread_cond_broadcast(&copies->changed);
        while (!copies->is_ending &&
               pthread_cond_timedwait(&copies->changed, &copies->mutex, &next) == 0)
            ;
    }
    (void)pthread_mutex_unlock(&copies->mutex);
    curl_easy_cleanup(curl);
    return NULL;
}

int copies_watch(struct copies *copies, const struct arguments *arguments)
{
    pthread_condattr_t attributes;

    *copies = (struct copies){.count = arguments->urls_count};
    for (size_t i = 0; i < copies->count; i++) {
        struct copy *copy = &copies->all[i];
        int length = snprintf(copy->readiness_url, sizeof(copy->readiness_url), "%s/readyz",
                              arguments->urls[i]);
        if (length < 0 || (size_t)length >= sizeof(copy->readiness_url))
            return -ENAMETOOLONG;
        copy->url = arguments->urls[i];
    }
    (void)pthread_mutex_init(&copies->mutex, NULL); /* these cannot fail on Linux */
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&copies->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return -pthread_create(&copies->thread, NULL, copies_run, copies);
}

void copies_end(struct copies *copies)
{
    (void)pthread_mutex_lock(&copies->mutex);
    copies->is_ending = true;
    (void)pthread_cond_broadcast(&copies->changed);
    (void)pthread_mutex_unlock(&copies->mutex);
    (void)pthread_join(copies->thread, NULL);
    (void)pthread_cond_destroy(&copies->changed);
    (void)pthread_mutex_destroy(&copies->mutex);
}

/* Under the mutex. */
static struct copy *ready_copy(struct copies *copies)
{
    for (size_t i = 0; i < copies->count; i++) {
        struct copy *copy = &copies->all[copies->next++ % copies->count];
        if (copy->is_ready)
            return copy;
    }
    return NULL;
}

/* Under the mutex. */
static struct copy *await_ready_copy(struct copies *copies, int wait_ms)
{
    struct timespec until = time_in(wait_ms);
    struct copy *copy;
    int r = 0;

    while (!(copy = ready_copy(copies)) && r == 0)
        r = pthread_cond_timedwait(&copies->changed, &copies->mutex, &until);
    return copy;
}

bool copies_await(struct copies *copies, int wait_ms)
{
    bool is_any;

    (void)pthread_mutex_lock(&copies->mutex);
    is_any = await_ready_copy(copies, wait_ms);
    (void)pthread_mutex_unlock(&copies->mutex);
    return is_any;
}

const char *copies_pick(struct copies *copies, int wait_ms)
{
    struct copy *copy;

    (void)pthread_mutex_lock(&copies->mutex);
    copy = await_ready_copy(copies, wait_ms);
    if (copy)
        copy->requests++;
    (void)pthread_mutex_unlock(&copies->mutex);
    return copy ? copy->url : NULL;
}
