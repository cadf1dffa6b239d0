/* The copies of the shop, and which of them want requests: what a balancer in front of them does.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arguments.h"

struct copy {
    const char *url;
    char readiness_url[256];
    bool is_ready;
    uint64_t requests;
};

struct copies {
    size_t count;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards what follows, and each copy's is_ready and requests */
    pthread_cond_t changed;
    size_t next;
    bool is_ending;
    struct copy all[URLS_MAX];
};

/* Begins to ask them. 0 or a negative errno. */
int copies_watch(struct copies *copies, const struct arguments *arguments);
void copies_end(struct copies *copies);
/* Whether one is ready, or becomes it in time. */
bool copies_await(struct copies *copies, int wait_ms);
/* Where the next request goes: the ready copies in turn; waits for one up to @wait_ms. NULL: none
 * is. */
const char *copies_pick(struct copies *copies, int wait_ms);
