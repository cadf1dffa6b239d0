#include "shop.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "arguments.h"
#include "drill.h"
#include "journal.h"
#include "owned.h"
#include "secrets.h"

static int shop_open_pools(struct shop *shop, struct weir_error **ret_error)
{
    struct weir_manager_opts opts = {
        .size = sizeof(opts),
        .file = shop->arguments->config,
        .log = journal_weir,
    };
    int r;

    if (shop->arguments->secrets) {
        opts.before_connect = secrets_before_connect;
        opts.hook_userdata = (void *)shop->arguments->secrets;
    }
    r = weir_manager_new(&opts, &shop->manager, ret_error);
    if (!r)
        r = weir_manager_pool(shop->manager, "shop", &shop->orders, ret_error);
    if (!r)
        r = weir_manager_pool(shop->manager, "reports", &shop->reports, ret_error);
    return r;
}

int shop_open(struct shop *shop, const struct arguments *arguments)
{
    OWNED(owned_error) struct weir_error *error = NULL;
    pthread_condattr_t attributes;

    *shop = (struct shop){.arguments = arguments};
    (void)pthread_mutex_init(&shop->mutex, NULL); /* these cannot fail on Linux */
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&shop->ending, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    if (shop_open_pools(shop, &error) == 0)
        return 0;
    (void)fprintf(stderr, "shop: %s\n", weir_error_message(error));
    shop_close(shop);
    return -1;
}

void shop_close(struct shop *shop)
{
    drill_forget(shop);
    shop->orders = weir_pool_unref(shop->orders);
    shop->reports = weir_pool_unref(shop->reports);
    shop->manager = weir_manager_unref(shop->manager);
    (void)pthread_cond_destroy(&shop->ending);
    (void)pthread_mutex_destroy(&shop->mutex);
}

void shop_readiness(struct shop *shop, char *reason, size_t size)
{
    struct weir_health health;
    struct weir_pool_stats stats;

    *reason = 0;
    if (atomic_load_explicit(&shop->is_leaving, memory_order_relaxed)) {
        (void)snprintf(reason, size, "leaving");
        return;
    }
    weir_manager_health(shop->manager, &health, sizeof(health));
    weir_pool_stats_get(shop->orders, &stats, sizeof(stats));
    if (!health.is_ready)
        (void)snprintf(reason, size, "%s", health.reason);
    else if (stats.connected ==
             0) /* a new copy takes no requests before it has reached the server */
        (void)snprintf(reason, size, "pool shop: no connection yet");
}

void shop_pause(struct shop *shop, int32_t ms)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    (void)pthread_mutex_lock(&shop->mutex);
    while (!shop->is_ending && pthread_cond_timedwait(&shop->ending, &shop->mutex, &until) == 0)
        ;
    (void)pthread_mutex_unlock(&shop->mutex);
}

void shop_end_pauses(struct shop *shop)
{
    (void)pthread_mutex_lock(&shop->mutex);
    shop->is_ending = true;
    (void)pthread_cond_broadcast(&shop->ending);
    (void)pthread_mutex_unlock(&shop->mutex);
}
