/* The shop's HTTP server: libmicrohttpd receives and sends on two threads of its own. */
#pragma once

#include <pthread.h>
#include <stdint.h>

struct MHD_Daemon;
struct shop;
struct workers;

struct server {
    struct shop *shop;
    struct workers *workers;
    struct MHD_Daemon *daemon;
    int listen_fd; /* after server_quiesce() */

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t idle;   /* requests became 0 */
    unsigned requests;     /* received and not yet answered whole */
};

/* 0 or a negative errno. */
int server_start(struct server *server, struct shop *shop, struct workers *workers);
/* New connections are refused from now on; open ones are served. */
void server_quiesce(struct server *server);
/* Waits until each request is answered, or CLOCK_MONOTONIC's @deadline_ns. Returns how many are
 * not. */
unsigned server_await_idle(struct server *server, uint64_t deadline_ns);
/* When no worker has a request any more. */
void server_stop(struct server *server);
