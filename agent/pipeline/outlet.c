#include "agent/pipeline/outlet.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "agent/export/exporter.h"
#include "agent/export/settings.h"

struct outlet {
    struct export_settings *settings;
    struct exporter *exporter;
    outlet_arrived_fn arrived;
    void *userdata;
    uv_async_t async;
    _Atomic uint64_t generation; /* of the newest snapshot that arrived: the sender's word */
    uint64_t generation_told;
    /* Spans that no committed checkpoint covers; the first @frozen belong to the one under way. */
    const struct span **spans;
    size_t span_count, span_capacity, frozen;
    uint64_t spans_dropped; /* for want of room */
};

static const char *process_getenv(const char *name)
{
    return getenv(name);
}

static void on_note(void *userdata, const char *message)
{
    (void)userdata;
    log_line(LOG_LEVEL_WARNING, "%s", message);
}

static void on_quiet_note(void *userdata, const char *message)
{
    (void)userdata;
    (void)message;
}

static int settings_load(const struct config *config, export_note_fn note,
                         struct export_settings **ret, char *error, size_t error_size)
{
    const struct export_opts opts = {
        .endpoint = config->otlp_endpoint,
        .protocol = config->otlp_protocol,
        .spans_max = config->limits.spans,
        .span_bytes_max = config->limits.pending_bytes,
        .getenv_fn = process_getenv,
        .note = note,
    };
    int r = export_settings_load(&opts, ret, error, error_size);

    return r == EXPORT_E_WRONG ? OUTLET_E_WRONG : r;
}

int outlet_check(const struct config *config, char *error, size_t error_size)
{
    struct export_settings *CLEANUP(export_settings_freep) settings = NULL;

    return settings_load(config, on_quiet_note, &settings, error, error_size);
}

/* ---- the sender's side ------------------------------------------------------------------------
 */

static void on_acknowledged(void *userdata, uint64_t generation, uint64_t rejected)
{
    struct outlet *outlet = userdata;

    (void)rejected; /* points: the exporter counts them; they were there all the same */
    atomic_store_explicit(&outlet->generation, generation, memory_order_release);
    (void)uv_async_send(&outlet->async); /* fails only once it is closed */
}

static void on_log(void *userdata, enum exporter_level level, const char *message)
{
    (void)userdata;
    log_line(level == EXPORTER_WARNING ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "%s", message);
}

/* ---- the loop's side --------------------------------------------------------------------------
 */

static void tell(struct outlet *outlet)
{
    uint64_t generation = atomic_load_explicit(&outlet->generation, memory_order_acquire);

    if (generation == outlet->generation_told)
        return;
    outlet->generation_told = generation;
    outlet->arrived(outlet->userdata, generation);
}

static void on_async(uv_async_t *async)
{
    tell(async->data);
}

static void outlet_free(struct outlet *outlet)
{
    for (size_t i = 0; i < outlet->span_count; i++)
        (void)span_unref(outlet->spans[i]);
    free(outlet->spans);
    (void)export_settings_free(outlet->settings);
    free(outlet);
}

static void on_async_closed(uv_handle_t *handle)
{
    outlet_free(handle->data);
}

int outlet_new(uv_loop_t *loop, const struct config *config, outlet_arrived_fn arrived,
               void *userdata, struct outlet **ret, char *error, size_t error_size)
{
    const struct exporter_ops ops = {.acknowledged = on_acknowledged, .log = on_log};
    struct export_settings *CLEANUP(export_settings_freep) settings = NULL;
    struct outlet *outlet;
    int r = settings_load(config, on_note, &settings, error, error_size);

    *ret = NULL;
    if (r != 0 || !export_settings_any(settings))
        return r;
    outlet = calloc(1, sizeof(*outlet));
    if (!outlet)
        return -ENOMEM;
    outlet->settings = STEAL(settings);
    outlet->arrived = arrived;
    outlet->userdata = userdata;
    outlet->span_capacity = outlet->settings->spans_max;
    outlet->spans = calloc(outlet->span_capacity, sizeof(*outlet->spans));
    r = outlet->spans ? uv_async_init(loop, &outlet->async, on_async) : -ENOMEM;
    if (r < 0) {
        outlet_free(outlet);
        return r;
    }
    outlet->async.data = outlet;
    r = exporter_new(outlet->settings, &ops, outlet, &outlet->exporter, error, error_size);
    if (r != 0) {
        (void)outlet_close(outlet);
        return r == EXPORT_E_WRONG ? OUTLET_E_WRONG : r;
    }
    *ret = outlet;
    return 0;
}

struct outlet *outlet_close(struct outlet *outlet)
{
    if (!outlet)
        return NULL;
    outlet->exporter = exporter_free(outlet->exporter);
    uv_close((uv_handle_t *)&outlet->async, on_async_closed);
    return NULL;
}

uint32_t outlet_interval_ms(const struct outlet *outlet)
{
    return outlet && outlet->settings->endpoints[EXPORT_METRICS].is_enabled
               ? outlet->settings->interval_ms
               : 0;
}

bool outlet_takes_spans(const struct outlet *outlet)
{
    return outlet && outlet->settings->endpoints[EXPORT_TRACES].is_enabled;
}

void outlet_add_span(struct outlet *outlet, const struct span *span)
{
    if (!outlet || outlet->span_count == outlet->span_capacity) {
        if (outlet)
            outlet->spans_dropped++;
        (void)span_unref(span);
        return;
    }
    outlet->spans[outlet->span_count++] = span;
}

void outlet_freeze(struct outlet *outlet)
{
    if (outlet)
        outlet->frozen = outlet->span_count;
}

void outlet_commit(struct outlet *outlet, const struct snapshot *snapshot)
{
    if (!outlet)
        return;
    if (snapshot)
        exporter_offer_snapshot(outlet->exporter, snapshot);
    if (!outlet->frozen)
        return;
    exporter_offer_spans(outlet->exporter, outlet->spans, outlet->frozen);
    for (size_t i = 0; i < outlet->frozen; i++)
        (void)span_unref(outlet->spans[i]);
    outlet->span_count -= outlet->frozen;
    memmove(outlet->spans, outlet->spans + outlet->frozen,
            outlet->span_count * sizeof(*outlet->spans));
    outlet->frozen = 0;
}

void outlet_commit_failed(struct outlet *outlet)
{
    if (outlet)
        outlet->frozen = 0;
}

int outlet_flush(struct outlet *outlet, uint64_t timeout_ms)
{
    int r;

    if (!outlet)
        return 0;
    r = exporter_flush(outlet->exporter, timeout_ms);
    tell(outlet);
    return r;
}

void outlet_facts(const struct outlet *outlet, struct self_facts *facts)
{
    static const char *const names[EXPORT_SIGNAL_END] = {
        [EXPORT_METRICS] = "metrics",
        [EXPORT_TRACES] = "traces",
    };
    struct exporter_stats stats;

    if (!outlet)
        return;
    exporter_stats(outlet->exporter, &stats);
    for (size_t i = 0; i < EXPORT_SIGNAL_END; i++) {
        const struct exporter_signal_stats *signal = &stats.signals[i];
        if (!outlet->settings->endpoints[i].is_enabled)
            continue;
        self_counts_add(&facts->exports, names[i], "success", signal->arrived);
        self_counts_add(&facts->exports, names[i], "failure", signal->failures);
        self_counts_add(&facts->exports, names[i], "retry", signal->retries);
    }
    if (!outlet_takes_spans(outlet))
        return;
    self_counts_add(&facts->spans, "exported", NULL, stats.signals[EXPORT_TRACES].exported);
    self_counts_add(&facts->spans, "rejected", NULL, stats.signals[EXPORT_TRACES].rejected);
    self_counts_add(&facts->spans, "refused", NULL, stats.signals[EXPORT_TRACES].refused);
    self_counts_add(&facts->spans, "expired", NULL, stats.signals[EXPORT_TRACES].expired);
    self_counts_add(&facts->spans, "queue_full", NULL,
                    stats.spans_queue_full + stats.spans_queue_bytes + outlet->spans_dropped);
}
