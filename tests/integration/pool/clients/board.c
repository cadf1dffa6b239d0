/* A service whose tenants hold and wait. Stops twice, each time until a line comes: with two
 * connections held and two requests waiting, and at rest. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "weir/manager.h"
#include "weir/statement.h"

#define TRACE_HOG    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#define TRACE_WAITER "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

static void check(int r, struct weir_error *error)
{
    if (!r)
        return;
    printf("%d: %s\n", r, weir_error_message(error));
    exit(1);
}

static void pause_at(const char *where)
{
    char line[16];

    puts(where);
    (void)fflush(stdout);
    if (!fgets(line, sizeof(line), stdin))
        exit(1);
}

static struct weir_acquire_opts request_of(const char *call_site, const char *tenant,
                                           const char *traceparent)
{
    return (struct weir_acquire_opts){.size = sizeof(struct weir_acquire_opts),
                                      .timeout_ms = 60000,
                                      .call_site = call_site,
                                      .tenant = tenant,
                                      .traceparent = traceparent};
}

static struct weir_connection *hold(struct weir_pool *pool, const char *call_site,
                                    const char *traceparent)
{
    struct weir_acquire_opts opts = request_of(call_site, "hog", traceparent);
    struct weir_connection *connection = NULL;
    struct weir_error *error = NULL;

    check(weir_pool_acquire(pool, &opts, &connection, &error), error);
    check(weir_execute(connection, "SELECT 'of the hog'", NULL, NULL, &error), error);
    return connection;
}

static struct weir_acquire *wait_for_one(struct weir_pool *pool, const char *tenant,
                                         const char *traceparent)
{
    struct weir_acquire_opts opts = request_of("board.c:wait", tenant, traceparent);
    struct weir_acquire *acquire = NULL;
    struct weir_error *error = NULL;

    check(weir_acquire_start(pool, &opts, &acquire, &error), error);
    return acquire;
}

static void finish(struct weir_acquire *acquire)
{
    struct weir_connection *connection = NULL;
    struct weir_error *error = NULL;
    struct pollfd at;
    int r;

    do {
        at = (struct pollfd){.fd = weir_acquire_fd(acquire), .events = POLLIN};
        (void)poll(&at, 1, -1);
        r = weir_acquire_step(acquire, &connection, &error);
    } while (r == WEIR_PENDING);
    check(r, error);
    check(weir_connection_release(connection), NULL);
}

int main(void)
{
    struct weir_pool_opts opts;
    struct weir_connection *first, *second;
    struct weir_acquire *small, *nameless;
    struct weir_pool *pool = NULL;
    struct weir_error *error = NULL;

    weir_pool_opts_init(&opts, sizeof(opts));
    opts.name = "board";
    opts.conninfo = "";
    opts.connections_max = 2;
    check(weir_pool_open(weir_manager_default(), &opts, &pool, &error), error);
    first = hold(pool, "board.c:first", TRACE_HOG);
    second = hold(pool, "board.c:second", NULL);
    small = wait_for_one(pool, "small", TRACE_WAITER);
    nameless = wait_for_one(pool, NULL, NULL);
    printf("%u %u\n", weir_connection_backend_pid(first), weir_connection_backend_pid(second));
    pause_at("held");
    check(weir_connection_release(first), NULL);
    check(weir_connection_release(second), NULL);
    finish(small);
    finish(nameless);
    pause_at("rested");
    (void)weir_pool_unref(pool);
    return 0;
}
