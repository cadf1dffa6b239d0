/* A program over libpq, as anybody writes one: each mode drives another part of the interface and
 * prints what it sees. Arguments: the modes. Knows nothing of Weir. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include <libpq-fe.h>
#include <libpq/libpq-fs.h>

enum {
    INT4PL = 177, /* the function int4pl(int, int) */
    THREADS = 8,
};

static void fail(PGconn *conn, const char *what)
{
    printf("%s: %s\n", what, PQerrorMessage(conn));
    exit(1);
}

static PGconn *open_connection(void)
{
    PGconn *conn = PQconnectdb("");

    if (PQstatus(conn) != CONNECTION_OK)
        fail(conn, "connect");
    return conn;
}

static void show(PGresult *result)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    printf("%s %s rows %d %s\n", PQresStatus(PQresultStatus(result)), PQcmdStatus(result),
           PQntuples(result), sqlstate ? sqlstate : "");
    PQclear(result);
}

static void show_all(PGconn *conn)
{
    PGresult *result;

    while ((result = PQgetResult(conn)))
        show(result);
}

static void mode_exec(PGconn *conn)
{
    show(PQexec(conn, "SELECT 1 AS first; SELECT 2 AS second; SELECT generate_series(1, 3)"));
    show(PQexec(conn, "SELECT 1 AS before; SELECT 1/0 AS failing; SELECT 1 AS never"));
    show(PQexec(conn, "SELECT 1 AS whole; SELEC 2"));
    show(PQexec(conn, ""));
    show(PQexec(conn, "-- nothing but words"));
    show(PQexec(conn, "CREATE TEMP TABLE mine (a int PRIMARY KEY)"));
    show(PQexec(conn, "INSERT INTO mine VALUES (1), (2)"));
    show(PQexec(conn, "INSERT INTO mine VALUES (1)"));
    show(PQexec(conn, "SET standard_conforming_strings = off"));
    show(PQexec(conn, "SELECT 'a\\'; SELECT 1' AS backslash"));
    show(PQexec(conn, "SET standard_conforming_strings = on"));
}

static void mode_params(PGconn *conn)
{
    const char *value = "7";

    show(PQexecParams(conn, "SELECT $1::int AS parameter", 1, NULL, &value, NULL, NULL, 0));
    show(PQexecParams(conn, "SELECT 1/($1::int - 7) AS failing", 1, NULL, &value, NULL, NULL, 0));
    show(PQexecParams(conn, "SELECT 1; SELECT 2", 0, NULL, NULL, NULL, NULL, 0));
    show(PQexecParams(conn, "", 0, NULL, NULL, NULL, NULL, 0));
}

static void mode_prepared(PGconn *conn)
{
    const char *value = "7";

    show(PQprepare(conn, "mine", "SELECT $1::int AS prepared", 0, NULL));
    show(PQprepare(conn, "mine", "SELECT 'twice'", 0, NULL));
    for (int i = 0; i < 3; i++)
        show(PQexecPrepared(conn, "mine", 1, &value, NULL, NULL, 0));
    show(PQdescribePrepared(conn, "mine"));
    show(PQexecPrepared(conn, "nobody's", 0, NULL, NULL, NULL, 0));
    show(PQprepare(conn, "", "SELECT 'unnamed' AS one", 0, NULL));
    show(PQexecPrepared(conn, "", 0, NULL, NULL, NULL, 0));
    show(PQexec(conn, "PREPARE Other AS SELECT $1::text AS other; EXECUTE other('a')"));
    show(PQexec(conn, "EXECUTE OTHER('b')"));
    show(PQexec(conn, "DEALLOCATE other"));
    show(PQexec(conn, "DEALLOCATE ALL"));
    show(PQexecPrepared(conn, "mine", 1, &value, NULL, NULL, 0));
}

static void mode_async(PGconn *conn)
{
    char *query = strdup("SELECT 1 AS one; SELECT 2 AS two; UPDATE nothing SET a = 1; SELECT 4");

    printf("%d\n", PQsendQuery(conn, query));
    memset(query, '#', strlen(query));
    free(query);
    printf("%d\n", PQsendQuery(conn, "SELECT 'refused'"));
    while (PQisBusy(conn)) {
        struct pollfd readable = {.fd = PQsocket(conn), .events = POLLIN};
        (void)poll(&readable, 1, -1); /* then we look */
        (void)PQconsumeInput(conn);
    }
    show_all(conn);
    printf("%d\n",
           PQsendQuery(conn, "SELECT 'left unread' AS unread; SELECT 'this too' AS unread"));
    show(PQexec(conn, "SELECT 'after that' AS after"));
    printf("%d\n", PQsendQuery(conn, "SELECT pg_sleep(0) AS fetched_late"));
    usleep(100000);
    show_all(conn);
}

static void mode_rows(PGconn *conn)
{
    printf("%d\n", PQsendQuery(conn, "SELECT generate_series(1, 5) AS single"));
    printf("%d\n", PQsetSingleRowMode(conn));
    show_all(conn);
    printf("%d\n", PQsendQuery(conn, "SELECT 1 / (3 - generate_series(1, 5)) AS single_failing"));
    printf("%d\n", PQsetSingleRowMode(conn));
    show_all(conn);
}

static void pipeline_round(PGconn *conn, const char *divisor)
{
    const char *value = divisor;

    printf("%d", PQsendQueryParams(conn, "SELECT 'piped' AS piped", 0, NULL, NULL, NULL, NULL, 0));
    printf("%d", PQsendPrepare(conn, "", "SELECT 1 / $1::int AS piped_prepared", 0, NULL));
    printf("%d", PQsendQueryPrepared(conn, "", 1, &value, NULL, NULL, 0));
    printf("%d",
           PQsendQueryParams(conn, "SELECT 'behind' AS behind", 0, NULL, NULL, NULL, NULL, 0));
    printf("%d\n", PQpipelineSync(conn));
}

static void mode_pipeline(PGconn *conn)
{
    int syncs = 0;

    printf("%d\n", PQenterPipelineMode(conn));
    pipeline_round(conn, "1");
    pipeline_round(conn, "0");
    pipeline_round(conn, "2");
    while (syncs < 3) {
        PGresult *result = PQgetResult(conn);
        if (!result)
            continue;
        syncs += PQresultStatus(result) == PGRES_PIPELINE_SYNC;
        show(result);
    }
    printf("%d\n", PQexitPipelineMode(conn));
    show(PQexec(conn, "SELECT 'after the pipeline' AS after"));
}

static void mode_copy(PGconn *conn)
{
    static char line[] = "1\ttext\n";
    char *row;

    show(PQexec(conn, "CREATE TEMP TABLE copied (a int, b text)"));
    show(PQexec(conn, "COPY copied FROM STDIN; SELECT count(*) FROM copied"));
    for (int i = 0; i < 3; i++)
        printf("%d\n", PQputCopyData(conn, line, (int)strlen(line)));
    printf("%d\n", PQputCopyEnd(conn, NULL));
    show_all(conn);
    show(PQexec(conn, "COPY copied FROM STDIN"));
    printf("%d\n", PQputCopyData(conn, "broken\n", 7));
    printf("%d\n", PQputCopyEnd(conn, NULL));
    show_all(conn);
    show(PQexec(conn, "COPY copied TO STDOUT"));
    while (PQgetCopyData(conn, &row, 0) > 0) {
        printf("%s", row);
        PQfreemem(row);
    }
    show_all(conn);
    show(PQexec(conn, "COPY copied (a) FROM STDIN"));
    printf("%d\n", PQputline(conn, "5\n"));
    printf("%d\n", PQputline(conn, "\\.\n"));
    printf("%d\n", PQendcopy(conn));
    show(PQexec(conn, "SELECT count(*) AS copied FROM copied"));
}

static void mode_fastpath(PGconn *conn)
{
    PQArgBlock arguments[2] = {{.len = 4, .isint = 1, .u.integer = 40},
                               {.len = 4, .isint = 1, .u.integer = 2}};
    int sum = 0, length = 0, descriptor;
    Oid object;

    show(PQfn(conn, INT4PL, &sum, &length, 1, arguments, 2));
    printf("%d\n", sum);
    show(PQexec(conn, "BEGIN"));
    object = lo_creat(conn, INV_READ | INV_WRITE);
    descriptor = lo_open(conn, object, INV_WRITE);
    printf("%d\n", lo_write(conn, descriptor, "large", 5));
    printf("%d\n", lo_close(conn, descriptor));
    printf("%d\n", lo_unlink(conn, object));
    show(PQexec(conn, "COMMIT"));
}

static PGcancel *cancel_now;

static void cancel_in_handler(int number)
{
    char error[256];

    (void)number;
    (void)PQcancel(cancel_now, error, sizeof(error)); /* seen by its effect */
}

static void mode_cancel(PGconn *conn)
{
    struct sigaction action = {.sa_handler = cancel_in_handler};
    struct itimerval after = {.it_value.tv_usec = 200000};

    cancel_now = PQgetCancel(conn);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &after, NULL);
    show(PQexec(conn, "SELECT pg_sleep(30) AS cancelled"));
    PQfreeCancel(cancel_now);
}

static void mode_transactions(PGconn *conn)
{
    show(PQexec(conn, "BEGIN; SELECT 1 AS inside; SAVEPOINT s; SELECT 1/0 AS failing"));
    show(PQexec(conn, "SELECT 'ignored' AS ignored"));
    show(PQexec(conn, "ROLLBACK TO s; SELECT 2 AS inside_again; COMMIT AND CHAIN"));
    show(PQexec(conn, "ROLLBACK"));
    show(PQexec(conn, "LISTEN ear; NOTIFY ear, 'heard'"));
    (void)PQconsumeInput(conn);
    for (PGnotify *heard; (heard = PQnotifies(conn)); PQfreemem(heard))
        printf("%s %s\n", heard->relname, heard->extra);
    show(PQexec(conn, "UNLISTEN *"));
}

static void await_polling(PGconn *conn, PostgresPollingStatusType (*ask)(PGconn *))
{
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;

    while (status != PGRES_POLLING_OK && status != PGRES_POLLING_FAILED) {
        struct pollfd ready = {.fd = PQsocket(conn),
                               .events = status == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        (void)poll(&ready, 1, -1); /* then we ask */
        status = ask(conn);
    }
    printf("%s\n", status == PGRES_POLLING_OK ? "connected" : "refused");
}

static void mode_connect(PGconn *conn)
{
    static const char *const keywords[] = {"application_name", "dbname", NULL};
    static const char *const values[] = {"modes", "", NULL};
    PGconn *other = PQconnectStart("");

    await_polling(other, PQconnectPoll);
    show(PQexec(other, "SELECT 'polled' AS polled"));
    PQreset(other);
    show(PQexec(other, "SELECT 'reset' AS reset"));
    printf("%d\n", PQresetStart(other));
    await_polling(other, PQresetPoll);
    show(PQexec(other, "SELECT 'reset again' AS reset"));
    PQfinish(other);
    other = PQconnectdbParams(keywords, values, 1);
    show(PQexec(other, "SELECT 'params' AS by"));
    PQfinish(other);
    other = PQsetdbLogin(NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    show(PQexec(other, "SELECT 'login' AS by"));
    PQfinish(other);
    other = PQconnectdb("host=127.0.0.1 port=1 connect_timeout=2");
    printf("%d %d\n", PQstatus(other), PQexec(other, "SELECT 'never'") == NULL);
    PQfinish(other);
    other = PQconnectdb("nonsense");
    printf("%d\n", PQstatus(other));
    PQfinish(other);
    printf("%d\n", PQping(""));
    show(PQexec(conn, "SELECT pg_terminate_backend(pg_backend_pid()) AS lost"));
    show(PQexec(conn, "SELECT 'on a lost connection' AS lost"));
    PQfinish(NULL);
}

static void *work(void *unused)
{
    PGconn *conn = open_connection();

    (void)unused;
    for (int i = 0; i < 200; i++) {
        PGresult *result = PQexec(conn, "SELECT 'threads' AS threads; SELECT 2 AS threads");
        if (PQresultStatus(result) != PGRES_TUPLES_OK)
            fail(conn, "thread");
        PQclear(result);
    }
    PQfinish(conn);
    return NULL;
}

static void mode_threads(PGconn *conn)
{
    pthread_t threads[THREADS];

    (void)conn;
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, NULL))
            exit(1);
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    printf("done\n");
}

static const struct {
    const char *name;
    void (*run)(PGconn *conn);
} modes[] = {
    {"exec", mode_exec},         {"params", mode_params},
    {"prepared", mode_prepared}, {"async", mode_async},
    {"rows", mode_rows},         {"pipeline", mode_pipeline},
    {"copy", mode_copy},         {"fastpath", mode_fastpath},
    {"cancel", mode_cancel},     {"transactions", mode_transactions},
    {"connect", mode_connect},   {"threads", mode_threads},
};

static void keep_quiet(void *unused, const char *message)
{
    (void)unused;
    (void)message;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        for (size_t j = 0; j < sizeof(modes) / sizeof(modes[0]); j++) {
            PGconn *conn;
            if (strcmp(argv[i], modes[j].name) != 0)
                continue;
            conn = open_connection();
            PQsetNoticeProcessor(conn, keep_quiet, NULL);
            modes[j].run(conn);
            PQfinish(conn);
        }
    }
    return 0;
}
