/* The pool's own statements. */
#include "shim/session/exchange.h"
#include "shim/session/failure.h"
#include "shim/session/run.h"

int exchange_command(struct slot *slot, const char *sql, uint64_t deadline_ns, const void *caller,
                     PGresult **ret_result, struct weir_error **ret_error)
{
    struct run_opts run_opts = {.kind = RUN_EXECUTE, .doing = sql, .caller = caller};
    struct arguments arguments;
    struct run run;
    int r = arguments_check(&arguments, sql, NULL, "exchange_command", ret_error);

    if (!r)
        r = run_start(&run, slot, &arguments, &run_opts, ret_error);
    if (r)
        return r;
    run.exchange.deadline_ns = deadline_ns;
    (void)run_await(&run); /* nothing but the end comes of this kind */
    return run_end(&run, ret_result, ret_error);
}

static int ping_failed(const struct exchange *exchange, struct weir_error **ret_error)
{
    struct slot *slot = exchange->slot;
    int r;

    if (!exchange->is_timed_out)
        return failure_of_connection(ret_error, slot->conn, "asking the server");
    r = failure(ret_error, WEIR_ERROR_TIMEOUT, "pool %s: the server did not answer in time",
                pool_options(slot->pool)->name);
    if (ret_error)
        failure_set_survived(*ret_error, !exchange->is_given_up);
    return r;
}

int exchange_ping(struct slot *slot, uint64_t deadline_ns, struct weir_error **ret_error)
{
    struct exchange exchange;
    bool is_answered;
    int r = exchange_open(&exchange, slot, deadline_ns, "asking the server", ret_error);

    if (r)
        return r;
    if (!PQsendQuery(slot->conn, "")) {
        r = failure_of_libpq(ret_error, slot->conn, "asking the server");
    } else {
        exchange_sent(&exchange);
        is_answered = exchange_drain(&exchange);
        if (!is_answered || PQstatus(slot->conn) != CONNECTION_OK)
            r = ping_failed(&exchange, ret_error);
    }
    if (PQstatus(slot->conn) != CONNECTION_OK && !slot->is_lost)
        slot_lose(slot, true);
    exchange_close(&exchange);
    return r;
}
