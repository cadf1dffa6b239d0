/* The public calls. Each goes through a table of functions, and every copy of the probe in a
 * process (the preload's, libweir's, one linked statically) looks once for the first copy's table:
 * so all of them record into one segment, once. */
#include "include/weir/probe.h"

#include <dlfcn.h>
#include <stdatomic.h>

#include "shim/probe/acquire.h"
#include "shim/probe/process.h"
#include "shim/probe/statement.h"
#include "shim/probe/table.h"
#include "shim/probe/text.h"
#include "shim/probe/thread.h"
#include "shim/probe/transaction.h"

WEIR_API extern const struct probe_table weir_probe_v1;

const struct probe_table weir_probe_v1 = {
    .size = sizeof(struct probe_table),
    .pool_open = pool_open,
    .pool_limits = pool_limits,
    .pool_close = pool_close,
    .connect_begin = connection_connect_begin,
    .connect_end = connection_connect_end,
    .connection_reset = connection_reset,
    .connection_close = connection_close,
    .acquire_begin = acquire_begin,
    .acquire_end = acquire_end,
    .release = acquire_release,
    .statement_begin = statement_begin,
    .statement_begin_prepared = statement_begin_prepared,
    .statement_first_byte = statement_first_byte,
    .statement_end = statement_end,
    .text_new = text_new,
    .text_free = text_free,
    .transaction_begin = transaction_begin,
    .transaction_end = transaction_end,
    .prepare = statement_prepare,
    .cancel = connection_cancel,
    .listening = connection_listening,
    .tenant_set = thread_tenant_set,
    .trace_set = thread_trace_set,
    .call_site_set = thread_call_site_set,
    .caller_set = thread_caller_set,
    .identify = process_identify,
    .observed = process_observed,
    .acquire_immediate = acquire_immediate,
    .release_noting = acquire_release_noting,
    .connects_covered = thread_connects_covered,
    .connects_are_covered = thread_connects_are_covered,
    .context_save = thread_context_save,
    .context_restore = thread_context_restore,
};

static _Atomic(const struct probe_table *) table_chosen;

#ifdef WEIR_PROBE_ARCHIVE
/* A program that is linked wholly statically has no dlsym that could find anything. */
#pragma weak dlsym
static bool table_can_look(void)
{
    return dlsym != NULL;
}
#else
static bool table_can_look(void)
{
    return true;
}
#endif

static __attribute__((noinline)) const struct probe_table *table_choose(void)
{
    const struct probe_table *found =
        table_can_look() ? dlsym(RTLD_DEFAULT, "weir_probe_v1") : NULL;

    /* An older copy's table is shorter: it lacks calls that ours has. */
    if (!found || found->size < sizeof(*found))
        found = &weir_probe_v1;
    atomic_store_explicit(&table_chosen, found, memory_order_release);
    return found;
}

static inline const struct probe_table *table(void)
{
    const struct probe_table *chosen = atomic_load_explicit(&table_chosen, memory_order_acquire);

    return __builtin_expect(chosen != NULL, 1) ? chosen : table_choose();
}

const struct probe_table *probe_table(void)
{
    return table();
}

#define CALLER __builtin_return_address(0)

struct weir_probe_pool *weir_probe_pool_open(const struct weir_probe_pool_opts *opts)
{
    return table()->pool_open(opts);
}

void weir_probe_pool_limits(struct weir_probe_pool *pool, const struct weir_probe_pool_opts *opts)
{
    table()->pool_limits(pool, opts);
}

void weir_probe_pool_close(struct weir_probe_pool *pool)
{
    table()->pool_close(pool);
}

struct weir_probe_connection *weir_probe_connect_begin(struct weir_probe_pool *pool,
                                                       const struct weir_probe_target *target)
{
    return table()->connect_begin(pool, target);
}

void weir_probe_connect_end(struct weir_probe_connection *connection,
                            const struct weir_probe_connect_result *result)
{
    table()->connect_end(connection, result);
}

void weir_probe_connection_reset(struct weir_probe_connection *connection)
{
    table()->connection_reset(connection);
}

void weir_probe_connection_close(struct weir_probe_connection *connection,
                                 enum weir_failure failure, const char *sqlstate)
{
    table()->connection_close(connection, failure, sqlstate);
}

void weir_probe_acquire_begin(struct weir_probe_pool *pool, struct weir_probe_acquire *acquire,
                              const char *call_site)
{
    table()->acquire_begin(pool, acquire, call_site, CALLER);
}

void weir_probe_acquire_end(struct weir_probe_acquire *acquire,
                            struct weir_probe_connection *connection, enum weir_failure failure,
                            const char *sqlstate)
{
    table()->acquire_end(acquire, connection, failure, sqlstate);
}

void weir_probe_release(struct weir_probe_connection *connection)
{
    table()->release(connection);
}

void weir_probe_acquire_immediate(struct weir_probe_pool *pool,
                                  struct weir_probe_connection *connection, const char *call_site)
{
    table()->acquire_immediate(pool, connection, call_site, CALLER);
}

void weir_probe_release_noting(struct weir_probe_connection *connection, uint32_t flags)
{
    table()->release_noting(connection, flags);
}

void weir_probe_statement_begin(struct weir_probe_connection *connection,
                                struct weir_probe_statement *statement, const char *text,
                                size_t text_length, uint32_t flags)
{
    struct view sql = {text, text_length_of(text, text_length)};

    table()->statement_begin(connection, statement, sql, flags, CALLER);
}

void weir_probe_statement_begin_prepared(struct weir_probe_connection *connection,
                                         struct weir_probe_statement *statement,
                                         const struct weir_probe_text *text, uint32_t flags)
{
    table()->statement_begin_prepared(connection, statement, text, flags, CALLER);
}

void weir_probe_statement_first_byte(struct weir_probe_statement *statement)
{
    table()->statement_first_byte(statement);
}

void weir_probe_statement_end(struct weir_probe_statement *statement,
                              const struct weir_probe_statement_result *result)
{
    table()->statement_end(statement, result);
}

struct weir_probe_text *weir_probe_text_new(const char *text, size_t text_length, uint32_t flags)
{
    return table()->text_new(text, text_length, flags);
}

void weir_probe_text_free(struct weir_probe_text *text)
{
    table()->text_free(text);
}

void weir_probe_transaction_begin(struct weir_probe_connection *connection)
{
    table()->transaction_begin(connection, CALLER);
}

void weir_probe_transaction_end(struct weir_probe_connection *connection,
                                enum weir_transaction_outcome outcome)
{
    table()->transaction_end(connection, outcome);
}

void weir_probe_prepare(struct weir_probe_connection *connection,
                        const struct weir_probe_text *text, enum weir_prepare_action action,
                        uint64_t duration_ns, const char *sqlstate)
{
    table()->prepare(connection, text, action, duration_ns, sqlstate);
}

void weir_probe_cancel(struct weir_probe_connection *connection)
{
    table()->cancel(connection);
}

void weir_probe_listening(struct weir_probe_connection *connection, int is_listening)
{
    table()->listening(connection, is_listening);
}

void weir_probe_tenant_set(const char *tenant)
{
    table()->tenant_set(tenant);
}

void weir_probe_trace_set(const char *traceparent, const char *tracestate)
{
    table()->trace_set(traceparent, tracestate);
}

void weir_probe_call_site_set(const char *call_site)
{
    table()->call_site_set(call_site);
}

void weir_probe_caller_set(const void *return_address)
{
    table()->caller_set(return_address);
}

void weir_probe_connects_covered(int is_covered)
{
    table()->connects_covered(is_covered);
}

void weir_probe_identify(const struct weir_probe_identity *identity)
{
    table()->identify(identity);
}

void weir_probe_observed(enum weir_observed observed, uint32_t library_version)
{
    table()->observed(observed, library_version);
}
