/* One customer: a thread that sends requests one after the other, and remembers how they went. */
#pragma once

#include <jansson.h>
#include <pthread.h>
#include <stdint.h>

#include "arguments.h"
#include "copies.h"

struct visitor {
    const struct arguments *arguments;
    struct copies *copies;
    unsigned number;
    uint64_t begin_ns, end_ns;    /* CLOCK_MONOTONIC: of the whole load, … */
    const atomic_bool *has_ended; /* … unless it is ended before */
    pthread_t thread;

    uint64_t random; /* state */
    uint64_t requests, failed, conflicts;
    json_t *reasons; /* of failures, with their counts */
    uint32_t *times_us;
    size_t times_count, times_room;
};

/* 0 or a negative errno. What stands before thread is the caller's to fill in. */
int visitor_start(struct visitor *visitor);
void visitor_join(struct visitor *visitor);
void visitor_deinit(struct visitor *visitor);

uint64_t clock_now_ns(void);
