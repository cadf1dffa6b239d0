/* Opening a connection, and how often that is tried. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "shim/pool/dice.h"
#include "shim/pool/house.h"
#include "shim/session/cancel.h"
#include "shim/session/exchange.h"
#include "shim/session/log.h"

enum {
    PARAMS_MAX = 12,
    /* Without an acknowledgement for so long the kernel ends the connection, so that neither a
     * statement nor a cancel request hangs on a network that drops silently. */
    TCP_USER_TIMEOUT_MS = 10000,
    PERMANENT_FACTOR = 10, /* the back-off of what would only fail the same way again */
    STUCK_MAX = 16,        /* attempts that hang, given up, until no further one is made */
};

/* ---- one host -------------------------------------------------------------------------------- */

struct params {
    unsigned count;
    const char *keywords[PARAMS_MAX + 1], *values[PARAMS_MAX + 1];
};

static void params_add(struct params *params, const char *keyword, const char *value)
{
    if (!value || params->count >= PARAMS_MAX)
        return;
    params->keywords[params->count] = keyword;
    params->values[params->count++] = value;
}

static int remaining_ms(uint64_t deadline_ns)
{
    uint64_t now_ns = clock_monotonic_ns();

    if (now_ns >= deadline_ns)
        return 0;
    return (int)((deadline_ns - now_ns) / NS_PER_MS + 1);
}

/* Drives the attempt to its end. 0, or -ETIMEDOUT. */
static int conn_drive(PGconn *conn, uint64_t deadline_ns)
{
    PostgresPollingStatusType wanted = PGRES_POLLING_WRITING;

    while (wanted != PGRES_POLLING_OK && wanted != PGRES_POLLING_FAILED) {
        struct pollfd at = {.fd = PQsocket(conn),
                            .events = wanted == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        int r = poll(&at, 1, remaining_ms(deadline_ns));
        if (r == 0)
            return -ETIMEDOUT;
        if (r < 0 && errno != EINTR)
            return -errno;
        if (r > 0)
            wanted = PQconnectPoll(conn);
    }
    return 0;
}

static void notice_ignore(void *userdata, const PGresult *result)
{
    (void)userdata; /* a library prints nothing; whoever wants them sets a receiver of his own */
    (void)result;
}

static struct weir_probe_connection *probe_begin(const struct weir_pool *pool, const char *database,
                                                 const char *host, const char *port)
{
    struct weir_probe_target target = {
        .size = sizeof(target),
        .address = host,
        .port = (uint16_t)(port ? strtoul(port, NULL, 10) : 0),
        .database = database,
    };

    return pool->table->connect_begin(pool->probe, &target);
}

static void probe_end(const struct slot *slot, const struct weir_error *error)
{
    struct weir_probe_connect_result result = {
        .size = sizeof(result),
        .failure = error ? WEIR_FAILURE_CONNECT_FAILED : WEIR_FAILURE_NONE,
        .backend_pid = error ? 0 : (uint32_t)PQbackendPID(slot->conn),
        .library_version = (uint32_t)PQlibVersion(),
    };
    const char *sqlstate = weir_error_sqlstate(error);

    if (*sqlstate)
        result.sqlstate = sqlstate;
    slot->pool->table->connect_end(slot->probe, &result);
}

static int conn_open(struct slot *slot, const struct params *params, uint64_t deadline_ns,
                     struct weir_error **ret_error)
{
    const struct probe_table *table = slot->pool->table;
    int r;

    table->connects_covered(1);
    slot->conn = PQconnectStartParams(params->keywords, params->values, 1);
    table->connects_covered(0);
    if (!slot->conn)
        return failure_memory(ret_error);
    if (PQstatus(slot->conn) == CONNECTION_BAD)
        return failure_of_connection(ret_error, slot->conn, "connecting");
    (void)PQsetNoticeReceiver(slot->conn, notice_ignore, NULL);
    (void)PQsetErrorVerbosity(slot->conn, PQERRORS_VERBOSE); /* then its text has the SQLSTATE */
    r = conn_drive(slot->conn, deadline_ns);
    (void)PQsetErrorVerbosity(slot->conn, PQERRORS_DEFAULT);
    if (r == -ETIMEDOUT)
        return failure(ret_error, WEIR_ERROR_CONNECTION,
                       "connecting to %s:%s: no answer in time (connect_timeout)",
                       PQhost(slot->conn) ? PQhost(slot->conn) : "", PQport(slot->conn));
    if (r < 0 || PQstatus(slot->conn) != CONNECTION_OK)
        return failure_of_connection(ret_error, slot->conn, "connecting");
    return 0;
}

/* ---- one attempt ----------------------------------------------------------------------------- */

struct attempt {
    const struct target *target;
    struct weir_connect_params from_hook;
    bool has_hook;
    char application_name[64];
};

static int attempt_prepare(struct slot *slot, struct attempt *attempt,
                           struct weir_error **ret_error)
{
    const struct options *options = &slot->pool->options;
    struct weir_hook hook = {
        .size = sizeof(hook), .pool = slot->pool, .deadline_ns = slot->errand.deadline_ns};
    const char *pod = secure_getenv("HOSTNAME"), *service = secure_getenv("OTEL_SERVICE_NAME");

    memset(attempt, 0, sizeof(*attempt));
    attempt->target = pool_target_now(slot->pool);
    attempt->from_hook.size = sizeof(attempt->from_hook);
    if (!service)
        service = slot->pool->manager->service_name;
    if (OPTION_OF(options, application_name)) /* cut: the server keeps 63 bytes */
        (void)snprintf(attempt->application_name, sizeof(attempt->application_name), "%s/%s/%s",
                       service ? service : program_invocation_short_name, pod ? pod : "",
                       options->name);
    if (!options->before_connect)
        return 0;
    attempt->has_hook = true;
    if (options->before_connect(options->hook_userdata, &hook, &attempt->from_hook))
        return failure(ret_error, WEIR_ERROR_HOOK, "pool %s: the hook before_connect failed",
                       options->name);
    return 0;
}

/* Later keywords beat earlier ones; those of conninfo stand where dbname does. */
static void attempt_params(const struct attempt *attempt, const struct target_host *host,
                           const char *session_attrs, struct params *ret)
{
    const struct weir_connect_params *hook = &attempt->from_hook;
    static const char user_timeout[] = "10000";

    static_assert(TCP_USER_TIMEOUT_MS == 10000, "its text");
    *ret = (struct params){0};
    params_add(ret, "tcp_user_timeout", user_timeout);
    params_add(ret, "dbname", attempt->target->conninfo);
    if (host) {
        params_add(ret, "host", host->host ? host->host : "");
        params_add(ret, "hostaddr", host->hostaddr ? host->hostaddr : "");
        params_add(ret, "port", host->port ? host->port : "");
    }
    params_add(ret, "target_session_attrs", session_attrs);
    if (attempt->has_hook && *hook->host) {
        params_add(ret, "host", hook->host);
        params_add(ret, "hostaddr", "");
    }
    params_add(ret, "port", *hook->port ? hook->port : NULL);
    params_add(ret, "user", *hook->user ? hook->user : NULL);
    params_add(ret, "password", *hook->password ? hook->password : NULL);
    params_add(ret, "application_name",
               *attempt->application_name ? attempt->application_name : NULL);
}

static int attempt_host(struct slot *slot, const struct attempt *attempt,
                        const struct target_host *host, const char *session_attrs,
                        uint64_t deadline_ns, struct weir_error **ret_error)
{
    const struct weir_pool *pool = slot->pool;
    const struct target_host *shown = host ? host : &attempt->target->hosts[0];
    const char *name = shown->host ? shown->host : shown->hostaddr, *port = shown->port;
    struct weir_error *error = NULL;
    struct params params;
    int r;

    if (*attempt->from_hook.host)
        name = attempt->from_hook.host;
    if (*attempt->from_hook.port)
        port = attempt->from_hook.port;
    attempt_params(attempt, host, session_attrs, &params);
    slot->probe = probe_begin(pool, attempt->target->database, name, port);
    r = conn_open(slot, &params, deadline_ns, &error);
    probe_end(slot, error);
    if (r) {
        connect_close(slot, WEIR_FAILURE_CONNECT_FAILED);
        if (ret_error) {
            weir_error_free(*ret_error); /* of the host before */
            *ret_error = error;
        }
    }
    return r;
}

/* Every host in turn, each with its share of the time that is left. */
static int attempt_round(struct slot *slot, const struct attempt *attempt,
                         const char *session_attrs, uint64_t deadline_ns,
                         struct weir_error **ret_error)
{
    const struct target *target = attempt->target;
    int r = 0;

    if (target->count == 1 || *attempt->from_hook.host)
        return attempt_host(slot, attempt, NULL, session_attrs, deadline_ns, ret_error);
    for (unsigned i = 0; i < target->count; i++) {
        uint64_t now_ns = clock_monotonic_ns();
        if (now_ns >= deadline_ns)
            return r ? r
                     : failure(ret_error, WEIR_ERROR_CONNECTION,
                               "connecting: no time was left for it (connect_timeout)");
        r = attempt_host(slot, attempt, &target->hosts[i], session_attrs,
                         now_ns + (deadline_ns - now_ns) / (target->count - i), ret_error);
        if (!r)
            break;
    }
    return r;
}

static int slot_equip(struct slot *slot, struct weir_error **ret_error)
{
    const struct options *options = &slot->pool->options;
    uint64_t lifetime_ns = OPTION_NS(options, lifetime_ms);
    uint64_t jitter_ns = lifetime_ns / 100 * (uint64_t)OPTION_OF(options, lifetime_jitter);

    slot->cancel = server_cancel_new(slot->conn);
    if (!slot->cancel)
        return failure_memory(ret_error);
    (void)PQsetnonblocking(slot->conn, 1); /* nothing is to be flushed yet */
    slot->is_blocking = false;
    atomic_store_explicit(&slot->fd, PQsocket(slot->conn), memory_order_relaxed);
    atomic_store_explicit(&slot->backend_pid, (uint32_t)PQbackendPID(slot->conn),
                          memory_order_relaxed);
    slot->opened_ns = clock_monotonic_ns();
    slot->expires_ns = lifetime_ns == UINT64_MAX
                           ? UINT64_MAX
                           : slot->opened_ns + lifetime_ns - dice_below(jitter_ns + 1);
    slot->changes = 0;
    slot->is_lost = slot->has_settings = false;
    slot->depth = 0;
    slot->busy_with = NULL;
    return 0;
}

int connect_run(struct slot *slot, uint64_t deadline_ns, struct weir_error **ret_error)
{
    struct weir_pool *pool = slot->pool;
    struct attempt attempt;
    int r;

    atomic_store_explicit(&slot->epoch, atomic_load_explicit(&pool->epoch, memory_order_acquire),
                          memory_order_relaxed);
    r = attempt_prepare(slot, &attempt, ret_error);
    if (r) {
        explicit_bzero(attempt.from_hook.password, sizeof(attempt.from_hook.password));
        return r;
    }
    if (attempt.target->prefers_standby) {
        uint64_t now_ns = clock_monotonic_ns();
        r = attempt_round(slot, &attempt, "standby",
                          now_ns + (deadline_ns > now_ns ? (deadline_ns - now_ns) / 2 : 0),
                          ret_error);
        if (r)
            r = attempt_round(slot, &attempt, "any", deadline_ns, ret_error);
    } else {
        r = attempt_round(slot, &attempt, NULL, deadline_ns, ret_error);
    }
    explicit_bzero(attempt.from_hook.password, sizeof(attempt.from_hook.password));
    if (!r)
        r = slot_equip(slot, ret_error);
    if (!r && ret_error && *ret_error) {
        weir_error_free(*ret_error); /* of hosts that were passed over */
        *ret_error = NULL;
    }
    return r;
}

void connect_close(struct slot *slot, enum weir_failure why)
{
    exchange_forget(slot);
    slot->cancel = server_cancel_unref(slot->cancel);
    atomic_store_explicit(&slot->fd, -1, memory_order_relaxed);
    atomic_store_explicit(&slot->backend_pid, 0, memory_order_relaxed);
    if (slot->conn)
        PQfinish(slot->conn);
    slot->conn = NULL;
    if (slot->probe)
        slot->pool->table->connection_close(slot->probe, why, NULL);
    slot->probe = NULL;
}

/* ---- how often: under the pool's mutex ------------------------------------------------------- */

/* Attempts that may be saved up for a moment of need. */
static uint32_t tokens_most(const struct weir_pool *pool)
{
    uint32_t rate = (uint32_t)OPTION_OF(&pool->options, connect_rate_max);
    uint32_t at_once = (uint32_t)OPTION_OF(&pool->options, connects_max);

    return at_once < (rate + 1) / 2 ? at_once : (rate + 1) / 2;
}

/* A second. What is saved up comes off it, so that no second ever sees more than the rate. */
static double tokens_rate(const struct weir_pool *pool)
{
    return OPTION_OF(&pool->options, connect_rate_max) - (double)tokens_most(pool) + 1;
}

static void tokens_count(struct weir_pool *pool, uint64_t now_ns)
{
    struct attempts *attempts = &pool->attempts;
    double most = tokens_most(pool);

    if (!attempts->tokens_ns)
        attempts->tokens = most;
    else if (now_ns > attempts->tokens_ns)
        attempts->tokens +=
            (double)(now_ns - attempts->tokens_ns) / (double)NS_PER_S * tokens_rate(pool);
    if (attempts->tokens > most)
        attempts->tokens = most;
    attempts->tokens_ns = now_ns;
}

/* How many connections are wanted beside those that are being opened. */
static uint32_t connects_wanted(const struct weir_pool *pool)
{
    const struct attempts *attempts = &pool->attempts;
    uint32_t max = (uint32_t)OPTION_OF(&pool->options, connections_max);
    uint32_t min = (uint32_t)OPTION_OF(&pool->options, connections_min);
    struct queue_rule rule = pool_queue_rule(pool);
    uint32_t room = pool->total < max ? max - pool->total : 0, waiting = 0, wanted;

    if (pool->rules & RULE_DRAINING || !room)
        return 0;
    /* Who waits for a suspended pool may find connections enough when it is resumed. */
    if (pool->queue.waiting && !(pool->rules & RULE_SUSPENDED))
        waiting = queue_servable(&pool->queue, &rule, max);
    wanted = waiting > attempts->running ? waiting - attempts->running : 0;
    if (pool->total < min && min - pool->total > wanted)
        wanted = min - pool->total;
    return wanted < room ? wanted : room;
}

static uint32_t connects_at_once(const struct weir_pool *pool)
{
    const struct attempts *attempts = &pool->attempts;
    uint32_t most = attempts->failures ? 1 : (uint32_t)OPTION_OF(&pool->options, connects_max);

    /* One that hangs holds up the others for its time only; the next may find a hook that works. */
    return attempts->stuck < STUCK_MAX && most > attempts->running ? most - attempts->running : 0;
}

/* When an attempt that is wanted may begin; UINT64_MAX: none is wanted, or one that ends is first.
 */
static uint64_t connect_due(const struct weir_pool *pool, uint64_t now_ns)
{
    const struct attempts *attempts = &pool->attempts;
    uint64_t due_ns = now_ns;

    if (!connects_wanted(pool) || !connects_at_once(pool))
        return UINT64_MAX;
    if (attempts->tokens < 1)
        due_ns += (uint64_t)((1 - attempts->tokens) / tokens_rate(pool) * (double)NS_PER_S);
    return due_ns > attempts->not_before_ns ? due_ns : attempts->not_before_ns;
}

static struct slot *slot_reserve(struct weir_pool *pool)
{
    struct slot *slot;

    if (pool->slots_free != SLOT_NONE) {
        slot = pool->slots[pool->slots_free];
        pool->slots_free = atomic_load_explicit(&slot->next_idle, memory_order_relaxed);
        return slot;
    }
    if (pool->slots_made >= SLOTS_MAX)
        return NULL;
    slot = aligned_alloc(SLOT_ALIGN, sizeof(*slot));
    if (!slot)
        return NULL;
    memset(slot, 0, sizeof(*slot));
    slot->pool = pool;
    slot->index = pool->slots_made;
    atomic_init(&slot->fd, -1);
    pool->slots[pool->slots_made++] = slot;
    return slot;
}

void connect_grow(struct weir_pool *pool, uint64_t now_ns)
{
    struct attempts *attempts = &pool->attempts;
    uint32_t wanted = connects_wanted(pool), at_once = connects_at_once(pool);
    struct slot *slot;

    if (!wanted || !at_once)
        return;
    tokens_count(pool, now_ns);
    for (; wanted && at_once && attempts->tokens >= 1 && now_ns >= attempts->not_before_ns;
         wanted--, at_once--) {
        slot = slot_reserve(pool);
        if (!slot)
            return;
        attempts->tokens -= 1;
        attempts->running++;
        pool->total++;
        slot->evict_epoch = pool->evict_epoch;
        slot->is_lost = false;
        errand_start(slot, ERRAND_CONNECT, now_ns + OPTION_NS(&pool->options, connect_timeout_ms));
    }
    pool->connect_due_ns = connect_due(pool, now_ns);
}

static void attempts_back_off(struct weir_pool *pool, uint64_t now_ns)
{
    struct attempts *attempts = &pool->attempts;
    uint64_t least = OPTION_NS(&pool->options, backoff_min_ms);
    uint64_t most = OPTION_NS(&pool->options, backoff_max_ms), delay = least;

    for (uint32_t i = 1; i < attempts->failures && delay < most; i++)
        delay *= 2;
    if (delay > most)
        delay = most;
    if (attempts->is_permanent)
        delay *= PERMANENT_FACTOR;
    attempts->not_before_ns = now_ns + delay / 2 + dice_below(delay / 2 + 1);
}

void connect_ended(struct weir_pool *pool, struct weir_error *error, uint64_t now_ns)
{
    struct attempts *attempts = &pool->attempts;

    attempts->running--;
    weir_error_free(attempts->last_error);
    attempts->last_error = error;
    if (!error) {
        attempts->failures = 0;
        attempts->is_permanent = false;
        attempts->not_before_ns = 0;
        pool_count(&pool->counters.connected);
        return;
    }
    attempts->failures++;
    pool_count(&pool->counters.connect_failures);
    /* A hook may supply another password next time. */
    attempts->is_permanent = !weir_error_is_retryable(error) && !pool->options.before_connect &&
                             weir_error_category(error) != WEIR_ERROR_HOOK &&
                             weir_error_category(error) != WEIR_ERROR_MEMORY;
    attempts_back_off(pool, now_ns);
}
