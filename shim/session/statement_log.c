#include "shim/session/statement_log.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "include/weir/statement.h"
#include "shim/probe/call_site.h"
#include "shim/probe/clock.h"
#include "shim/probe/normalize.h"
#include "shim/session/changes.h"
#include "shim/session/holder.h"
#include "shim/session/log.h"
#include "shim/session/parameters.h"

enum { MESSAGE_MAX = 160 };

static void message_write(char message[MESSAGE_MAX], enum weir_error_category category,
                          const char *sqlstate, uint64_t duration_ns)
{
    double ms = (double)duration_ns / 1e6;

    if (category == WEIR_OK)
        (void)snprintf(message, MESSAGE_MAX, "a statement took %.1f ms", ms);
    else
        (void)snprintf(message, MESSAGE_MAX, "a statement failed after %.1f ms: %s%s%s", ms,
                       weir_error_category_name(category), *sqlstate ? ", SQLSTATE " : "",
                       sqlstate);
}

static void entry_tell(const struct account *account, enum weir_error_category category,
                       const char *sqlstate, uint64_t duration_ns)
{
    CLEANUP(freep) char *text = malloc(NORMALIZE_TEXT_MAX + 1);
    CLEANUP(freep)
    char *parameters =
        parameters_show(account->sql, account->opts, pool_options(account->slot->pool),
                        account->traits & TRAIT_BACKSLASH);
    const struct slot *slot = account->slot;
    uint64_t lease = atomic_load_explicit(&slot->lease, memory_order_relaxed);
    struct normalized normalized = {0};
    struct holder_text holder;
    char message[MESSAGE_MAX];
    struct weir_log_entry entry = {
        .kind = category == WEIR_OK ? WEIR_LOG_SLOW_STATEMENT : WEIR_LOG_FAILED_STATEMENT,
        .message = message,
        .statement = text ? text : "",
        .call_site = holder.call_site,
        .tenant = holder.tenant,
        .traceparent = holder.traceparent,
        .sqlstate = sqlstate,
        .backend_pid = atomic_load_explicit(&slot->backend_pid, memory_order_relaxed),
        .duration_ns = duration_ns,
        .wait_ns = account->wait_ns,
        .first_byte_ns = account->first_byte_ns
                             ? clock_between_ns(account->begin_ns, account->first_byte_ns)
                             : WEIR_UNKNOWN_NS,
        .rows = account->rows,
        .parameters = parameters ? parameters : "",
    };

    (void)holder_read(slot, lease, &holder);      /* its holder is this thread */
    if (!holder.is_site_named && account->caller) /* the statement's place tells more */
        (void)call_site_text((uintptr_t)account->caller, holder.call_site,
                             sizeof(holder.call_site));
    entry.thread = holder.thread;
    message_write(message, category, sqlstate, duration_ns);
    if (text) {
        normalize(account->sql, account->traits & TRAIT_BACKSLASH ? NORMALIZE_BACKSLASH_STRINGS : 0,
                  text, NORMALIZE_TEXT_MAX, &normalized);
        text[normalized.text_length] = '\0';
        entry.fingerprint = normalized.fingerprint;
    }
    log_tell(slot->pool, &entry);
}

void statement_log(const struct account *account, enum weir_error_category category,
                   const char *sqlstate)
{
    const struct weir_pool *pool = account->slot->pool;
    uint64_t duration_ns = clock_between_ns(account->begin_ns, account->end_ns);

    if (category == WEIR_OK &&
        duration_ns < option_ns(pool_options(pool), OPTION_slow_statement_ms))
        return;
    if (log_is_wanted(pool))
        entry_tell(account, category, sqlstate, duration_ns);
}
