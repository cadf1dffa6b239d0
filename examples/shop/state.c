#include "state.h"

#include "http_request.h"
#include "journal.h"
#include "shop.h"

void state_health(struct http_request *request)
{
    http_answer(request, MHD_HTTP_OK, json_pack("{s:s}", "status", "ok"));
}

void state_readiness(struct http_request *request)
{
    char reason[320];

    shop_readiness(request->shop, reason, sizeof(reason));
    if (*reason)
        http_answer(request, MHD_HTTP_SERVICE_UNAVAILABLE,
                    json_pack("{s:s, s:o}", "status", "not ready", "reason", journal_text(reason)));
    else
        http_answer(request, MHD_HTTP_OK, json_pack("{s:s}", "status", "ready"));
}

static json_t *stats_json(struct weir_pool *pool)
{
    struct weir_pool_stats stats;
    json_t *json = json_object();

    weir_pool_stats_get(pool, &stats, sizeof(stats));
    const struct {
        const char *name;
        uint64_t value;
    } fields[] = {
        {"used", stats.used},
        {"idle", stats.idle},
        {"connecting", stats.connecting},
        {"waiting", stats.waiting},
        {"acquired", stats.acquired},
        {"timeouts", stats.timeouts},
        {"refused", stats.refused},
        {"shed", stats.shed},
        {"cancelled", stats.cancelled},
        {"failed", stats.failed},
        {"connected", stats.connected},
        {"connect_failures", stats.connect_failures},
        {"closed", stats.closed},
        {"validations_failed", stats.validations_failed},
        {"rolled_back", stats.rolled_back},
        {"leaked", stats.leaked},
        {"misused", stats.misused},
        {"reset", stats.reset},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        (void)json_object_set_new(json, fields[i].name, json_integer((json_int_t)fields[i].value));
    return json;
}

static json_t *advice_json(struct weir_pool *pool)
{
    struct weir_pool_advice advice;

    if (weir_pool_advice(pool, &advice, sizeof(advice)))
        return json_null();
    return json_pack("{s:i, s:i, s:f, s:f, s:f, s:I, s:i, s:o}", "connections_max",
                     advice.connections_max, "connections_min", advice.connections_min,
                     "confidence", advice.confidence, "arrivals_per_second",
                     advice.arrivals_per_second, "hold_mean_seconds", advice.hold_mean_seconds,
                     "acquires", (json_int_t)advice.acquires, "server_connections_max",
                     advice.server_connections_max, "text", journal_text(advice.text));
}

static json_t *pool_json(struct weir_pool *pool)
{
    struct weir_pool_opts opts;

    weir_pool_opts_get(pool, &opts, sizeof(opts));
    return json_pack("{s:s, s:i, s:i, s:o, s:o}", "name", weir_pool_name(pool), "connections_min",
                     opts.connections_min, "connections_max", opts.connections_max, "stats",
                     stats_json(pool), "advice", advice_json(pool));
}

void state_pools(struct http_request *request)
{
    http_answer(
        request, MHD_HTTP_OK,
        json_pack("[o, o]", pool_json(request->shop->orders), pool_json(request->shop->reports)));
}
