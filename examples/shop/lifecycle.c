#include "lifecycle.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

#include "arguments.h"
#include "journal.h"
#include "owned.h"
#include "server.h"
#include "shop.h"
#include "workers.h"

enum { NS_PER_MS = 1000000, POOLS_SHARE = 4, LAST_ANSWERS_MS = 1000 };

static uint64_t now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static sigset_t signals_of_life(void)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    return set;
}

void lifecycle_block_signals(void)
{
    sigset_t set = signals_of_life();

    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN); /* a client or a log that went away is an error, not an end */
}

static void shop_reload(struct shop *shop)
{
    OWNED(owned_error) struct weir_error *error = NULL;

    if (weir_manager_reload(shop->manager, &error))
        journal_note("reload_failed", "nothing is changed: %s", weir_error_message(error));
    else
        journal_note("reloaded", "%s is in force", shop->arguments->config);
}

static void await_end(struct shop *shop)
{
    sigset_t set = signals_of_life();
    int number;

    while ((number = sigwaitinfo(&set, NULL)) != SIGTERM && number != SIGINT)
        if (number == SIGHUP)
            shop_reload(shop);
}

/* Those who send requests here look at /readyz now and then: until they have, they send more. A
 * second signal ends it. */
static void serve_on(const struct shop *shop)
{
    uint64_t end_ns = now_ns() + (uint64_t)shop->arguments->drain_delay_ms * NS_PER_MS;
    uint64_t at_ns;
    sigset_t set = signals_of_life();

    while ((at_ns = now_ns()) < end_ns) {
        struct timespec left = {.tv_sec = (time_t)((end_ns - at_ns) / 1000000000),
                                .tv_nsec = (long)((end_ns - at_ns) % 1000000000)};
        int number = sigtimedwait(&set, NULL, &left);
        if (number == SIGTERM || number == SIGINT)
            return;
    }
}

/* Tells what the pools had to cut, and returns how much. */
static unsigned pools_drain(struct shop *shop, uint64_t deadline_ns)
{
    struct weir_drain_report *report = NULL;
    uint64_t at_ns = now_ns();
    int32_t left_ms = at_ns < deadline_ns ? (int32_t)((deadline_ns - at_ns) / NS_PER_MS) : 1;
    size_t count;

    (void)weir_manager_drain(shop->manager, left_ms, &report); /* the report says it better */
    count = weir_drain_report_count(report);
    for (size_t i = 0; i < count; i++) {
        const struct weir_drain_cut *cut = weir_drain_report_cut(report, i);
        journal_write(
            "cut", json_pack("{s:s, s:o, s:o, s:o, s:i, s:f, s:b}", "pool", cut->pool, "call_site",
                             journal_text(cut->call_site), "tenant", journal_text(cut->tenant),
                             "statement", journal_text(cut->statement), "backend_pid",
                             (int)cut->backend_pid, "held_ms", (double)cut->held_ns / NS_PER_MS,
                             "was_executing", cut->was_executing));
    }
    weir_drain_report_free(report);
    return (unsigned)count;
}

unsigned lifecycle_run(struct shop *shop, struct server *server, struct workers *workers)
{
    uint64_t time_ns = (uint64_t)shop->arguments->drain_timeout_ms * NS_PER_MS;
    uint64_t begin_ns, deadline_ns;
    unsigned cut, late;

    await_end(shop);
    atomic_store_explicit(&shop->is_leaving, true, memory_order_relaxed);
    journal_note("leaving", "not ready from now on; %d ms until no more is accepted",
                 shop->arguments->drain_delay_ms);
    serve_on(shop);
    server_quiesce(server);
    begin_ns = now_ns();
    deadline_ns = begin_ns + time_ns;
    /* Requests may still take connections; the last part of the time is the pools', for cancelling
     * what does not end by itself. */
    (void)server_await_idle(server, deadline_ns - time_ns / POOLS_SHARE);
    cut = pools_drain(shop, deadline_ns);
    shop_end_pauses(shop);
    workers_stop(workers);
    late = server_await_idle(server, now_ns() + LAST_ANSWERS_MS * (uint64_t)NS_PER_MS);
    server_stop(server);
    journal_write("drained", json_pack("{s:i, s:i, s:f}", "cut", (int)cut, "unanswered", (int)late,
                                       "seconds", (double)(now_ns() - begin_ns) / 1e9));
    return cut + late;
}
