/* A service whose statements never repeat: makes @count of them through the probe, then a new one
 * 1,000 times, says "done", and lives until its standard input ends.
 *
 *   many_texts tables COUNT RATE         each selects from another table
 *   many_texts traceparents COUNT RATE   one text, each with another traceparent comment
 *
 * RATE is in statements a second: the test is about texts, not about full lanes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "weir/probe.h"

enum { NEW_STATEMENT_CALLS = 1000, TEXT_MAX = 256 };

static void execute(struct weir_probe_connection *connection, const char *text)
{
    struct weir_probe_statement statement;
    struct weir_probe_statement_result result = {.size = sizeof(result), .rows = 1};

    weir_probe_statement_begin(connection, &statement, text, SIZE_MAX, 0);
    weir_probe_statement_end(&statement, &result);
}

/* Time lost is not caught up: a burst would be a test of lanes. */
static void pace(uint64_t *begun_ns, unsigned long sent, unsigned long rate)
{
    uint64_t due_ns = *begun_ns + sent * NS_PER_S / rate, now_ns = clock_monotonic_ns();
    struct timespec pause = {.tv_nsec = 1000000};

    if (now_ns < due_ns)
        (void)nanosleep(&pause, NULL);
    else if (now_ns - due_ns > 10 * NS_PER_MS)
        *begun_ns += now_ns - due_ns;
}

int main(int argc, char **argv)
{
    if (argc != 4 || (strcmp(argv[1], "tables") != 0 && strcmp(argv[1], "traceparents") != 0)) {
        fprintf(stderr, "usage: many_texts tables|traceparents COUNT RATE\n");
        return 2;
    }
    int is_tables = strcmp(argv[1], "tables") == 0;
    unsigned long count = strtoul(argv[2], NULL, 10), rate = strtoul(argv[3], NULL, 10);
    struct weir_probe_pool_opts opts = {.size = sizeof(opts), .name = "many"};
    struct weir_probe_target target = {
        .size = sizeof(target), .address = "127.0.0.1", .database = "many"};
    struct weir_probe_connect_result connected = {.size = sizeof(connected), .backend_pid = 4711};

    struct weir_probe_pool *pool = weir_probe_pool_open(&opts);
    struct weir_probe_connection *connection = weir_probe_connect_begin(pool, &target);
    weir_probe_connect_end(connection, &connected);

    char text[TEXT_MAX];
    uint64_t begun_ns = clock_monotonic_ns();
    for (unsigned long i = 1; i <= count; i++) {
        if (is_tables)
            (void)snprintf(text, sizeof(text), "SELECT id FROM tenant_%lu WHERE id = 1", i);
        else
            (void)snprintf(text, sizeof(text), "SELECT 1 /*traceparent='00-%032lx-%016lx-01'*/", i,
                           i);
        execute(connection, text);
        if (i % 100 == 0)
            pace(&begun_ns, i, rate);
    }
    for (int i = 0; i < NEW_STATEMENT_CALLS && is_tables; i++)
        execute(connection, "SELECT name FROM newcomer WHERE id = 1");
    puts("done");
    (void)fflush(stdout);
    while (getchar() != EOF)
        continue;
    weir_probe_connection_close(connection, WEIR_FAILURE_NONE, NULL);
    weir_probe_pool_close(pool);
    return 0;
}
