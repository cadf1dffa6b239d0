/* What every part of the shop needs: its pools, and whether it is about to leave. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <weir/manager.h>

struct arguments;
struct leaks;

struct shop {
    const struct arguments *arguments;
    struct weir_manager *manager;
    struct weir_pool *orders;  /* customers' requests, one tenant at a time */
    struct weir_pool *reports; /* the owner's, over all tenants, read only */
    atomic_bool is_leaving;    /* SIGTERM came: not ready any more */

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t ending; /* is_ending became true */
    bool is_ending;        /* nobody waits on purpose any more */
    struct leaks *leaks;   /* drill.c */
};

/* Makes the manager with the pools of its file; says what is wrong on standard error. 0 or -1. */
int shop_open(struct shop *shop, const struct arguments *arguments);
/* After the manager was drained. */
void shop_close(struct shop *shop);
/* "" if the shop can serve, else why not. No round trip. */
void shop_readiness(struct shop *shop, char *reason, size_t size);
/* Does nothing for so long, or until shop_end_pauses(). */
void shop_pause(struct shop *shop, int32_t ms);
void shop_end_pauses(struct shop *shop);
