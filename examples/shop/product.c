#include "product.h"

#include <string.h>
#include <weir/transaction.h>

#include "http_request.h"
#include "journal.h"
#include "owned.h"
#include "shop.h"
#include "tenant.h"

enum { LIST_MAX = 200, QUERY_BYTES_MAX = 100 };

static json_t *product_json(const PGresult *result, int row)
{
    return json_pack("{s:o, s:o, s:s, s:I}", "sku", journal_text(PQgetvalue(result, row, 0)),
                     "title", journal_text(PQgetvalue(result, row, 1)), "price",
                     PQgetvalue(result, row, 2), "stock",
                     (json_int_t)strtol(PQgetvalue(result, row, 3), NULL, 10));
}

/* Runs a prepared statement on a connection of the tenant's. On false the answer is made. */
static bool product_query(struct http_request *request, const char *sql, const char *const *values,
                          int count, PGresult **ret_result)
{
    OWNED(owned_connection) struct weir_connection *connection = NULL;
    OWNED(owned_error) struct weir_error *error = NULL;
    struct weir_statement_opts opts = {
        .size = sizeof(opts), .is_prepared = 1, .count = count, .values = values};

    if (tenant_acquire(request, &connection, &error) == 0 &&
        weir_execute(connection, sql, &opts, ret_result, &error) == 0)
        return true;
    http_fail(request, error);
    return false;
}

void product_list(struct http_request *request)
{
    static const char sql[] = "SELECT sku, title, price, stock FROM product"
                              " WHERE position(lower($1) IN lower(title)) > 0"
                              " ORDER BY sku LIMIT $2::int";
    const char *query = http_request_query(request, "q");
    OWNED(owned_result) PGresult *result = NULL;
    json_t *products;
    char limit[16];
    int most;

    if (!http_request_number(request, "limit", 1, LIST_MAX, 20, &most))
        return;
    if (query && strlen(query) > QUERY_BYTES_MAX) {
        http_refuse(request, MHD_HTTP_BAD_REQUEST, "bad_parameter", "q is longer than %d bytes",
                    QUERY_BYTES_MAX);
        return;
    }
    (void)snprintf(limit, sizeof(limit), "%d", most);
    if (!product_query(request, sql, (const char *[]){query ? query : "", limit}, 2, &result))
        return;
    products = json_array();
    for (int i = 0; i < PQntuples(result); i++)
        (void)json_array_append_new(products, product_json(result, i));
    http_answer(request, MHD_HTTP_OK, products);
}

void product_show(struct http_request *request)
{
    static const char sql[] = "SELECT sku, title, price, stock FROM product WHERE sku = $1";
    OWNED(owned_result) PGresult *result = NULL;

    if (!product_query(request, sql, (const char *[]){request->sku}, 1, &result))
        return;
    if (PQntuples(result) == 0)
        http_refuse(request, MHD_HTTP_NOT_FOUND, "not_found", "no product %s", request->sku);
    else
        http_answer(request, MHD_HTTP_OK, product_json(result, 0));
}

/* ---- import ---------------------------------------------------------------------------------- */

struct import {
    const char *bytes;
    size_t length;
    uint64_t rows;
};

static int import_copy(struct import *import, struct weir_connection *connection,
                       struct weir_error **ret_error)
{
    struct weir_copy *copy = NULL;
    int r = weir_copy_open(connection, "COPY incoming FROM STDIN (FORMAT csv, HEADER true)", NULL,
                           &copy, ret_error);

    if (r)
        return r;
    r = weir_copy_write(copy, import->bytes, import->length, ret_error);
    if (r) {
        weir_copy_abort(copy, "the shop could not send it");
        return r;
    }
    return weir_copy_finish(copy, &import->rows, ret_error);
}

/* PostgreSQL does not COPY into a table with row-level security: the rows go through a temporary
 * one, and so into the product table by the rules that hold for every INSERT. */
static int import_work(void *userdata, struct weir_connection *connection,
                       struct weir_error **ret_error)
{
    static const char merge[] =
        "INSERT INTO product (sku, title, price, stock)"
        " SELECT DISTINCT ON (sku) sku, title, price, stock FROM incoming ORDER BY sku"
        " ON CONFLICT (tenant, sku) DO UPDATE SET title = excluded.title, price = excluded.price,"
        " stock = excluded.stock";
    int r = weir_execute(connection,
                         "CREATE TEMPORARY TABLE incoming (sku text, title text, price numeric,"
                         " stock int) ON COMMIT DROP",
                         NULL, NULL, ret_error);

    if (!r)
        r = import_copy(userdata, connection, ret_error);
    return r ? r : weir_execute(connection, merge, NULL, NULL, ret_error);
}

void product_import(struct http_request *request)
{
    OWNED(owned_error) struct weir_error *error = NULL;
    struct import import = {.bytes = request->body, .length = request->body_length};
    struct tenant_acquire acquire;

    if (import.length == 0)
        http_refuse(request, MHD_HTTP_BAD_REQUEST, "bad_body",
                    "the body is to be CSV with the header sku,title,price,stock");
    else if (weir_transaction_run(request->shop->orders, tenant_acquire_opts(request, &acquire),
                                  NULL, import_work, &import, &error))
        http_fail(request, error);
    else
        http_answer(request, MHD_HTTP_OK, json_pack("{s:I}", "rows", (json_int_t)import.rows));
}

/* ---- export ---------------------------------------------------------------------------------- */

/* On failure the COPY is given up. */
static int export_copy(struct weir_connection *connection, FILE *spool,
                       struct weir_error **ret_error)
{
    static const char sql[] = "COPY (SELECT sku, title, price, stock FROM product ORDER BY sku)"
                              " TO STDOUT (FORMAT csv, HEADER true)";
    struct weir_copy *copy = NULL;
    const char *bytes;
    size_t length;
    int r = weir_copy_open(connection, sql, NULL, &copy, ret_error);

    if (r)
        return r;
    for (;;) {
        r = weir_copy_read(copy, &bytes, &length, ret_error);
        if (r) {
            weir_copy_abort(copy, "the shop could not read it");
            return r;
        }
        if (length == 0)
            return weir_copy_finish(copy, NULL, ret_error);
        (void)fwrite(bytes, 1, length, spool); /* a full disk is seen at the end */
    }
}

void product_export(struct http_request *request)
{
    OWNED(owned_error) struct weir_error *error = NULL;
    OWNED(owned_connection) struct weir_connection *connection = NULL;
    FILE *spool;

    if (tenant_acquire(request, &connection, &error)) {
        http_fail(request, error);
        return;
    }
    spool = http_spool_open(request);
    if (!spool)
        return;
    if (export_copy(connection, spool, &error)) {
        (void)fclose(spool);
        http_fail(request, error);
        return;
    }
    http_spool_send(request, spool, "text/csv");
}
