/* The threads that serve requests: they may wait for a connection and for PostgreSQL, while the
 * server's own threads never wait for anything, and so answer probes also when all workers do. */
#pragma once

#include <pthread.h>
#include <stdbool.h>

struct http_request;

struct workers {
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t wake;
    struct http_request *first, **end; /* the queue, oldest first */
    unsigned queued;
    bool is_ending;
    unsigned count;
    pthread_t *threads;
};

/* 0 or a negative errno; then there is nothing to stop. */
int workers_start(struct workers *workers, unsigned count);
/* Serves what is queued, and ends. Nothing may be submitted any more. */
void workers_stop(struct workers *workers);
/* Suspends the request's connection, until a worker has served it. False: too many wait already. */
bool workers_submit(struct workers *workers, struct http_request *request);
