#include "tenant.h"

#include "http_request.h"
#include "route.h"
#include "shop.h"

const struct weir_acquire_opts *tenant_acquire_opts(const struct http_request *request,
                                                    struct tenant_acquire *acquire)
{
    acquire->setting = (struct weir_setting){"app.tenant", request->tenant};
    acquire->opts = (struct weir_acquire_opts){
        .size = sizeof(acquire->opts),
        .tenant = request->tenant,
        .traceparent = request->traceparent,
        .tracestate = request->tracestate,
        .call_site = request->route->name,
        .settings = &acquire->setting,
        .settings_count = 1,
    };
    return &acquire->opts;
}

int tenant_acquire(const struct http_request *request, struct weir_connection **ret_connection,
                   struct weir_error **ret_error)
{
    struct tenant_acquire acquire;

    return weir_pool_acquire(request->shop->orders, tenant_acquire_opts(request, &acquire),
                             ret_connection, ret_error);
}
