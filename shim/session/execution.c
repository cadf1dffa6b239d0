#include <stdlib.h>

#include "base/cleanup.h"
#include "shim/session/failure.h"
#include "shim/session/run.h"

struct weir_execution {
    struct busy busy;
    struct weir_connection *connection;
    struct arguments arguments;
    struct run run;
};

static void execution_free(struct weir_execution *execution)
{
    if (!execution)
        return;
    arguments_deinit(&execution->arguments);
    free(execution);
}

static void execution_detach(struct busy *busy)
{
    run_detach(&((struct weir_execution *)busy)->run);
}

CLEANUP_DEFINE(struct weir_execution *, execution_freep, execution_free)

int weir_execution_start(struct weir_connection *connection, const char *sql,
                         const struct weir_statement_opts *opts,
                         struct weir_execution **ret_execution, struct weir_error **ret_error)
{
    static const char doing[] = "weir_execution_start";
    struct run_opts run_opts = {
        .kind = RUN_EXECUTE,
        .doing = doing,
        .caller = __builtin_return_address(0),
        .is_logged = true,
    };
    struct slot *slot = slot_held(connection, doing, ret_error);
    CLEANUP(execution_freep) struct weir_execution *execution = NULL;
    int r;

    if (!slot)
        return WEIR_ERROR_USAGE;
    if (!ret_execution)
        return failure(ret_error, WEIR_ERROR_USAGE, "%s: ret_execution is NULL", doing);
    execution = calloc(1, sizeof(*execution));
    if (!execution)
        return failure_memory(ret_error);
    r = arguments_check(&execution->arguments, sql, opts, doing, ret_error);
    if (!r)
        r = arguments_keep(&execution->arguments, ret_error);
    if (!r)
        r = run_start(&execution->run, slot, &execution->arguments, &run_opts, ret_error);
    if (r)
        return r;
    execution->connection = connection;
    execution->busy = (struct busy){slot, &execution->run.account, execution_detach};
    slot->busy_with = &execution->busy;
    *ret_execution = STEAL(execution);
    return 0;
}

int weir_execution_fd(const struct weir_execution *execution)
{
    return execution && execution->busy.slot ? PQsocket(execution->busy.slot->conn) : -1;
}

int weir_execution_events(const struct weir_execution *execution)
{
    return execution && execution->busy.slot ? exchange_events(&execution->run.exchange) : 0;
}

int weir_execution_timeout_ms(const struct weir_execution *execution)
{
    return execution && execution->busy.slot ? exchange_timeout_ms(&execution->run.exchange) : 0;
}

/* The connection was released while it ran: nothing more can come. */
static int execution_orphaned(struct weir_execution *execution, struct weir_error **ret_error)
{
    execution_free(execution);
    return failure(ret_error, WEIR_ERROR_USAGE,
                   "weir_execution_step: its connection was released before");
}

int weir_execution_step(struct weir_execution *execution, PGresult **ret_result,
                        struct weir_error **ret_error)
{
    int r;

    if (!execution)
        return failure(ret_error, WEIR_ERROR_USAGE, "weir_execution_step: the execution is NULL");
    if (!execution->busy.slot ||
        !slot_held(execution->connection, "weir_execution_step", ret_error))
        return execution_orphaned(execution, ret_error);
    exchange_look(&execution->run.exchange);
    if (run_step(&execution->run) == RUN_PENDING)
        return WEIR_PENDING;
    execution->busy.slot->busy_with = NULL;
    r = run_end(&execution->run, ret_result, ret_error);
    execution_free(execution);
    return r;
}

/* Without waiting: what is left of the answer is passed over by whoever uses the connection next,
 * or after its release. */
void weir_execution_cancel(struct weir_execution *execution)
{
    if (!execution)
        return;
    if (execution->busy.slot) {
        exchange_look(&execution->run.exchange);
        if (run_step(&execution->run) == RUN_PENDING) {
            exchange_cancel(&execution->run.exchange);
            exchange_abandon(execution->busy.slot);
        } else {
            execution->busy.slot->busy_with = NULL;
            (void)run_end(&execution->run, NULL, NULL); /* it was over already */
        }
    }
    execution_free(execution);
}
