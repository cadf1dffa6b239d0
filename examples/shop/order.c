#include "order.h"

#include <stdlib.h>
#include <string.h>
#include <weir/transaction.h>

#include "http_request.h"
#include "journal.h"
#include "owned.h"
#include "shop.h"
#include "tenant.h"

enum { ITEMS_MAX = 50, QUANTITY_MAX = 1000, CUSTOMER_BYTES_MAX = 80, LIST_MAX = 10000 };

struct item {
    const char *sku; /* the body's */
    int quantity;
};

struct order {
    const char *customer;
    size_t count;
    struct item items[ITEMS_MAX];
    char id[24], placed[40];    /* as the server says */
    const struct item *unknown; /* of no product; NULL: all are known */
};

/* ---- what is ordered ------------------------------------------------------------------------- */

/* Returns what is wrong with @json as an item, NULL if nothing is. */
static const char *item_parse(const json_t *json, struct item *item)
{
    json_int_t quantity = json_integer_value(json_object_get(json, "quantity"));
    const char *sku = json_string_value(json_object_get(json, "sku"));

    if (!sku || !sku_is_valid(sku))
        return "each item wants a sku of letters, digits, '-', '_' and '.'";
    if (quantity < 1 || quantity > QUANTITY_MAX)
        return "each item wants a quantity from 1 to 1000";
    *item = (struct item){sku, (int)quantity};
    return NULL;
}

static int item_compare(const void *a, const void *b)
{
    return strcmp(((const struct item *)a)->sku, ((const struct item *)b)->sku);
}

/* Texts are @body's. Returns what is wrong, NULL if nothing is. */
static const char *order_parse(const json_t *body, struct order *order)
{
    const json_t *items = json_object_get(body, "items");

    *order = (struct order){.customer = json_string_value(json_object_get(body, "customer")),
                            .count = json_array_size(items)};
    if (!order->customer || !*order->customer || strlen(order->customer) > CUSTOMER_BYTES_MAX)
        return "customer is to be a text of 1 to 80 bytes";
    if (order->count < 1 || order->count > ITEMS_MAX)
        return "items is to be an array of 1 to 50";
    for (size_t i = 0; i < order->count; i++) {
        const char *wrong = item_parse(json_array_get(items, i), &order->items[i]);
        if (wrong)
            return wrong;
    }
    /* Two orders that lock the same products lock them in the same order, and so never each other.
     */
    qsort(order->items, order->count, sizeof(order->items[0]), item_compare);
    for (size_t i = 1; i < order->count; i++)
        if (strcmp(order->items[i - 1].sku, order->items[i].sku) == 0)
            return "each sku may stand in one item only";
    return NULL;
}

/* ---- placing it ------------------------------------------------------------------------------ */

/* The order and all its items in one round trip. */
static int order_send(const struct order *order, struct weir_pipeline *pipeline,
                      struct weir_error **ret_error)
{
    static const char open_sql[] = "INSERT INTO purchase (customer) VALUES ($1)"
                                   " RETURNING id, placed";
    static const char item_sql[] =
        "WITH taken AS (UPDATE product SET stock = stock - $2::int WHERE sku = $1"
        " RETURNING sku, price)"
        " INSERT INTO order_line (purchase_id, sku, quantity, price)"
        " SELECT currval('purchase_id_seq'), sku, $2::int, price FROM taken";
    struct weir_statement_opts opts = {
        .size = sizeof(opts), .is_prepared = 1, .count = 1, .values = &order->customer};
    int r = weir_pipeline_add(pipeline, open_sql, &opts, ret_error);

    for (size_t i = 0; !r && i < order->count; i++) {
        char quantity[16];
        const char *values[] = {order->items[i].sku, quantity};
        (void)snprintf(quantity, sizeof(quantity), "%d", order->items[i].quantity);
        opts.count = 2;
        opts.values = values;
        r = weir_pipeline_add(pipeline, item_sql, &opts, ret_error);
    }
    return r ? r : weir_pipeline_sync(pipeline, ret_error);
}

static int order_receive(struct order *order, struct weir_pipeline *pipeline,
                         struct weir_error **ret_error)
{
    OWNED(owned_result) PGresult *opened = NULL;
    int r = weir_pipeline_next(pipeline, &opened, ret_error);

    if (r)
        return r;
    (void)snprintf(order->id, sizeof(order->id), "%s", PQgetvalue(opened, 0, 0));
    (void)snprintf(order->placed, sizeof(order->placed), "%s", PQgetvalue(opened, 0, 1));
    for (size_t i = 0; !r && i < order->count; i++) {
        OWNED(owned_result) PGresult *line = NULL;
        r = weir_pipeline_next(pipeline, &line, ret_error);
        if (!r && strcmp(PQcmdTuples(line), "0") == 0)
            order->unknown = &order->items[i];
    }
    return r;
}

/* A weir_transaction_fn: begins anew when it is called again. */
static int order_work(void *userdata, struct weir_connection *connection,
                      struct weir_error **ret_error)
{
    struct order *order = userdata;
    OWNED(owned_pipeline) struct weir_pipeline *pipeline = NULL;
    int r = weir_pipeline_open(connection, 0, &pipeline, ret_error);

    order->unknown = NULL;
    if (!r)
        r = order_send(order, pipeline, ret_error);
    if (!r)
        r = order_receive(order, pipeline, ret_error);
    if (!r && order->unknown)
        r = WEIR_ERROR_DATA; /* nothing failed, and nothing is to stay: roll back */
    return r;
}

static void order_answer(struct http_request *request, const struct order *order)
{
    http_answer(request, MHD_HTTP_CREATED,
                json_pack("{s:I, s:s, s:s, s:I}", "id", (json_int_t)strtoll(order->id, NULL, 10),
                          "tenant", request->tenant, "placed", order->placed, "items",
                          (json_int_t)order->count));
}

void order_place(struct http_request *request)
{
    OWNED(owned_error) struct weir_error *error = NULL;
    OWNED(owned_json)
    json_t *body = json_loadb(request->body ? request->body : "", request->body_length,
                              JSON_REJECT_DUPLICATES, NULL);
    /* Row locks do what is needed here; what PostgreSQL asks to be tried again is tried again. */
    struct weir_transaction_opts opts = {.size = sizeof(opts),
                                         .isolation = WEIR_ISOLATION_READ_COMMITTED};
    struct tenant_acquire acquire;
    struct order order;
    const char *wrong =
        json_is_object(body) ? order_parse(body, &order) : "the body is to be a JSON object";

    if (wrong)
        http_refuse(request, MHD_HTTP_BAD_REQUEST, "bad_body", "%s", wrong);
    else if (!weir_transaction_run(request->shop->orders, tenant_acquire_opts(request, &acquire),
                                   &opts, order_work, &order, &error))
        order_answer(request, &order);
    else if (!error && order.unknown)
        http_refuse(request, MHD_HTTP_UNPROCESSABLE_CONTENT, "unknown_product", "no product %s",
                    order.unknown->sku);
    else
        http_fail(request, error);
}

/* ---- listing --------------------------------------------------------------------------------- */

static int row_write(FILE *spool, const PGresult *row, bool is_first)
{
    OWNED(owned_json)
    json_t *order = json_pack(
        "{s:I, s:o, s:s, s:I, s:s}", "id", (json_int_t)strtoll(PQgetvalue(row, 0, 0), NULL, 10),
        "customer", journal_text(PQgetvalue(row, 0, 1)), "placed", PQgetvalue(row, 0, 2), "items",
        (json_int_t)strtoll(PQgetvalue(row, 0, 3), NULL, 10), "total", PQgetvalue(row, 0, 4));

    (void)fputs(is_first ? "\n" : ",\n", spool); /* a full disk is seen at the end */
    return order ? json_dumpf(order, spool, JSON_COMPACT) : -1;
}

static int rows_write(FILE *spool, struct weir_connection *connection,
                      const struct weir_statement_opts *opts, struct weir_error **ret_error)
{
    static const char sql[] =
        "SELECT p.id, p.customer, p.placed, count(*), sum(l.quantity * l.price)"
        " FROM (SELECT id, customer, placed FROM purchase ORDER BY id DESC LIMIT $1::int) p"
        " JOIN order_line l ON l.purchase_id = p.id"
        " GROUP BY p.id, p.customer, p.placed ORDER BY p.id DESC";
    OWNED(owned_stream) struct weir_stream *stream = NULL;
    bool is_first = true;
    int r = weir_stream_open(connection, sql, opts, &stream, ret_error);

    (void)fputc('[', spool);
    while (!r) {
        OWNED(owned_result) PGresult *row = NULL;
        r = weir_stream_next(stream, &row, ret_error);
        if (r || !row)
            break;
        (void)row_write(spool, row, is_first);
        is_first = false;
    }
    (void)fputs("\n]\n", spool);
    return r;
}

void order_list(struct http_request *request)
{
    OWNED(owned_error) struct weir_error *error = NULL;
    OWNED(owned_connection) struct weir_connection *connection = NULL;
    char limit[16];
    struct weir_statement_opts opts = {
        .size = sizeof(opts), .is_prepared = 1, .count = 1, .values = (const char *[]){limit}};
    FILE *spool;
    int most;

    if (!http_request_number(request, "limit", 1, LIST_MAX, 50, &most))
        return;
    (void)snprintf(limit, sizeof(limit), "%d", most);
    if (tenant_acquire(request, &connection, &error)) {
        http_fail(request, error);
        return;
    }
    spool = http_spool_open(request);
    if (!spool)
        return;
    if (rows_write(spool, connection, &opts, &error)) {
        (void)fclose(spool);
        http_fail(request, error);
        return;
    }
    http_spool_send(request, spool, "application/json");
}
