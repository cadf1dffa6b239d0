#include "agent/export/exporter.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "agent/export/encode.h"
#include "agent/export/transport.h"
#include "base/clock.h"

/* What was last said in the log of a way out. */
enum condition {
    CONDITION_FINE,
    CONDITION_PARTIAL,
    CONDITION_RETRYING,
    CONDITION_REFUSED,
};

/* One signal's way out. */
struct way {
    const struct export_endpoint *endpoint;
    enum export_signal signal;
    const struct transport_ops *ops;
    struct transport *transport; /* NULL: the signal goes nowhere */
    /* The sender's own: */
    struct buffer request; /* the one at hand; empty: none */
    size_t items;          /* in it */
    bool is_last;          /* of its snapshot or batch */
    struct backoff backoff;
    uint64_t first_failure_ns; /* of the request at hand; 0: none */
    enum condition condition;
    uint64_t failures_in_row, failing_since_ns;
    /* Under the lock: */
    uint64_t next_ns; /* no attempt before */
    struct exporter_signal_stats stats;
};

/* Spans that wait, a ring. */
struct span_queue {
    const struct span **spans;
    uint64_t *offered_ns;
    size_t first, count;
    uint64_t bytes;
};

struct exporter {
    const struct export_settings *settings;
    struct exporter_ops ops;
    void *userdata;
    pthread_t thread;
    bool has_thread;
    struct way ways[EXPORT_SIGNAL_END];

    pthread_mutex_t lock;
    pthread_cond_t work, idle;
    bool is_stopping, is_working;
    uint64_t flush_until_ns;
    const struct snapshot *pending;
    struct span_queue queue;
    size_t batch_left; /* of the spans under way */
    struct exporter_stats stats;

    /* The sender's own: */
    struct encoder encoder;
    enum export_signal served; /* last */
    const struct snapshot *current;
    struct encode_cursor cursor;
    size_t points_left; /* of the current one, without an answer */
    uint64_t points_rejected;
    bool has_lost; /* some request of it was refused for good */
    const struct span **batch;
    size_t batch_count, batch_done;
    uint64_t random;
};

static const char *const signal_names[EXPORT_SIGNAL_END] = {"metrics", "traces"};

/* ---- small ---------------------------------------------------------------------------------- */

static void lock(struct exporter *exporter)
{
    (void)pthread_mutex_lock(&exporter->lock);
}

static void unlock(struct exporter *exporter)
{
    (void)pthread_mutex_unlock(&exporter->lock);
}

static uint32_t random_next(struct exporter *exporter)
{
    exporter->random ^= exporter->random << 13;
    exporter->random ^= exporter->random >> 7;
    exporter->random ^= exporter->random << 17;
    return (uint32_t)(exporter->random >> 32);
}

static bool is_flushing(const struct exporter *exporter, uint64_t now_ns)
{
    return now_ns < exporter->flush_until_ns;
}

static size_t snapshot_points(const struct snapshot *snapshot)
{
    size_t points = 0;

    for (uint32_t r = 0; r < snapshot->resource_count; r++) {
        for (uint32_t m = 0; m < snapshot->resources[r].metric_count; m++)
            points += snapshot->resources[r].metrics[m].point_count;
    }
    return points;
}

static uint64_t span_bytes(const struct span *span)
{
    uint64_t bytes = sizeof(*span) + strlen(span->name) + strlen(span->tracestate);

    for (size_t i = 0; i < span->attributes->count; i++) {
        const struct attribute *item = &span->attributes->items[i];
        bytes += sizeof(*item) + item->key.length;
        if (item->type == ATTRIBUTE_STRING)
            bytes += item->value.string.length;
    }
    return bytes;
}

/* ---- saying what happened ------------------------------------------------------------------- */

/* Says it when the way's condition changes, and only then. */
static void say(struct exporter *exporter, struct way *way, enum condition condition,
                const struct transport_answer *answer, size_t items)
{
    char message[512];
    const char *name = signal_names[way->signal], *shown = way->endpoint->shown;
    enum exporter_level level = EXPORTER_WARNING;
    uint64_t now_ns = clock_monotonic_ns();
    enum condition before = way->condition;

    if (condition == CONDITION_RETRYING || condition == CONDITION_REFUSED) {
        if (way->failures_in_row++ == 0)
            way->failing_since_ns = now_ns;
    }
    way->condition = condition;
    if (condition == before || !exporter->ops.log) {
        /* nothing new */
    } else if (condition == CONDITION_RETRYING) {
        (void)snprintf(message, sizeof(message), "OTLP %s to %s: %s; trying again", name, shown,
                       answer->reason);
        exporter->ops.log(exporter->userdata, level, message);
    } else if (condition == CONDITION_REFUSED) {
        (void)snprintf(message, sizeof(message), "OTLP %s to %s: %s; %zu items dropped", name,
                       shown, answer->reason, items);
        exporter->ops.log(exporter->userdata, level, message);
    } else if (condition == CONDITION_PARTIAL) {
        (void)snprintf(message, sizeof(message), "OTLP %s to %s: %lld of %zu items rejected: %s",
                       name, shown, (long long)answer->rejected, items, answer->reason);
        exporter->ops.log(exporter->userdata, level, message);
    } else if (way->failures_in_row > 0) {
        (void)snprintf(message, sizeof(message),
                       "OTLP %s to %s arrive again, after %llu failures in %llu s", name, shown,
                       (unsigned long long)way->failures_in_row,
                       (unsigned long long)((now_ns - way->failing_since_ns) / NS_PER_S));
        exporter->ops.log(exporter->userdata, EXPORTER_INFO, message);
    }
    if (condition == CONDITION_FINE || condition == CONDITION_PARTIAL)
        way->failures_in_row = 0;
}

/* ---- one attempt ---------------------------------------------------------------------------- */

enum delivery {
    DELIVERED,
    DELIVERY_AGAIN,
    DELIVERY_LOST,    /* refused for good */
    DELIVERY_EXPIRED, /* tried for too long */
};

static void request_clear(struct way *way)
{
    buffer_clear(&way->request);
    way->items = 0;
    way->first_failure_ns = 0;
}

static uint64_t timeout_now_ms(struct exporter *exporter, const struct way *way)
{
    uint64_t timeout_ms = way->endpoint->timeout_ms, now_ns = clock_monotonic_ns();

    lock(exporter);
    if (is_flushing(exporter, now_ns)) {
        uint64_t left_ms = (exporter->flush_until_ns - now_ns) / NS_PER_MS + 1;
        if (timeout_ms == 0 || left_ms < timeout_ms)
            timeout_ms = left_ms;
    }
    unlock(exporter);
    return timeout_ms;
}

static void arrived(struct way *way, const struct transport_answer *answer)
{
    uint64_t rejected = (uint64_t)answer->rejected;

    way->stats.arrived++;
    way->stats.rejected += rejected;
    way->stats.exported += way->items - rejected;
    way->backoff = (struct backoff){0};
    way->next_ns = 0;
}

/* Puts the next attempt off; DELIVERY_EXPIRED if it would come too late. */
static enum delivery put_off(struct exporter *exporter, struct way *way, uint64_t asked_ms)
{
    const struct retry_opts *retry = &exporter->settings->retry;
    uint64_t now_ns = clock_monotonic_ns();

    if (way->first_failure_ns == 0)
        way->first_failure_ns = now_ns;
    way->next_ns =
        now_ns + NS_PER_MS * backoff_next_ms(&way->backoff, retry, asked_ms, random_next(exporter));
    return way->next_ns - way->first_failure_ns > retry->give_up_ms * NS_PER_MS ? DELIVERY_EXPIRED
                                                                                : DELIVERY_AGAIN;
}

/* Sends the request at hand once. */
static enum delivery deliver(struct exporter *exporter, struct way *way)
{
    struct transport_answer answer;
    enum delivery delivery = DELIVERED;
    enum condition condition = CONDITION_FINE;
    bool is_retry = way->first_failure_ns > 0;

    way->ops->send(way->transport, way->request.bytes, way->request.length,
                   timeout_now_ms(exporter, way), &answer);
    if (answer.outcome == OUTCOME_CANCELLED)
        return DELIVERY_AGAIN; /* the exporter is being freed */
    if (answer.rejected > (int64_t)way->items)
        answer.rejected = (int64_t)way->items;
    lock(exporter);
    way->stats.requests++;
    way->stats.retries += is_retry;
    switch (answer.outcome) {
    case OUTCOME_ARRIVED:
        arrived(way, &answer);
        if (answer.rejected > 0 || answer.reason[0])
            condition = CONDITION_PARTIAL;
        break;
    case OUTCOME_REFUSED:
        way->stats.failures++;
        way->stats.refused += way->items;
        way->backoff = (struct backoff){0};
        way->next_ns = 0;
        condition = CONDITION_REFUSED;
        delivery = DELIVERY_LOST;
        break;
    case OUTCOME_RETRY:
    case OUTCOME_CANCELLED:
        way->stats.failures++;
        condition = CONDITION_RETRYING;
        delivery = put_off(exporter, way, answer.retry_after_ms);
        break;
    }
    if (answer.reason[0])
        (void)snprintf(way->stats.error, sizeof(way->stats.error), "%s", answer.reason);
    unlock(exporter);
    say(exporter, way, condition, &answer, way->items);
    if (way->signal == EXPORT_METRICS && delivery == DELIVERED)
        exporter->points_rejected += (uint64_t)answer.rejected;
    return delivery;
}

/* Memory ran out: the items stay where they are, and are tried again. */
static void wait_for_memory(struct exporter *exporter, struct way *way)
{
    request_clear(way);
    lock(exporter);
    exporter->stats.out_of_memory++;
    (void)put_off(exporter, way, 0);
    way->first_failure_ns = 0;
    unlock(exporter);
}

static struct encode_opts encode_opts_of(const struct exporter *exporter)
{
    return (struct encode_opts){exporter->settings->exponential,
                                exporter->settings->request_bytes_max};
}

/* ---- metrics -------------------------------------------------------------------------------- */

static void current_drop(struct exporter *exporter)
{
    exporter->current = snapshot_unref(exporter->current);
    request_clear(&exporter->ways[EXPORT_METRICS]);
}

/* Under the lock. A snapshot that did not get through yields to a newer one, which contains it. */
static void metrics_take(struct exporter *exporter)
{
    if (!exporter->pending)
        return;
    if (exporter->current) {
        if (exporter->ways[EXPORT_METRICS].first_failure_ns == 0)
            return; /* requests of it are getting through */
        exporter->stats.snapshots_superseded++;
        current_drop(exporter);
    }
    exporter->current = STEAL(exporter->pending);
    exporter->cursor = (struct encode_cursor){0};
    exporter->points_left = snapshot_points(exporter->current);
    exporter->points_rejected = 0;
    exporter->has_lost = false;
}

static void snapshot_done(struct exporter *exporter)
{
    uint64_t generation = exporter->current->generation;

    current_drop(exporter);
    if (exporter->has_lost)
        return;
    lock(exporter);
    exporter->stats.snapshots_acknowledged++;
    exporter->stats.generation_acknowledged = generation;
    unlock(exporter);
    if (exporter->ops.acknowledged)
        exporter->ops.acknowledged(exporter->userdata, generation, exporter->points_rejected);
}

static void metrics_step(struct exporter *exporter)
{
    struct way *way = &exporter->ways[EXPORT_METRICS];
    struct encode_opts opts = encode_opts_of(exporter);

    if (way->items == 0) {
        int r = encode_metrics(&exporter->encoder, exporter->current, &opts, &exporter->cursor,
                               &way->request, &way->items);
        if (r < 0) {
            exporter->cursor = (struct encode_cursor){0};
            exporter->points_left = snapshot_points(exporter->current);
            wait_for_memory(exporter, way);
            return;
        }
        way->is_last = r != ENCODE_E_MORE;
    }
    if (way->items > 0) {
        enum delivery delivery = deliver(exporter, way);
        if (delivery == DELIVERY_AGAIN)
            return;
        if (delivery == DELIVERY_EXPIRED) {
            lock(exporter);
            way->stats.expired += exporter->points_left;
            unlock(exporter);
            current_drop(exporter);
            return;
        }
        exporter->has_lost = exporter->has_lost || delivery == DELIVERY_LOST;
        exporter->points_left -= way->items;
    }
    request_clear(way);
    if (way->is_last)
        snapshot_done(exporter);
}

/* ---- spans ---------------------------------------------------------------------------------- */

/* Under the lock. */
static const struct span *queue_pop(struct span_queue *queue, size_t capacity)
{
    const struct span *span = queue->spans[queue->first];

    queue->first = (queue->first + 1) % capacity;
    queue->count--;
    queue->bytes -= span_bytes(span);
    return span;
}

/* Under the lock. */
static void traces_take(struct exporter *exporter)
{
    if (exporter->batch_done < exporter->batch_count)
        return;
    exporter->batch_done = exporter->batch_count = 0;
    while (exporter->queue.count > 0 && exporter->batch_count < exporter->settings->spans_batch_max)
        exporter->batch[exporter->batch_count++] =
            queue_pop(&exporter->queue, exporter->settings->spans_max);
    exporter->batch_left = exporter->batch_count;
}

static void batch_advance(struct exporter *exporter, size_t count)
{
    for (size_t i = 0; i < count; i++)
        (void)span_unref(exporter->batch[exporter->batch_done++]);
    lock(exporter);
    exporter->batch_left -= count;
    unlock(exporter);
}

static void traces_step(struct exporter *exporter)
{
    struct way *way = &exporter->ways[EXPORT_TRACES];
    struct encode_opts opts = encode_opts_of(exporter);

    if (way->items == 0 && encode_spans(&exporter->encoder, exporter->batch + exporter->batch_done,
                                        exporter->batch_count - exporter->batch_done, &opts,
                                        &way->request, &way->items) < 0) {
        wait_for_memory(exporter, way);
        return;
    }
    enum delivery delivery = deliver(exporter, way);
    if (delivery == DELIVERY_AGAIN)
        return;
    if (delivery == DELIVERY_EXPIRED) {
        lock(exporter);
        way->stats.expired += way->items;
        unlock(exporter);
    }
    batch_advance(exporter, way->items);
    request_clear(way);
}

/* ---- the sender ----------------------------------------------------------------------------- */

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Under the lock: when the next attempt of @signal is due; UINT64_MAX: there is nothing to send. */
static uint64_t due_ns(const struct exporter *exporter, enum export_signal signal, uint64_t now_ns)
{
    const struct export_settings *settings = exporter->settings;
    const struct way *way = &exporter->ways[signal];
    const struct span_queue *queue = &exporter->queue;

    if (!way->transport)
        return UINT64_MAX;
    if (signal == EXPORT_METRICS)
        return exporter->current || exporter->pending ? way->next_ns : UINT64_MAX;
    if (exporter->batch_left > 0)
        return way->next_ns;
    if (queue->count == 0)
        return UINT64_MAX;
    if (queue->count >= settings->spans_batch_max || is_flushing(exporter, now_ns))
        return way->next_ns;
    return later(way->next_ns,
                 queue->offered_ns[queue->first] + settings->spans_delay_ms * NS_PER_MS);
}

/* Under the lock: waits until @until_ns, or to be woken. */
static void wait_until(struct exporter *exporter, pthread_cond_t *condition, uint64_t until_ns)
{
    struct timespec until = {(time_t)(until_ns / NS_PER_S), (long)(until_ns % NS_PER_S)};

    if (until_ns == UINT64_MAX)
        (void)pthread_cond_wait(condition, &exporter->lock);
    else
        (void)pthread_cond_timedwait(condition, &exporter->lock, &until);
}

/* Under the lock, which is given up meanwhile. */
static void serve(struct exporter *exporter, enum export_signal signal)
{
    exporter->served = signal;
    exporter->is_working = true;
    if (signal == EXPORT_METRICS)
        metrics_take(exporter);
    else
        traces_take(exporter);
    unlock(exporter);
    if (signal == EXPORT_METRICS)
        metrics_step(exporter);
    else
        traces_step(exporter);
    lock(exporter);
    exporter->is_working = false;
}

static void *sender_run(void *userdata)
{
    struct exporter *exporter = userdata;

    (void)pthread_setname_np(pthread_self(), "weir-otlp");
    lock(exporter);
    while (!exporter->is_stopping) {
        uint64_t now_ns = clock_monotonic_ns();
        /* In turns, so that neither signal waits for the other's backlog. */
        enum export_signal other =
            exporter->served == EXPORT_METRICS ? EXPORT_TRACES : EXPORT_METRICS;
        uint64_t other_due = due_ns(exporter, other, now_ns);
        uint64_t same_due = due_ns(exporter, exporter->served, now_ns);
        if (other_due <= now_ns) {
            serve(exporter, other);
        } else if (same_due <= now_ns) {
            serve(exporter, exporter->served);
        } else {
            (void)pthread_cond_broadcast(&exporter->idle);
            wait_until(exporter, &exporter->work, other_due < same_due ? other_due : same_due);
        }
    }
    unlock(exporter);
    return NULL;
}

/* ---- from outside --------------------------------------------------------------------------- */

static int ways_open(struct exporter *exporter, char *error, size_t error_size)
{
    for (size_t i = 0; i < EXPORT_SIGNAL_END; i++) {
        struct way *way = &exporter->ways[i];
        way->endpoint = &exporter->settings->endpoints[i];
        way->signal = (enum export_signal)i;
        way->ops = way->endpoint->protocol == EXPORT_GRPC ? &transport_grpc : &transport_http;
        buffer_init(&way->request, ENCODE_REQUEST_MAX);
        if (!way->endpoint->is_enabled)
            continue;
        int r = way->ops->open(way->endpoint, way->signal, &way->transport, error, error_size);
        if (r != 0)
            return r;
    }
    return 0;
}

static int queue_make(struct exporter *exporter)
{
    const struct export_settings *settings = exporter->settings;

    if (!exporter->ways[EXPORT_TRACES].transport)
        return 0;
    exporter->queue.spans = calloc(settings->spans_max, sizeof(*exporter->queue.spans));
    exporter->queue.offered_ns = calloc(settings->spans_max, sizeof(*exporter->queue.offered_ns));
    exporter->batch = calloc(settings->spans_batch_max, sizeof(*exporter->batch));
    return exporter->queue.spans && exporter->queue.offered_ns && exporter->batch ? 0 : -ENOMEM;
}

static int condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;

    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    int r = pthread_cond_init(condition, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return -r;
}

int exporter_new(const struct export_settings *settings, const struct exporter_ops *ops,
                 void *userdata, struct exporter **ret, char *error, size_t error_size)
{
    struct exporter *CLEANUP(exporter_freep) exporter = calloc(1, sizeof(*exporter));
    sigset_t all, before;

    if (!exporter)
        return -ENOMEM;
    exporter->settings = settings;
    exporter->ops = *ops;
    exporter->userdata = userdata;
    exporter->served = EXPORT_TRACES;
    (void)pthread_mutex_init(&exporter->lock, NULL); /* cannot fail for a default one */
    if (condition_init(&exporter->work) < 0 || condition_init(&exporter->idle) < 0)
        return -ENOMEM;
    if (getrandom(&exporter->random, sizeof(exporter->random), GRND_NONBLOCK) < 0)
        exporter->random = clock_realtime_ns();
    exporter->random |= 1;
    /* The agent's signals are the loop's, not this thread's nor those that a library starts. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    int r = ways_open(exporter, error, error_size);
    if (r == 0)
        r = queue_make(exporter);
    if (r == 0)
        r = -pthread_create(&exporter->thread, NULL, sender_run, exporter);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r != 0)
        return r;
    exporter->has_thread = true;
    *ret = STEAL(exporter);
    return 0;
}

static void thread_stop(struct exporter *exporter)
{
    lock(exporter);
    exporter->is_stopping = true;
    (void)pthread_cond_broadcast(&exporter->work);
    unlock(exporter);
    for (size_t i = 0; i < EXPORT_SIGNAL_END; i++) {
        if (exporter->ways[i].transport)
            exporter->ways[i].ops->cancel(exporter->ways[i].transport);
    }
    (void)pthread_join(exporter->thread, NULL);
}

struct exporter *exporter_free(struct exporter *exporter)
{
    if (!exporter)
        return NULL;
    if (exporter->has_thread)
        thread_stop(exporter);
    for (size_t i = 0; i < EXPORT_SIGNAL_END; i++) {
        struct way *way = &exporter->ways[i];
        if (way->transport)
            way->ops->close(way->transport);
        buffer_deinit(&way->request);
    }
    (void)snapshot_unref(exporter->pending);
    (void)snapshot_unref(exporter->current);
    while (exporter->batch_done < exporter->batch_count)
        (void)span_unref(exporter->batch[exporter->batch_done++]);
    while (exporter->queue.count > 0)
        (void)span_unref(queue_pop(&exporter->queue, exporter->settings->spans_max));
    free(exporter->queue.spans);
    free(exporter->queue.offered_ns);
    free(exporter->batch);
    encoder_deinit(&exporter->encoder);
    (void)pthread_cond_destroy(&exporter->work);
    (void)pthread_cond_destroy(&exporter->idle);
    (void)pthread_mutex_destroy(&exporter->lock);
    free(exporter);
    return NULL;
}

void exporter_offer_snapshot(struct exporter *exporter, const struct snapshot *snapshot)
{
    const struct snapshot *superseded;

    if (!exporter->ways[EXPORT_METRICS].transport)
        return;
    lock(exporter);
    superseded = exporter->pending;
    exporter->pending = snapshot_ref(snapshot);
    exporter->stats.snapshots_offered++;
    exporter->stats.snapshots_superseded += superseded != NULL;
    (void)pthread_cond_signal(&exporter->work);
    unlock(exporter);
    (void)snapshot_unref(superseded);
}

void exporter_offer_spans(struct exporter *exporter, const struct span *const *spans, size_t count)
{
    const struct export_settings *settings = exporter->settings;
    struct span_queue *queue = &exporter->queue;
    uint64_t now_ns = clock_monotonic_ns();

    if (!exporter->ways[EXPORT_TRACES].transport || count == 0)
        return;
    lock(exporter);
    exporter->stats.spans_offered += count;
    for (size_t i = 0; i < count; i++) {
        if (queue->count + exporter->batch_left >= settings->spans_max) {
            exporter->stats.spans_queue_full += count - i;
            break;
        }
        size_t at = (queue->first + queue->count) % settings->spans_max;
        queue->spans[at] = span_ref(spans[i]);
        queue->offered_ns[at] = now_ns;
        queue->bytes += span_bytes(spans[i]);
        queue->count++;
        while (queue->bytes > settings->span_bytes_max && queue->count > 1) {
            (void)span_unref(queue_pop(queue, settings->spans_max));
            exporter->stats.spans_queue_bytes++;
        }
    }
    (void)pthread_cond_signal(&exporter->work);
    unlock(exporter);
}

/* Under the lock. */
static bool has_work(const struct exporter *exporter)
{
    return exporter->is_working || exporter->current || exporter->pending ||
           exporter->queue.count > 0 || exporter->batch_left > 0;
}

int exporter_flush(struct exporter *exporter, uint64_t timeout_ms)
{
    uint64_t until_ns = clock_monotonic_ns() + timeout_ms * NS_PER_MS;
    bool is_done;

    lock(exporter);
    exporter->flush_until_ns = until_ns;
    for (size_t i = 0; i < EXPORT_SIGNAL_END; i++)
        exporter->ways[i].next_ns = 0;
    (void)pthread_cond_broadcast(&exporter->work);
    while (has_work(exporter) && clock_monotonic_ns() < until_ns)
        wait_until(exporter, &exporter->idle, until_ns);
    is_done = !has_work(exporter);
    exporter->flush_until_ns = 0;
    unlock(exporter);
    return is_done ? 0 : -ETIMEDOUT;
}

void exporter_stats(struct exporter *exporter, struct exporter_stats *ret)
{
    lock(exporter);
    *ret = exporter->stats;
    for (size_t i = 0; i < EXPORT_SIGNAL_END; i++)
        ret->signals[i] = exporter->ways[i].stats;
    ret->spans_waiting = exporter->queue.count + exporter->batch_left;
    unlock(exporter);
}
