/* Reports have a pool of their own: another role, few connections and a deadline for statements
 * (see shop.yaml), so that the customers never wait for one. */
#include "report.h"

#include <weir/transaction.h>

#include "http_request.h"
#include "owned.h"
#include "route.h"
#include "shop.h"

enum { DAYS_MAX = 366 };

static const char daily_sql[] =
    "SELECT p.tenant, p.placed::date, count(DISTINCT p.id), sum(l.quantity * l.price)"
    " FROM purchase p JOIN order_line l ON l.purchase_id = p.id"
    " WHERE p.placed >= current_date - $1::int GROUP BY 1, 2 ORDER BY 1, 2";

/* The whole in one snapshot that neither fails nor makes anybody else fail: deferrable. */
static int report_run(struct weir_connection *connection, const char *days, PGresult **ret_result,
                      struct weir_error **ret_error)
{
    struct weir_transaction_opts serializable = {.size = sizeof(serializable),
                                                 .isolation = WEIR_ISOLATION_SERIALIZABLE,
                                                 .is_read_only = 1,
                                                 .is_deferrable = 1};
    struct weir_statement_opts opts = {
        .size = sizeof(opts), .is_prepared = 1, .count = 1, .values = &days};
    int r = weir_transaction_begin(connection, &serializable, ret_error);

    if (!r)
        r = weir_execute(connection, daily_sql, &opts, ret_result, ret_error);
    return r ? r : weir_transaction_commit(connection, ret_error);
}

static json_t *report_row(const PGresult *result, int row)
{
    return json_pack("{s:s, s:s, s:I, s:s}", "tenant", PQgetvalue(result, row, 0), "day",
                     PQgetvalue(result, row, 1), "orders",
                     (json_int_t)strtoll(PQgetvalue(result, row, 2), NULL, 10), "revenue",
                     PQgetvalue(result, row, 3));
}

void report_daily(struct http_request *request)
{
    OWNED(owned_error) struct weir_error *error = NULL;
    OWNED(owned_result) PGresult *result = NULL;
    OWNED(owned_connection) struct weir_connection *connection = NULL;
    struct weir_acquire_opts acquire = {.size = sizeof(acquire),
                                        .traceparent = request->traceparent,
                                        .tracestate = request->tracestate,
                                        .call_site = request->route->name};
    json_t *rows;
    char days_text[16];
    int days;

    if (!http_request_number(request, "days", 1, DAYS_MAX, 7, &days))
        return;
    (void)snprintf(days_text, sizeof(days_text), "%d", days);
    if (weir_pool_acquire(request->shop->reports, &acquire, &connection, &error) ||
        report_run(connection, days_text, &result, &error)) {
        http_fail(request, error); /* release rolls back what is open */
        return;
    }
    rows = json_array();
    for (int i = 0; i < PQntuples(result); i++)
        (void)json_array_append_new(rows, report_row(result, i));
    http_answer(request, MHD_HTTP_OK, rows);
}
