#include "drill.h"

#include <string.h>
#include <weir/transaction.h>

#include "http_request.h"
#include "owned.h"
#include "shop.h"
#include "tenant.h"

enum { CONNECTIONS_MAX = 64, PAUSE_MAX_MS = 10 * 60 * 1000, ORDERS_MAX = 500 };

/* Under the shop's mutex. */
struct leaks {
    size_t count;
    struct weir_connection *connections[CONNECTIONS_MAX];
};

/* The tenant whose trouble it is: ?tenant=, or acme. On false the answer is made. */
static bool drill_tenant(struct http_request *request)
{
    const char *tenant = http_request_query(request, "tenant");

    if (!tenant)
        tenant = "acme";
    if (!tenant_is_valid(tenant)) {
        http_refuse(request, MHD_HTTP_BAD_REQUEST, "bad_parameter", "tenant is no tenant's name");
        return false;
    }
    (void)snprintf(request->tenant, sizeof(request->tenant), "%s", tenant);
    return true;
}

static bool drill_pause(struct http_request *request, int *ret_ms)
{
    return drill_tenant(request) &&
           http_request_number(request, "ms", 0, PAUSE_MAX_MS, 5000, ret_ms);
}

static void drill_answer(struct http_request *request, const char *word, json_int_t number)
{
    http_answer(request, MHD_HTTP_OK, json_pack("{s:I}", word, number));
}

/* ---- leaks ----------------------------------------------------------------------------------- */

static bool leak_keep(struct shop *shop, struct weir_connection *connection)
{
    bool is_kept;

    (void)pthread_mutex_lock(&shop->mutex);
    if (!shop->leaks)
        shop->leaks = calloc(1, sizeof(*shop->leaks));
    is_kept = shop->leaks && shop->leaks->count < CONNECTIONS_MAX;
    if (is_kept)
        shop->leaks->connections[shop->leaks->count++] = connection;
    (void)pthread_mutex_unlock(&shop->mutex);
    return is_kept;
}

static struct weir_connection *leak_take(struct shop *shop)
{
    struct weir_connection *connection = NULL;

    (void)pthread_mutex_lock(&shop->mutex);
    if (shop->leaks && shop->leaks->count > 0)
        connection = shop->leaks->connections[--shop->leaks->count];
    (void)pthread_mutex_unlock(&shop->mutex);
    return connection;
}

void drill_leak(struct http_request *request)
{
    int count, leaked = 0;

    if (!drill_tenant(request) ||
        !http_request_number(request, "count", 1, CONNECTIONS_MAX, 1, &count))
        return;
    for (; leaked < count; leaked++) {
        OWNED(owned_error) struct weir_error *error = NULL;
        OWNED(owned_connection) struct weir_connection *connection = NULL;
        if (tenant_acquire(request, &connection, &error) ||
            weir_execute(connection, "SELECT count(*) FROM product", NULL, NULL, &error)) {
            http_fail(request, error);
            return;
        }
        if (!leak_keep(request->shop, connection))
            break;
        connection = NULL;
    }
    drill_answer(request, "leaked", leaked);
}

void drill_heal(struct http_request *request)
{
    struct weir_connection *connection;
    json_int_t count = 0;

    while ((connection = leak_take(request->shop))) {
        (void)weir_connection_release(connection); /* misuse is told to the log */
        count++;
    }
    drill_answer(request, "released", count);
}

void drill_forget(struct shop *shop)
{
    struct weir_connection *connection;

    while ((connection = leak_take(shop)))
        (void)weir_connection_release(connection); /* the manager may have closed it */
    free(shop->leaks);
    shop->leaks = NULL;
}

/* ---- transactions that wait for nothing --------------------------------------------------------
 */

struct pause {
    struct shop *shop;
    const char *sql, *value;
    int ms;
};

/* A weir_transaction_fn: does something small, and then nothing for long. */
static int pause_work(void *userdata, struct weir_connection *connection,
                      struct weir_error **ret_error)
{
    struct pause *pause = userdata;
    struct weir_statement_opts opts = {
        .size = sizeof(opts), .count = pause->value ? 1 : 0, .values = &pause->value};
    int r = weir_execute(connection, pause->sql, &opts, NULL, ret_error);

    if (!r)
        shop_pause(pause->shop, pause->ms);
    return r;
}

static void pause_run(struct http_request *request, struct pause *pause)
{
    OWNED(owned_error) struct weir_error *error = NULL;
    struct tenant_acquire acquire;

    if (weir_transaction_run(request->shop->orders, tenant_acquire_opts(request, &acquire), NULL,
                             pause_work, pause, &error))
        http_fail(request, error);
    else
        drill_answer(request, "held_ms", pause->ms);
}

void drill_idle_in_transaction(struct http_request *request)
{
    struct pause pause = {.shop = request->shop, .sql = "SELECT count(*) FROM product"};

    if (drill_pause(request, &pause.ms))
        pause_run(request, &pause);
}

void drill_lock(struct http_request *request)
{
    const char *sku = http_request_query(request, "sku");
    struct pause pause = {.shop = request->shop,
                          .sql = "UPDATE product SET stock = stock WHERE sku = $1",
                          .value = sku ? sku : "A-1"};

    if (drill_pause(request, &pause.ms))
        pause_run(request, &pause);
}

/* ---- too much work --------------------------------------------------------------------------- */

/* On false the answer is made. */
static bool drill_execute(struct http_request *request, struct weir_connection *connection,
                          const char *sql, const char *value, PGresult **ret_result)
{
    OWNED(owned_error) struct weir_error *error = NULL;
    struct weir_statement_opts opts = {
        .size = sizeof(opts), .is_prepared = 1, .count = 1, .values = &value};

    if (weir_execute(connection, sql, &opts, ret_result, &error) == 0)
        return true;
    http_fail(request, error);
    return false;
}

static bool drill_acquire(struct http_request *request, struct weir_connection **ret_connection)
{
    OWNED(owned_error) struct weir_error *error = NULL;

    if (!drill_tenant(request))
        return false;
    if (tenant_acquire(request, ret_connection, &error) == 0)
        return true;
    http_fail(request, error);
    return false;
}

void drill_slow(struct http_request *request)
{
    /* order_line has an index by purchase and none by product. */
    static const char sql[] = "SELECT count(*), sum(quantity) FROM order_line WHERE sku = $1";
    OWNED(owned_connection) struct weir_connection *connection = NULL;
    OWNED(owned_result) PGresult *result = NULL;

    if (drill_acquire(request, &connection) &&
        drill_execute(request, connection, sql, "A-1", &result))
        drill_answer(request, "lines", strtol(PQgetvalue(result, 0, 0), NULL, 10));
}

void drill_n_plus_one(struct http_request *request)
{
    static const char list_sql[] = "SELECT id FROM purchase ORDER BY id DESC LIMIT $1::int";
    static const char lines_sql[] = "SELECT sku, quantity FROM order_line WHERE purchase_id = $1";
    OWNED(owned_connection) struct weir_connection *connection = NULL;
    OWNED(owned_result) PGresult *purchases = NULL;
    char limit[16];
    int orders;

    if (!http_request_number(request, "orders", 1, ORDERS_MAX, 100, &orders) ||
        !drill_acquire(request, &connection))
        return;
    (void)snprintf(limit, sizeof(limit), "%d", orders);
    if (!drill_execute(request, connection, list_sql, limit, &purchases))
        return;
    for (int i = 0; i < PQntuples(purchases); i++) {
        OWNED(owned_result) PGresult *lines = NULL;
        if (!drill_execute(request, connection, lines_sql, PQgetvalue(purchases, i, 0), &lines))
            return;
    }
    drill_answer(request, "queries", 1 + PQntuples(purchases));
}

void drill_hog(struct http_request *request)
{
    struct weir_connection *held[CONNECTIONS_MAX];
    OWNED(owned_error) struct weir_error *error = NULL;
    int wanted, ms, count = 0;

    if (!drill_pause(request, &ms) ||
        !http_request_number(request, "connections", 1, CONNECTIONS_MAX, 4, &wanted))
        return;
    while (count < wanted && tenant_acquire(request, &held[count], &error) == 0)
        count++;
    shop_pause(request->shop, ms);
    for (int i = 0; i < count; i++)
        (void)weir_connection_release(held[i]); /* misuse is told to the log */
    if (error)
        http_fail(request, error); /* as far as the pool let him */
    else
        drill_answer(request, "held", count);
}
