#include "shim/pool/request.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "shim/pool/canceller.h"
#include "shim/session/log.h"

#define OPTION_SET(opts, member)                                                                   \
    ((opts) && (opts)->size >= offsetof(struct weir_acquire_opts, member) + sizeof((opts)->member) \
         ? (opts)->member                                                                          \
         : (__typeof__((opts)->member))0)

enum { WAIT_MOST_S = 1000000 }; /* no request waits longer: any deadline is below */

/* ---- beginning ------------------------------------------------------------------------------- */

/* "name\0value\0 … \0", so that an errand that outlives its request has them. */
static int settings_copy(const struct weir_setting *settings, size_t count, char **ret,
                         struct weir_error **ret_error)
{
    size_t length = 1;
    char *at;

    if (!count)
        return 0;
    if (count > SETTINGS_MAX)
        return failure(ret_error, WEIR_ERROR_USAGE, "acquire: %zu settings are more than %d", count,
                       SETTINGS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (!settings[i].name || !*settings[i].name || !settings[i].value)
            return failure(ret_error, WEIR_ERROR_USAGE,
                           "acquire: setting %zu has no name or no value", i + 1);
        length += strlen(settings[i].name) + strlen(settings[i].value) + 2;
    }
    *ret = at = malloc(length);
    if (!at)
        return failure_memory(ret_error);
    for (size_t i = 0; i < count; i++) {
        at = stpcpy(at, settings[i].name) + 1;
        at = stpcpy(at, settings[i].value) + 1;
    }
    *at = 0;
    return 0;
}

/* How long the request would wait, by its place and how fast connections come back; 0: not known.
 */
static uint64_t wait_predicted_ns(const struct weir_pool *pool)
{
    double seconds = pool->release_rate > 0 ? (pool->queue.waiting + 1) / pool->release_rate : 0;

    return seconds < WAIT_MOST_S ? (uint64_t)(seconds * (double)NS_PER_S) : WAIT_MOST_S * NS_PER_S;
}

/* How many requests need nobody's release: connections that are being opened for them, or may be.
 */
static uint32_t connects_open(const struct weir_pool *pool)
{
    uint32_t max = (uint32_t)OPTION_OF(&pool->options, connections_max);
    uint32_t there = pool->total - pool->attempts.running;

    return max > there ? max - there : 0;
}

/* Whether it may queue at all. Under the mutex; 0 or the category. */
static int request_admit(struct request *request, int32_t timeout_ms, struct weir_error **ret_error)
{
    struct weir_pool *pool = request->waiter.pool;
    const struct attempts *attempts = &pool->attempts;
    uint32_t most = (uint32_t)OPTION_OF(&pool->options, waiters_max);
    uint64_t predicted_ns;

    if (pool->rules & RULE_DRAINING)
        return failure(ret_error, WEIR_ERROR_DRAINING, "pool %s: it hands out nothing any more",
                       pool->options.name);
    if (timeout_ms < 0 && pool->rules & RULE_SUSPENDED)
        return failure_refused(ret_error, WEIR_REFUSAL_SUSPENDED, "pool %s is suspended",
                               pool->options.name);
    if (attempts->is_permanent && pool->total == attempts->running &&
        clock_monotonic_ns() < attempts->not_before_ns) {
        if (ret_error)
            *ret_error = failure_copy(attempts->last_error);
        return (int)weir_error_category(attempts->last_error);
    }
    if (!(pool->rules & RULE_SUSPENDED) &&
        gate_top(atomic_load_explicit(&pool->gate.word, memory_order_relaxed)) != SLOT_NONE)
        return 0;
    if (pool->queue.waiting >= most + connects_open(pool))
        return failure_refused(ret_error, WEIR_REFUSAL_QUEUE_FULL,
                               "pool %s: %u requests wait already (waiters_max)",
                               pool->options.name, pool->queue.waiting);
    predicted_ns = OPTION_OF(&pool->options, shedding) &&
                           pool->total >= (uint32_t)OPTION_OF(&pool->options, connections_max)
                       ? wait_predicted_ns(pool)
                       : 0;
    if (predicted_ns && request->begin_ns + predicted_ns > request->waiter.deadline_ns) {
        pool_count(&pool->counters.shed);
        return failure_refused(ret_error, WEIR_REFUSAL_SHED,
                               "pool %s: it would wait %llu ms behind %u others, longer than its "
                               "deadline",
                               pool->options.name, (unsigned long long)(predicted_ns / NS_PER_MS),
                               pool->queue.waiting);
    }
    return 0;
}

static int request_cancelled(const struct request *request, struct weir_error **ret_error)
{
    return failure(ret_error, WEIR_ERROR_CANCELLED, "pool %s: the request was cancelled",
                   request->waiter.pool->options.name);
}

static int request_enter(struct request *request, int32_t timeout_ms, struct weir_error **ret_error)
{
    struct waiter *waiter = &request->waiter;
    struct weir_pool *pool = waiter->pool;
    int r;

    pool_lock(pool);
    if (waiter->is_cancelled)
        r = request_cancelled(request, ret_error);
    else
        r = request_admit(request, timeout_ms, ret_error);
    if (!r) {
        if (pool->rules & RULE_TENANTS)
            waiter->tenant = queue_tenant(&pool->queue, request->tenant);
        waiter->phase = WAITER_QUEUED;
        queue_enter(&pool->queue, waiter);
        pool_settle(pool);
    }
    pool_unlock(pool);
    return r;
}

static void request_tell_begin(struct request *request, const struct weir_acquire_opts *opts)
{
    const struct probe_table *table = request->waiter.pool->table;
    const char *trace = OPTION_SET(opts, traceparent), *state = OPTION_SET(opts, tracestate);
    struct probe_context before;
    bool has_context = request->tenant || trace;

    if (has_context) {
        table->context_save(&before);
        if (request->tenant)
            table->tenant_set(request->tenant);
        if (trace)
            table->trace_set(trace, state);
    }
    table->acquire_begin(request->waiter.pool->probe, &request->probe, request->call_site,
                         request->caller);
    if (has_context)
        table->context_restore(&before);
}

static void request_count_failure(struct weir_pool *pool, int category)
{
    struct pool_counters *counters = &pool->counters;

    switch (category) {
    case WEIR_ERROR_TIMEOUT:
        pool_count(&counters->timeouts);
        break;
    case WEIR_ERROR_REFUSED:
    case WEIR_ERROR_DRAINING:
        pool_count(&counters->refused);
        break;
    case WEIR_ERROR_CANCELLED:
        pool_count(&counters->cancelled);
        break;
    default:
        pool_count(&counters->failed);
        break;
    }
}

/* Everything that ends a request that got nothing. */
static void request_tell_failure(struct request *request, int category,
                                 const struct weir_error *error)
{
    struct weir_pool *pool = request->waiter.pool;
    const char *sqlstate = weir_error_sqlstate(error);
    enum weir_failure word = failure_probe_word((enum weir_error_category)category);

    if (word == WEIR_FAILURE_CONNECTION_LOST)
        word = WEIR_FAILURE_CONNECT_FAILED;
    pool->table->acquire_end(&request->probe, NULL, word, *sqlstate ? sqlstate : NULL);
    request_count_failure(pool, category);
}

int request_begin(struct request *request, struct weir_pool *pool,
                  const struct weir_acquire_opts *opts, const void *caller, int event_fd,
                  struct weir_error **ret_error)
{
    int32_t timeout_ms = OPTION_SET(opts, timeout_ms);
    struct weir_canceller *canceller = OPTION_SET(opts, canceller);
    CLEANUP(freep) char *settings = NULL;
    struct weir_error *error = NULL;
    int r = settings_copy(OPTION_SET(opts, settings), OPTION_SET(opts, settings_count), &settings,
                          ret_error);

    if (r)
        return r;
    memset(request, 0, sizeof(*request));
    keeper_ensure(pool->manager);
    request->waiter.pool = pool;
    request->waiter.event_fd = event_fd;
    request->waiter.settings = STEAL(settings);
    request->caller = caller;
    request->call_site = OPTION_SET(opts, call_site);
    request->tenant = OPTION_SET(opts, tenant);
    request->traceparent = OPTION_SET(opts, traceparent);
    request->begin_ns = clock_monotonic_ns();
    request->waiter.deadline_ns =
        request->begin_ns + (timeout_ms > 0 ? (uint64_t)timeout_ms * NS_PER_MS
                             : timeout_ms   ? 0
                                            : OPTION_NS(&pool->options, acquire_timeout_ms));
    request_tell_begin(request, opts);
    if (canceller && !canceller_enter(canceller, &request->waiter))
        r = request_cancelled(request, &error);
    if (!r)
        r = request_enter(request, timeout_ms, &error);
    if (!r)
        return 0;
    request_tell_failure(request, r, error);
    canceller_leave(&request->waiter);
    free(request->waiter.settings);
    if (ret_error)
        *ret_error = error;
    else
        weir_error_free(error);
    return r;
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* Sleeps until the request is over, or @until. */
static bool request_sleep(struct request *request, const struct timespec *until)
{
    _Atomic uint32_t *word = &request->waiter.word;
    uint32_t pending = WORD_PENDING;

    (void)atomic_compare_exchange_strong_explicit(word, &pending, WORD_ASLEEP, memory_order_relaxed,
                                                  memory_order_relaxed);
    while (!request_is_over(request))
        if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, WORD_ASLEEP, until, NULL,
                    FUTEX_BITSET_MATCH_ANY) < 0 &&
            errno == ETIMEDOUT)
            return false;
    return true;
}

void request_await(struct request *request)
{
    uint64_t deadline_ns = request->waiter.deadline_ns;
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / NS_PER_S),
                             .tv_nsec = (long)(deadline_ns % NS_PER_S)};

    if (!request_is_over(request) && !request_sleep(request, &until))
        request_give_up(request, WEIR_ERROR_TIMEOUT);
}

/* What the caller is told who got none in time. Under the mutex. */
static struct weir_error *request_timeout_error(const struct request *request)
{
    const struct weir_pool *pool = request->waiter.pool;
    const struct attempts *attempts = &pool->attempts;
    unsigned long long ms =
        (unsigned long long)((request->waiter.deadline_ns - request->begin_ns) / NS_PER_MS);
    struct weir_error *error = NULL;

    if (attempts->last_error && pool->total == attempts->running) {
        error = failure_passed_on(attempts->last_error,
                                  "pool %s: no connection within %llu ms, and none can be made: %s",
                                  pool->options.name, ms, weir_error_message(attempts->last_error));
        failure_set_survived(error, false);
        return error;
    }
    (void)failure(&error, WEIR_ERROR_TIMEOUT,
                  "pool %s: no connection within %llu ms: %u of %d open, %u being opened, %u "
                  "requests wait%s",
                  pool->options.name, ms, pool->total - attempts->running,
                  OPTION_OF(&pool->options, connections_max), attempts->running,
                  pool->queue.waiting, pool->rules & RULE_SUSPENDED ? "; it is suspended" : "");
    return error;
}

void request_give_up(struct request *request, enum weir_error_category category)
{
    struct waiter *waiter = &request->waiter;
    struct weir_pool *pool = waiter->pool;
    struct weir_error *error = NULL;

    pool_lock(pool);
    if (waiter_withdraw(waiter)) {
        if (category == WEIR_ERROR_TIMEOUT)
            error = request_timeout_error(request);
        else
            (void)failure(&error, category, "pool %s: the request was given up",
                          pool->options.name);
        waiter_fail(waiter, error);
        pool_settle(pool);
    }
    pool_unlock(pool);
    (void)request_sleep(request, NULL); /* another thread may be just about to tell us */
}

/* ---- ending ---------------------------------------------------------------------------------- */

static int request_fail(struct request *request, struct weir_error **ret_error)
{
    struct weir_pool *pool = request->waiter.pool;
    struct weir_error *error = STEAL(request->waiter.error);
    int category = error ? (int)weir_error_category(error) : WEIR_ERROR_MEMORY;

    request_tell_failure(request, category, error);
    if (log_is_wanted(pool) && category != WEIR_ERROR_CANCELLED &&
        category != WEIR_ERROR_DRAINING) {
        char room[LOG_ERROR_MAX];
        struct weir_log_entry entry = {
            .kind = WEIR_LOG_TIMEOUT,
            .message = log_error_text(error, "no connection", room),
            .sqlstate = weir_error_sqlstate(error),
            .call_site = request->call_site,
            .tenant = request->tenant,
            .wait_ns = clock_monotonic_ns() - request->begin_ns,
        };
        log_tell(pool, &entry);
    }
    if (ret_error)
        *ret_error = error;
    else
        weir_error_free(error);
    return category;
}

int request_end(struct request *request, struct weir_connection **ret_connection,
                struct weir_error **ret_error)
{
    struct slot *slot = request->waiter.slot;
    struct weir_pool *pool = request->waiter.pool;
    struct holder_words said;
    bool is_granted;

    canceller_leave(&request->waiter);
    is_granted = request->waiter.phase == WAITER_GRANTED;
    free(request->waiter.settings);
    request->waiter.settings = NULL;
    if (!is_granted)
        return request_fail(request, ret_error);
    slot->wait_ns = clock_monotonic_ns() - request->begin_ns;
    hold_sample(slot);
    said = (struct holder_words){request->call_site, request->tenant, request->traceparent};
    holder_write(slot, request->caller, &said);
    pool->table->acquire_end(&request->probe, slot->probe, WEIR_FAILURE_NONE, NULL);
    *ret_connection = slot_handle(slot, atomic_load_explicit(&slot->lease, memory_order_relaxed));
    return 0;
}
