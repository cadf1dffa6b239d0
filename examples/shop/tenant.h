/* Taking a connection for a tenant: the pool counts it as the tenant's, the trace goes on in it,
 * and row-level security shows the tenant's rows alone until it is released. */
#pragma once

#include <weir/pool.h>

struct http_request;

struct tenant_acquire {
    struct weir_acquire_opts opts;
    struct weir_setting setting;
};

/* What to say at an acquire for @request's tenant; *@acquire must stay where it is. */
const struct weir_acquire_opts *tenant_acquire_opts(const struct http_request *request,
                                                    struct tenant_acquire *acquire);
int tenant_acquire(const struct http_request *request, struct weir_connection **ret_connection,
                   struct weir_error **ret_error);
