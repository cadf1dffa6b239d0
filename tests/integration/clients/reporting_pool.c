/* A pool over libpq that reports itself to the probe, as a connection manager does: two connections
 * whose making it hides from the preload. Beside them, in the same process, plain libpq that
 * reports nothing. Stops twice, each time until a line comes: with both connections held and a
 * request waiting, and at rest. */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "include/weir/probe.h"
#include "shim/probe/table.h"

enum { OWN = 2 };

struct own {
    PGconn *conn;
    struct weir_probe_connection *probe;
};

static struct weir_probe_pool *pool;
static struct own own[OWN];

static void fail(const PGconn *conn, const char *what)
{
    printf("%s: %s\n", what, PQerrorMessage(conn));
    exit(1);
}

static void pause_at(const char *where)
{
    char line[16];

    puts(where);
    (void)fflush(stdout);
    if (!fgets(line, sizeof(line), stdin))
        exit(1);
}

/* ---- connecting ------------------------------------------------------------------------------ */

static PGconn *connect_at_once(void)
{
    return PQconnectdb("");
}

/* Only the first call opens it; polling may come from anywhere. */
static PGconn *connect_start(void)
{
    return PQconnectStart("");
}

static void connect_poll(PGconn *conn)
{
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;

    while (status != PGRES_POLLING_OK && status != PGRES_POLLING_FAILED) {
        struct pollfd ready = {.fd = PQsocket(conn),
                               .events = status == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        if (poll(&ready, 1, -1) < 0)
            fail(conn, "poll");
        status = PQconnectPoll(conn);
    }
}

static void connected(struct own *here)
{
    struct weir_probe_connect_result result = {.size = sizeof(result),
                                               .backend_pid = (uint32_t)PQbackendPID(here->conn),
                                               .library_version = (uint32_t)PQlibVersion()};

    if (PQstatus(here->conn) != CONNECTION_OK)
        fail(here->conn, "connect");
    weir_probe_connect_end(here->probe, &result);
}

static void own_connect(struct own *here, PGconn *(*begin)(void))
{
    struct weir_probe_target target = {.size = sizeof(target),
                                       .address = getenv("PGHOST"),
                                       .port = (uint16_t)strtoul(getenv("PGPORT"), NULL, 10),
                                       .database = getenv("PGDATABASE")};

    here->probe = weir_probe_connect_begin(pool, &target);
    weir_probe_connects_covered(1);
    here->conn = begin();
    weir_probe_connects_covered(0);
    if (begin == connect_start)
        connect_poll(here->conn);
    connected(here);
}

static void own_reset(struct own *here)
{
    weir_probe_connection_reset(here->probe);
    PQreset(here->conn);
    connected(here);
}

static void own_close(struct own *here)
{
    PQfinish(here->conn);
    weir_probe_connection_close(here->probe, WEIR_FAILURE_NONE, NULL);
}

/* ---- statements ------------------------------------------------------------------------------ */

static void answered(struct weir_probe_statement *statement, PGresult *answer)
{
    struct weir_probe_statement_result result = {.size = sizeof(result),
                                                 .sqlstate =
                                                     PQresultErrorField(answer, PG_DIAG_SQLSTATE),
                                                 .rows = (uint64_t)PQntuples(answer)};

    weir_probe_statement_end(statement, &result);
    PQclear(answer);
}

static void own_run(struct own *here, const char *sql)
{
    struct weir_probe_statement statement;

    weir_probe_statement_begin(here->probe, &statement, sql, SIZE_MAX, 0);
    answered(&statement, PQexec(here->conn, sql));
}

static void own_run_prepared(struct own *here)
{
    static const char sql[] = "SELECT count(*) FROM pg_attribute WHERE attnum = $1";
    struct weir_probe_text *text = weir_probe_text_new(sql, SIZE_MAX, 0);
    const char *value = "7";
    struct weir_probe_statement statement;

    PQclear(PQprepare(here->conn, "p", sql, 0, NULL));
    weir_probe_prepare(here->probe, text, WEIR_PREPARE_PARSE, 1000, NULL);
    for (int i = 0; i < 3; i++) {
        weir_probe_statement_begin_prepared(here->probe, &statement, text, WEIR_STATEMENT_PREPARED);
        answered(&statement, PQexecPrepared(here->conn, "p", 1, &value, NULL, NULL, 0));
    }
    weir_probe_text_free(text);
}

/* Asks again as long as nothing comes: one that arrives before the statement does is lost. */
static void cancel_until_answered(PGconn *conn)
{
    struct pollfd ready = {.fd = PQsocket(conn), .events = POLLIN};
    PGcancel *cancel = PQgetCancel(conn);
    char reason[256];

    do {
        if (!PQcancel(cancel, reason, sizeof(reason)))
            fail(conn, "cancel");
    } while (poll(&ready, 1, 100) == 0);
    PQfreeCancel(cancel);
}

static void own_run_cancelled(struct own *here)
{
    static const char sql[] = "SELECT pg_sleep(60)";
    struct weir_probe_statement statement;

    weir_probe_statement_begin(here->probe, &statement, sql, SIZE_MAX, 0);
    if (!PQsendQuery(here->conn, sql))
        fail(here->conn, "send");
    weir_probe_cancel(here->probe);
    cancel_until_answered(here->conn);
    answered(&statement, PQgetResult(here->conn));
    PQclear(PQgetResult(here->conn));
}

static void own_run_pipeline(struct own *here)
{
    struct weir_probe_statement statements[2];
    const char *texts[2] = {"SELECT count(*) FROM pg_am", "SELECT count(*) FROM pg_cast"};

    (void)PQenterPipelineMode(here->conn);
    for (int i = 0; i < 2; i++) {
        weir_probe_statement_begin(here->probe, &statements[i], texts[i], SIZE_MAX,
                                   WEIR_STATEMENT_PIPELINED);
        if (!PQsendQueryParams(here->conn, texts[i], 0, NULL, NULL, NULL, NULL, 0))
            fail(here->conn, "pipeline");
    }
    (void)PQpipelineSync(here->conn);
    for (int i = 0; i < 2; i++) {
        answered(&statements[i], PQgetResult(here->conn));
        PQclear(PQgetResult(here->conn));
    }
    PQclear(PQgetResult(here->conn)); /* the end of the pipeline's part */
    (void)PQexitPipelineMode(here->conn);
}

/* ---- the same process's plain libpq ---------------------------------------------------------- */

static void *plain_use(void *argument)
{
    PGconn *conn = PQconnectdb("");

    (void)argument;
    if (PQstatus(conn) != CONNECTION_OK)
        fail(conn, "plain connect");
    PQclear(PQexec(conn, "SELECT count(*) FROM pg_proc"));
    PQclear(PQexec(conn, "SELECT count(*) FROM pg_type"));
    PQclear(PQexecParams(conn, "SELECT count(*) FROM pg_index", 0, NULL, NULL, NULL, NULL, 0));
    PQfinish(conn);
    return NULL;
}

/* ---- holds ----------------------------------------------------------------------------------- */

static void use_own(void)
{
    weir_probe_acquire_immediate(pool, own[0].probe, "use_own");
    own_run(&own[0], "SELECT count(*) FROM pg_class");
    own_run(&own[0], "SELECT count(*) FROM pg_type");
    own_run(&own[0], "SELECT 1/0");
    own_run_prepared(&own[0]);
    own_run_pipeline(&own[0]);
    own_run_cancelled(&own[0]);
    weir_probe_release(own[0].probe);
    own_reset(&own[0]);
    weir_probe_acquire_immediate(pool, own[0].probe, "use_own");
    own_run(&own[0], "SELECT count(*) FROM pg_enum");
    weir_probe_release_noting(own[0].probe, WEIR_PROBE_RELEASE_ROLLED_BACK);
}

/* Both are held, one by a request that named its tenant, one by a request that waited; a third
 * waits until it gives up. */
static void use_all(void)
{
    const struct probe_table *probe = probe_table();
    struct weir_probe_acquire waited, waiting;
    struct probe_context mine;

    probe->context_save(&mine);
    probe->tenant_set("tenant-of-acquire");
    probe->trace_set("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", NULL);
    weir_probe_acquire_immediate(pool, own[0].probe, "held at once");
    probe->context_restore(&mine);
    weir_probe_acquire_begin(pool, &waited, "held after a wait");
    weir_probe_acquire_end(&waited, own[1].probe, WEIR_FAILURE_NONE, NULL);
    weir_probe_tenant_set("tenant-that-waits");
    weir_probe_acquire_begin(pool, &waiting, "still waiting");
    weir_probe_tenant_set(NULL);
    own_run(&own[0], "SELECT count(*) FROM pg_trigger");
    pause_at("held");
    weir_probe_acquire_end(&waiting, NULL, WEIR_FAILURE_TIMEOUT, NULL);
    weir_probe_release(own[1].probe);
    weir_probe_release(own[0].probe);
}

int main(void)
{
    struct weir_probe_pool_opts opts = {.size = sizeof(opts),
                                        .name = "reporting",
                                        .connections_max = 5,
                                        .connections_min = 1,
                                        .idle_max = 4,
                                        .idle_min = 2,
                                        .flags = WEIR_PROBE_POOL_OBSERVES_ACQUIRE};
    pthread_t thread;

    pool = weir_probe_pool_open(&opts);
    own_connect(&own[0], connect_at_once);
    own_connect(&own[1], connect_start);
    if (pthread_create(&thread, NULL, plain_use, NULL))
        return 1;
    use_own();
    (void)pthread_join(thread, NULL);
    (void)plain_use(NULL);
    use_all();
    pause_at("rested");
    own_close(&own[0]);
    own_close(&own[1]);
    weir_probe_pool_close(pool);
    puts("closed");
    return 0;
}
