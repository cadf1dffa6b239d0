#include "include/weir/statement.h"

#include "shim/session/run.h"

int weir_execute(struct weir_connection *connection, const char *sql,
                 const struct weir_statement_opts *opts, PGresult **ret_result,
                 struct weir_error **ret_error)
{
    static const char doing[] = "weir_execute";
    struct run_opts run_opts = {
        .kind = RUN_EXECUTE,
        .doing = doing,
        .caller = __builtin_return_address(0),
        .is_logged = true,
    };
    struct slot *slot = slot_held(connection, doing, ret_error);
    struct arguments arguments;
    struct run run;
    int r;

    if (!slot)
        return WEIR_ERROR_USAGE;
    r = arguments_check(&arguments, sql, opts, doing, ret_error);
    if (!r)
        r = run_start(&run, slot, &arguments, &run_opts, ret_error);
    if (r)
        return r;
    (void)run_await(&run); /* nothing but the end comes of this kind */
    return run_end(&run, ret_result, ret_error);
}
