/* What the tests of single features share beyond pool_test.h: short ways to hold, ask and give
 * back, what the server says of one session, and a book of what libweir logged. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "pool_test.h"
#include "stall.h"
#include "weir/statement.h"

/* How late something may come on a machine that does other work too. A deadline's 50 ms are
 * measured without sanitizers only: these make every step several times as long. */
#define LATE_MS (late_ms())
enum { LATE_LEAST_MS = IS_SANITIZED ? 500 : 50, LATE_SPAN_MS = 2000 };

/* … and what the machine itself kept everybody waiting just now. */
static inline unsigned late_ms(void)
{
    uint64_t since_ns = clock_monotonic_ns() - LATE_SPAN_MS * NS_PER_MS;

    return LATE_LEAST_MS + (unsigned)(stalled_ns(since_ns) / NS_PER_MS);
}

static inline unsigned elapsed_ms(uint64_t since_ns)
{
    return (unsigned)((clock_monotonic_ns() - since_ns) / NS_PER_MS);
}

/* Only for a time that is itself the condition: "unused for so long". */
static inline void pass_ms(unsigned ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    while (nanosleep(&left, &left))
        continue;
}

static inline struct weir_connection *hold(struct weir_pool *pool)
{
    struct weir_connection *connection = NULL;

    CHECK(weir_pool_acquire(pool, NULL, &connection, &error));
    return connection;
}

static inline struct weir_connection *hold_with(struct weir_pool *pool,
                                                const struct weir_acquire_opts *opts)
{
    struct weir_connection *connection = NULL;

    CHECK(weir_pool_acquire(pool, opts, &connection, &error));
    return connection;
}

static inline void give_back(struct weir_connection *connection)
{
    assert_int_equal(weir_connection_release(connection), 0);
}

/* The category of an acquire that is to fail; its message stays in @message, if that is not NULL.
 */
static inline int refusal(struct weir_pool *pool, const struct weir_acquire_opts *opts,
                          char message[512])
{
    struct weir_connection *connection = NULL;
    struct weir_error *error = NULL;
    int r = weir_pool_acquire(pool, opts, &connection, &error);

    assert_int_equal(r, weir_error_category(error));
    assert_null(connection);
    if (message)
        (void)snprintf(message, 512, "%s", weir_error_message(error));
    weir_error_free(error);
    return r;
}

static inline struct weir_acquire_opts within_ms(int32_t timeout_ms)
{
    return (struct weir_acquire_opts){.size = sizeof(struct weir_acquire_opts),
                                      .timeout_ms = timeout_ms};
}

/* Runs @sql through libweir, which knows what it changes. */
static inline void run(struct weir_connection *connection, const char *sql)
{
    CHECK(weir_execute(connection, sql, NULL, NULL, &error));
}

/* The first value of the answer; valid until the next question of the thread. */
static inline const char *ask(struct weir_connection *connection, const char *sql)
{
    static __thread char answer[512];
    PGresult *result = NULL;

    CHECK(weir_execute(connection, sql, NULL, &result, &error));
    if (PQntuples(result) < 1)
        fail_msg("%s: no row", sql);
    (void)snprintf(answer, sizeof(answer), "%s", PQgetvalue(result, 0, 0));
    PQclear(result);
    return answer;
}

/* ---- the server ------------------------------------------------------------------------------ */

static inline bool admin_has(PGconn *admin, uint32_t pid)
{
    char sql[100];

    (void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM pg_stat_activity WHERE pid = %u", pid);
    return admin_number(admin, sql) > 0;
}

static inline void admin_terminate(PGconn *admin, uint32_t pid)
{
    char sql[100];

    (void)snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%u)", pid);
    admin_do(admin, sql);
    AWAIT(!admin_has(admin, pid));
}

/* Changes with each message that the session's server process works on, an empty query included:
 * equal values mean that nothing was sent in between. */
static inline long admin_last_word(PGconn *admin, uint32_t pid)
{
    char sql[200];

    (void)snprintf(sql, sizeof(sql),
                   "SELECT (extract(epoch FROM state_change) * 1000000)::bigint"
                   " FROM pg_stat_activity WHERE pid = %u",
                   pid);
    return admin_number(admin, sql);
}

/* ---- the log --------------------------------------------------------------------------------- */

struct note {
    enum weir_log_kind kind;
    char pool[64], message[256], statement[128], call_site[72], tenant[72];
    uint32_t backend_pid;
    uint64_t thread, duration_ns;
};

struct log_book {
    pthread_mutex_t mutex;
    unsigned count;
    struct note notes[256];
};
#define LOG_BOOK                                                                                   \
    {                                                                                              \
        .mutex = PTHREAD_MUTEX_INITIALIZER                                                         \
    }

static inline void log_book_write(void *userdata, const struct weir_log_entry *entry)
{
    struct log_book *book = userdata;

    (void)pthread_mutex_lock(&book->mutex);
    if (book->count < sizeof(book->notes) / sizeof(book->notes[0])) {
        struct note *note = &book->notes[book->count++];
        note->kind = entry->kind;
        (void)snprintf(note->pool, sizeof(note->pool), "%s", entry->pool);
        (void)snprintf(note->message, sizeof(note->message), "%s", entry->message);
        (void)snprintf(note->statement, sizeof(note->statement), "%s", entry->statement);
        (void)snprintf(note->call_site, sizeof(note->call_site), "%s", entry->call_site);
        (void)snprintf(note->tenant, sizeof(note->tenant), "%s", entry->tenant);
        note->backend_pid = entry->backend_pid;
        note->thread = entry->thread;
        note->duration_ns = entry->duration_ns;
    }
    (void)pthread_mutex_unlock(&book->mutex);
}

static inline unsigned log_book_count(struct log_book *book, enum weir_log_kind kind)
{
    unsigned count = 0;

    (void)pthread_mutex_lock(&book->mutex);
    for (unsigned i = 0; i < book->count; i++)
        count += book->notes[i].kind == kind;
    (void)pthread_mutex_unlock(&book->mutex);
    return count;
}

static inline struct note log_book_find(struct log_book *book, enum weir_log_kind kind)
{
    struct note found = {.kind = 0};

    (void)pthread_mutex_lock(&book->mutex);
    for (unsigned i = 0; i < book->count && !found.kind; i++)
        if (book->notes[i].kind == kind)
            found = book->notes[i];
    (void)pthread_mutex_unlock(&book->mutex);
    if (!found.kind)
        fail_msg("nothing of kind %d was logged", kind);
    return found;
}

static inline struct pool_fixture logged_open(const struct weir_pool_opts *opts,
                                              struct log_book *book)
{
    struct weir_manager_opts manager_opts = {
        .size = sizeof(manager_opts), .log = log_book_write, .log_userdata = book};

    return pool_fixture_open(opts, &manager_opts);
}
