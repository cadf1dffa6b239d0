#include "route.h"

#include <string.h>

#include "arguments.h"
#include "drill.h"
#include "http_request.h"
#include "order.h"
#include "product.h"
#include "report.h"
#include "shop.h"
#include "state.h"

static const struct route routes[] = {
    {"GET", "/tenants/{tenant}/products", "products.list", product_list, .is_at_once = false},
    {"GET", "/tenants/{tenant}/products/{sku}", "products.show", product_show, .is_at_once = false},
    {"POST", "/tenants/{tenant}/import", "products.import", product_import, .is_at_once = false},
    {"GET", "/tenants/{tenant}/export", "products.export", product_export, .is_at_once = false},
    {"POST", "/tenants/{tenant}/orders", "orders.place", order_place, .is_at_once = false},
    {"GET", "/tenants/{tenant}/orders", "orders.list", order_list, .is_at_once = false},
    {"GET", "/reports/daily", "reports.daily", report_daily, .is_at_once = false},
    {"GET", "/healthz", "healthz", state_health, .is_at_once = true},
    {"GET", "/readyz", "readyz", state_readiness, .is_at_once = true},
    {"GET", "/pools", "pools", state_pools, .is_at_once = true},
    {"POST", "/drill/leak", "drill.leak", drill_leak, .is_drill = true},
    {"POST", "/drill/heal", "drill.heal", drill_heal, .is_drill = true},
    {"POST", "/drill/idle-in-transaction", "drill.idle_in_transaction", drill_idle_in_transaction,
     .is_drill = true},
    {"POST", "/drill/slow", "drill.slow", drill_slow, .is_drill = true},
    {"POST", "/drill/n-plus-one", "drill.n_plus_one", drill_n_plus_one, .is_drill = true},
    {"POST", "/drill/hog", "drill.hog", drill_hog, .is_drill = true},
    {"POST", "/drill/lock", "drill.lock", drill_lock, .is_drill = true},
};

/* The length of @path's first segment, its slash left out. */
static size_t segment_length(const char *path)
{
    return strcspn(path, "/");
}

/* Copies a segment into @room, "" if it has no place there. */
static void segment_copy(const char *segment, size_t length, char *room, size_t size)
{
    *room = 0;
    if (length >= size)
        return;
    memcpy(room, segment, length);
    room[length] = 0;
}

static bool segment_fits(struct http_request *request, const char *wanted, size_t wanted_length,
                         const char *segment, size_t length)
{
    if (wanted_length == strlen("{tenant}") && memcmp(wanted, "{tenant}", wanted_length) == 0) {
        segment_copy(segment, length, request->tenant, sizeof(request->tenant));
        return tenant_is_valid(request->tenant);
    }
    if (wanted_length == strlen("{sku}") && memcmp(wanted, "{sku}", wanted_length) == 0) {
        segment_copy(segment, length, request->sku, sizeof(request->sku));
        return sku_is_valid(request->sku);
    }
    return wanted_length == length && memcmp(wanted, segment, length) == 0;
}

static bool path_fits(struct http_request *request, const char *wanted, const char *path)
{
    request->tenant[0] = request->sku[0] = 0;
    while (*wanted == '/' && *path == '/') {
        size_t wanted_length = segment_length(++wanted), length = segment_length(++path);
        if (!segment_fits(request, wanted, wanted_length, path, length))
            return false;
        wanted += wanted_length;
        path += length;
    }
    return !*wanted && !*path;
}

void route_find(struct http_request *request, const char *method, const char *path)
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;

    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if ((routes[i].is_drill && !request->shop->arguments->has_drill) ||
            !path_fits(request, routes[i].path, path))
            continue;
        if (strcmp(routes[i].method, wanted) == 0) {
            request->route = &routes[i];
            return;
        }
        /* No path has more than two methods, and none of those with two is left unserved but by
         * a third: what is told is enough. */
        request->allow = request->allow ? "GET, HEAD, POST" : routes[i].method;
    }
    if (request->allow)
        http_refuse(request, MHD_HTTP_METHOD_NOT_ALLOWED, "method", "it is served by %s",
                    request->allow);
    else
        http_refuse(request, MHD_HTTP_NOT_FOUND, "not_found", "there is no such thing here");
}
