#include "route.h"

#include <stdbool.h>
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
    {"GET", "/tenants/{tenant}/products", "products.list", product_list, ROUTE_WORK},
    {"GET", "/tenants/{tenant}/products/{sku}", "products.show", product_show, ROUTE_WORK},
    {"POST", "/tenants/{tenant}/import", "products.import", product_import, ROUTE_WORK},
    {"GET", "/tenants/{tenant}/export", "products.export", product_export, ROUTE_WORK},
    {"POST", "/tenants/{tenant}/orders", "orders.place", order_place, ROUTE_WORK},
    {"GET", "/tenants/{tenant}/orders", "orders.list", order_list, ROUTE_WORK},
    {"GET", "/reports/daily", "reports.daily", report_daily, ROUTE_WORK},
    {"GET", "/healthz", "healthz", state_health, ROUTE_AT_ONCE},
    {"GET", "/readyz", "readyz", state_readiness, ROUTE_AT_ONCE},
    {"GET", "/pools", "pools", state_pools, ROUTE_AT_ONCE},
    {"POST", "/drill/leak", "drill.leak", drill_leak, ROUTE_DRILL},
    {"POST", "/drill/heal", "drill.heal", drill_heal, ROUTE_DRILL},
    {"POST", "/drill/idle-in-transaction", "drill.idle_in_transaction", drill_idle_in_transaction,
     ROUTE_DRILL},
    {"POST", "/drill/slow", "drill.slow", drill_slow, ROUTE_DRILL},
    {"POST", "/drill/n-plus-one", "drill.n_plus_one", drill_n_plus_one, ROUTE_DRILL},
    {"POST", "/drill/hog", "drill.hog", drill_hog, ROUTE_DRILL},
    {"POST", "/drill/lock", "drill.lock", drill_lock, ROUTE_DRILL},
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
    static const char *const allowed[] = {NULL, "GET, HEAD", "POST", "GET, HEAD, POST"};
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    unsigned methods = 0;

    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if ((routes[i].kind == ROUTE_DRILL && !request->shop->arguments->has_drill) ||
            !path_fits(request, routes[i].path, path))
            continue;
        if (strcmp(routes[i].method, wanted) == 0) {
            request->route = &routes[i];
            return;
        }
        methods |= strcmp(routes[i].method, "GET") == 0 ? 1 : 2;
    }
    request->allow = allowed[methods];
    if (methods)
        http_refuse(request, MHD_HTTP_METHOD_NOT_ALLOWED, "method", "it is served by %s",
                    request->allow);
    else
        http_refuse(request, MHD_HTTP_NOT_FOUND, "not_found", "there is no such thing here");
}
