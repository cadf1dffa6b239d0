/* What a thread of the crew does with a slot that is its own meanwhile, by a deadline. What may
 * hang (a hook, name resolution) hangs there: at the deadline the keeper gives the slot up, so that
 * it no longer counts, and whoever waited for it has long been told. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "shim/pool/house.h"
#include "shim/session/exchange.h"
#include "shim/session/log.h"

CLEANUP_DEFINE(struct weir_error *, error_freep, weir_error_free)

static int hook_run(struct slot *slot, weir_connection_hook_fn hook, const char *name,
                    struct weir_error **ret_error)
{
    const struct options *options = &slot->pool->options;
    struct weir_hook told = {.size = sizeof(told),
                             .pool = slot->pool,
                             .deadline_ns = slot->errand.deadline_ns,
                             .connection = slot->conn};

    if (!hook)
        return 0;
    (void)PQsetnonblocking(slot->conn, 0); /* as a program that knows nothing of us wants it */
    if (hook(options->hook_userdata, &told))
        return failure(ret_error, WEIR_ERROR_HOOK, "pool %s: the hook %s failed", options->name,
                       name);
    (void)PQsetnonblocking(slot->conn, 1);
    if (PQstatus(slot->conn) != CONNECTION_OK)
        return failure_of_connection(ret_error, slot->conn, name);
    return 0;
}

/* ---- the kinds ------------------------------------------------------------------------------- */

static int errand_connect(struct slot *slot, struct weir_error **ret_error)
{
    const struct options *options = &slot->pool->options;
    int r = connect_run(slot, slot->errand.deadline_ns, ret_error);

    if (!r)
        r = hook_run(slot, options->after_connect, "after_connect", ret_error);
    if (!r && OPTION_OF(options, learn_server))
        limits_ask(slot, slot->errand.deadline_ns);
    return r;
}

/* Whether the connection still is one. A look costs no round trip and finds most that are not. The
 * time for an answer is the connection's, not its request's: one that is in a hurry must not make a
 * good connection look dead. */
static int errand_validate(struct slot *slot, bool wants_ping, struct weir_error **ret_error)
{
    const struct weir_pool *pool = slot->pool;
    uint64_t until_ns = clock_monotonic_ns() + OPTION_NS(&pool->options, validate_timeout_ms);
    int r = 0;

    if (!exchange_is_quiet(slot))
        r = failure(ret_error, WEIR_ERROR_CONNECTION,
                    "pool %s: the server closed an idle connection", pool->options.name);
    else if (wants_ping)
        r = exchange_ping(slot, until_ns, ret_error);
    if (r)
        slot->is_lost = true;
    return r;
}

/* False: memory ran out, or it is not in the connection's encoding. Then nothing may take its
 * place: a setting without its value would open to one tenant what is another's. */
static bool setting_write(PGconn *conn, FILE *text, const char *name, const char *value)
{
    char *name_literal = PQescapeLiteral(conn, name, strlen(name));
    char *value_literal = PQescapeLiteral(conn, value, strlen(value));
    bool is_written = name_literal && value_literal;

    if (is_written)
        fprintf(text, "set_config(%s, %s, false)", name_literal, value_literal);
    PQfreemem(name_literal);
    PQfreemem(value_literal);
    return is_written;
}

static int settings_apply(struct slot *slot, const char *settings, struct weir_error **ret_error)
{
    CLEANUP(freep) char *sql = NULL;
    size_t length = 0;
    FILE *text = open_memstream(&sql, &length);
    bool is_written = true, is_whole;

    if (!text)
        return failure_memory(ret_error);
    fputs("SELECT ", text);
    for (const char *name = settings; *name && is_written;) {
        const char *value = name + strlen(name) + 1;
        if (name != settings)
            fputs(", ", text);
        is_written = setting_write(slot->conn, text, name, value);
        name = value + strlen(value) + 1;
    }
    is_whole = !ferror(text);
    if (fclose(text) || !is_whole)
        return failure_memory(ret_error);
    if (!is_written)
        return failure_of_libpq(ret_error, slot->conn, "a setting of the acquire");
    slot->has_settings = true;
    return exchange_command(slot, sql, slot->errand.deadline_ns, (const void *)settings_apply, NULL,
                            ret_error);
}

static int errand_ready(struct slot *slot, struct weir_error **ret_error)
{
    const struct options *options = &slot->pool->options;
    int r = errand_validate(slot, slot->errand.wants_ping, ret_error);

    if (!r && slot->errand.settings)
        r = settings_apply(slot, slot->errand.settings, ret_error);
    if (!r)
        r = hook_run(slot, options->before_acquire, "before_acquire", ret_error);
    return r;
}

static int errand_reset(struct slot *slot, struct weir_error **ret_error)
{
    const struct options *options = &slot->pool->options;
    uint64_t deadline_ns = slot->errand.deadline_ns;
    enum weir_reset policy = (enum weir_reset)OPTION_OF(options, reset);
    PGTransactionStatusType status;
    int r = exchange_settle(slot, deadline_ns, ret_error);

    if (r)
        return r;
    status = PQtransactionStatus(slot->conn);
    if (status == PQTRANS_INTRANS || status == PQTRANS_INERROR)
        r = exchange_command(slot, "ROLLBACK", deadline_ns, (const void *)errand_reset, NULL,
                             ret_error);
    if (!r && slot->has_settings) {
        slot->changes |= CHANGED_SETTINGS;
        if (policy == WEIR_RESET_NOTHING || policy == WEIR_RESET_LIST)
            r = changes_undo(slot, WEIR_RESET_CHANGED, deadline_ns, ret_error);
        slot->has_settings = false;
    }
    if (!r)
        r = changes_undo(slot, policy, deadline_ns, ret_error);
    if (!r)
        r = hook_run(slot, options->after_release, "after_release", ret_error);
    return r;
}

static int errand_do(struct slot *slot, struct weir_error **ret_error)
{
    switch (slot->errand.kind) {
    case ERRAND_CONNECT:
        return errand_connect(slot, ret_error);
    case ERRAND_READY:
        return errand_ready(slot, ret_error);
    case ERRAND_CHECK:
        return errand_validate(slot, true, ret_error);
    case ERRAND_RESET:
        return errand_reset(slot, ret_error);
    case ERRAND_CLOSE:
        break;
    }
    return 0;
}

/* ---- its end: under the pool's mutex --------------------------------------------------------- */

static void slot_open(struct slot *slot)
{
    slot->checked_ns = clock_monotonic_ns();
    atomic_store_explicit(&slot->is_doubtful, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->place, SLOT_OPEN, memory_order_relaxed);
}

static void connect_done(struct weir_pool *pool, struct slot *slot, struct weir_error *error)
{
    bool is_failed = error != NULL || !slot->conn;

    connect_ended(pool, error, clock_monotonic_ns());
    if (is_failed) {
        pool_close_slot(pool, slot);
        if (pool->attempts.is_permanent && pool->total == pool->attempts.running)
            pool_fail_waiters(pool, pool->attempts.last_error);
        return;
    }
    slot_open(slot);
    pool_give(pool, slot);
}

/* The connection was bad: its request goes back to where it stood, and all others are doubted. */
static void ready_failed(struct weir_pool *pool, struct slot *slot, struct weir_error *error)
{
    struct waiter *waiter = slot->waiter;
    bool is_hopeless = weir_error_category(error) != WEIR_ERROR_CONNECTION &&
                       weir_error_category(error) != WEIR_ERROR_TIMEOUT;

    slot->waiter = NULL;
    if (!is_hopeless) {
        pool_count(&pool->counters.validations_failed);
        pool_doubt(pool);
    }
    if (waiter && is_hopeless) {
        waiter_fail(waiter, failure_copy(error));
    } else if (waiter) {
        waiter->slot = NULL;
        waiter->phase = WAITER_QUEUED;
        queue_enter(&pool->queue, waiter);
    }
    pool_close_slot(pool, slot); /* serves the next: nobody overtakes who stands in line again */
}

static void ready_done(struct weir_pool *pool, struct slot *slot, struct weir_error *error)
{
    if (error) {
        ready_failed(pool, slot, error);
        return;
    }
    slot_open(slot);
    if (slot->waiter)
        waiter_grant(slot->waiter);
    else if (slot->has_settings || pool->options.before_acquire)
        pool_close_slot(pool, slot); /* made ready for somebody who is gone */
    else
        pool_give(pool, slot);
}

static void errand_done(struct weir_pool *pool, struct slot *slot, struct weir_error *error)
{
    enum errand_kind kind = slot->errand.kind;

    pool->errands--;
    free(slot->errand.settings);
    slot->errand.settings = NULL;
    if (kind == ERRAND_CLOSE) {
        pool_free_slot(pool, slot);
        return;
    }
    if (slot->errand.is_abandoned) {
        if (kind == ERRAND_CONNECT)
            pool->attempts.stuck--;
        else if (slot->conn)
            pool_count(&pool->counters.closed);
        slot->is_lost = true;
        errand_start(slot, ERRAND_CLOSE, UINT64_MAX);
        return;
    }
    if (kind == ERRAND_CONNECT) {
        connect_done(pool, slot, failure_copy(error));
    } else if (kind == ERRAND_READY) {
        ready_done(pool, slot, error);
    } else if (error) {
        if (kind == ERRAND_CHECK) {
            pool_count(&pool->counters.validations_failed);
            pool_doubt(pool);
        }
        pool_close_slot(pool, slot);
    } else {
        slot_open(slot);
        pool_give(pool, slot);
    }
}

static const char *errand_name(enum errand_kind kind)
{
    static const char *const names[] = {
        [ERRAND_CONNECT] = "connecting",
        [ERRAND_READY] = "making a connection ready",
        [ERRAND_CHECK] = "asking an idle connection",
        [ERRAND_RESET] = "resetting a released connection",
        [ERRAND_CLOSE] = "closing",
    };

    return names[kind];
}

static void errand_log(const struct slot *slot, const struct weir_error *error)
{
    enum weir_log_kind kind =
        slot->errand.kind == ERRAND_CONNECT ? WEIR_LOG_CONNECT_FAILED : WEIR_LOG_CONNECTION_LOST;
    char room[LOG_ERROR_MAX];
    struct weir_log_entry entry = {
        .kind = weir_error_category(error) == WEIR_ERROR_HOOK ? WEIR_LOG_HOOK : kind,
        .message = log_error_text(error, errand_name(slot->errand.kind), room),
        .sqlstate = weir_error_sqlstate(error),
        .backend_pid = atomic_load_explicit(&slot->backend_pid, memory_order_relaxed),
    };

    log_tell(slot->pool, &entry);
}

static void errand_run(struct crew_job *job)
{
    struct slot *slot = (struct slot *)(void *)((char *)job - offsetof(struct slot, errand.job));
    struct weir_pool *pool = slot->pool;
    CLEANUP(error_freep) struct weir_error *error = NULL;

    if (slot->errand.kind == ERRAND_CLOSE)
        connect_close(slot, slot->is_lost ? WEIR_FAILURE_CONNECTION_LOST : WEIR_FAILURE_NONE);
    else
        (void)errand_do(slot, &error);
    if (error && slot->errand.kind != ERRAND_CLOSE)
        errand_log(slot, error);
    pool_lock(pool);
    errand_done(pool, slot, error);
    pool_unlock_maybe_free(pool);
}

void errand_submit(struct slot *slot)
{
    slot->errand.job.run = errand_run;
    slot->errand.is_submitted = crew_submit(pool_crew(slot->pool), &slot->errand.job);
}

void errand_run_leftovers(struct weir_pool *pool)
{
    struct slot *found;

    do {
        found = NULL;
        pool_lock(pool);
        for (uint16_t i = 0; i < pool->slots_made && !found; i++) {
            struct slot *slot = pool->slots[i];
            if (atomic_load_explicit(&slot->place, memory_order_relaxed) == SLOT_ERRAND &&
                !slot->errand.is_submitted)
                found = slot;
        }
        if (found)
            found->errand.is_submitted = true;
        pool_unlock(pool);
        if (found)
            errand_run(&found->errand.job);
    } while (found);
}

void errand_start(struct slot *slot, enum errand_kind kind, uint64_t deadline_ns)
{
    slot->pool->errands++;
    slot->errand.kind = kind;
    slot->errand.deadline_ns = deadline_ns;
    slot->errand.is_abandoned = false;
    atomic_store_explicit(&slot->place, SLOT_ERRAND, memory_order_relaxed);
    errand_submit(slot);
}

void errand_abandon(struct slot *slot)
{
    int fd = atomic_load_explicit(&slot->fd, memory_order_relaxed);
    struct weir_pool *pool = slot->pool;

    slot->errand.is_abandoned = true;
    /* It no longer counts here, so it must not be open there: the server may have no more of us
     * than the maximum. Who hangs in it is told so by the socket. */
    if (fd >= 0)
        (void)shutdown(fd, SHUT_RDWR); /* gone already is as good */
    pool_leave_tenant(slot);
    pool->total--;
    if (slot->waiter) {
        slot->waiter->slot = NULL; /* its own deadline has passed as well */
        slot->waiter->phase = WAITER_QUEUED;
        queue_enter(&pool->queue, slot->waiter);
        slot->waiter = NULL;
    }
    if (slot->errand.kind == ERRAND_CONNECT) {
        struct weir_error *error = NULL;
        pool->attempts.stuck++;
        (void)failure(&error, WEIR_ERROR_CONNECTION,
                      "pool %s: an attempt to connect did not return in time (a hook or name "
                      "resolution hangs)",
                      pool->options.name);
        connect_ended(pool, error, clock_monotonic_ns());
    }
}
