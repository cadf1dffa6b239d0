/* Serves fixed rows and snapshots over the real endpoints, for the tests that ask them with real
 * clients. Prints "ready HTTP-PORT METRICS-PORT" and then what the server logs; obeys lines on
 * standard input:
 *   hold         answer no request for a snapshot until `give`
 *   calls N      a new snapshot; answered to all who wait
 *   give         answer all who wait
 *   ill REASON   not healthy and not ready; `well` ends that
 *   stats        print requests, refused requests, late snapshots
 *   (end of input) stop */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/serve/server.h"
#include "fixture.h"

enum { WAITERS_MAX = 256 };

struct waiter {
    snapshot_done_fn done;
    void *token;
};

static struct {
    struct server *server;
    const struct snapshot *snapshot;
    struct waiter waiters[WAITERS_MAX];
    size_t waiter_count;
    bool is_holding;
    char illness[200];
    struct names *names;
    char line[256];
    size_t line_length;
    uv_pipe_t input;
} state;

static void waiters_answer(const struct snapshot *snapshot)
{
    size_t count = state.waiter_count;

    state.waiter_count = 0;
    for (size_t i = 0; i < count; i++)
        state.waiters[i].done(state.waiters[i].token, snapshot);
}

static void request_snapshot(void *userdata, snapshot_done_fn done, void *token)
{
    (void)userdata;
    if (!state.is_holding || state.waiter_count == WAITERS_MAX)
        done(token, state.snapshot);
    else
        state.waiters[state.waiter_count++] = (struct waiter){done, token};
}

static const struct snapshot *last_snapshot(void *userdata)
{
    (void)userdata;
    return state.snapshot ? snapshot_ref(state.snapshot) : NULL;
}

static void statements(void *userdata, statement_row_fn fn, void *fn_userdata)
{
    struct statement_row row = {.fingerprint = 0xff,
                                .summary = VIEW_LITERAL("SELECT orders"),
                                .text = VIEW_LITERAL("SELECT \"\xc3\x28\" FROM orders\n"),
                                .namespace = VIEW_LITERAL("shop"),
                                .service = VIEW_LITERAL("shop"),
                                .calls = 12,
                                .errors = 2,
                                .rows = 30,
                                .total_seconds = 0.1,
                                .p50_seconds = 0.001,
                                .p95_seconds = 0.002,
                                .p99_seconds = 0.003,
                                .max_seconds = 0.004};

    (void)userdata;
    fn(fn_userdata, &row);
    row = (struct statement_row){.calls = 5, .p50_seconds = NAN};
    fn(fn_userdata, &row);
}

static void boards(void *userdata, live_board_fn fn, void *fn_userdata)
{
    const struct attribute items[] = {
        attribute_string("service.name", VIEW_LITERAL("shop")),
        attribute_string("service.instance.id", VIEW_LITERAL("shop-1")),
    };
    CLEANUP(attributes_unrefp) const struct attributes *resource = attributes_new(items, 2);
    struct process process = {.pid = 4242, .resource = resource};
    struct live_pool pools[] = {{.process = &process,
                                 .target = 77, /* unknown: no name */
                                 .flags = POOL_HAS_LIMITS,
                                 .connections_max = 10,
                                 .connections_min = 1,
                                 .used = 3,
                                 .idle = 2,
                                 .connecting = 1}};
    struct live_connection connections[] = {{.process = &process,
                                             .state = SLOT_IDLE_IN_TRANSACTION,
                                             .backend_pid = 99,
                                             .fingerprint = 0xff,
                                             .since_ns = 1000000000,
                                             .trace_id = {1, 2, 3}}};
    struct live_waiter waiters[] = {{.process = &process, .pool = 5, .since_ns = 2000000000}};
    const struct live_board board = {.process = &process,
                                     .now_ns = 2500000000,
                                     .pools = pools,
                                     .pool_count = 1,
                                     .connections = connections,
                                     .connection_count = 1,
                                     .waiters = waiters,
                                     .waiter_count = 1};

    (void)userdata;
    fn(fn_userdata, &board);
}

static void ledger(void *userdata, ledger_row_fn fn, void *fn_userdata)
{
    struct ledger_row row = {.client_id = {0xaa},
                             .pid = 4242,
                             .service = "shop",
                             .instance = "shop-1",
                             .recorded = 100,
                             .exported = 80,
                             .in_lanes = 7,
                             .read = 3,
                             .is_alive = true};

    (void)userdata;
    row.dropped[DROP_LANES_FULL] = 10;
    fn(fn_userdata, &row);
    row.pid = 4243;
    row.tail_unknown = true;
    fn(fn_userdata, &row);
}

static char *config_json(void *userdata)
{
    (void)userdata;
    return strdup("{\"token\":\"***\"}");
}

static bool is_well(void *userdata, char *reason, size_t size)
{
    (void)userdata;
    (void)snprintf(reason, size, "%s", state.illness);
    return state.illness[0] == '\0';
}

static void log_print(void *userdata, enum serve_level level, const char *message)
{
    (void)userdata;
    printf("log %s %s\n", level == SERVE_WARNING ? "warning" : "info", message);
}

static void line_obey(const char *line)
{
    if (strcmp(line, "hold") == 0) {
        state.is_holding = true;
    } else if (strncmp(line, "calls ", 6) == 0) {
        const struct snapshot *old = state.snapshot;
        state.snapshot = fixture_snapshot_of(strtoull(line + 6, NULL, 10));
        (void)snapshot_unref(old);
        waiters_answer(state.snapshot);
    } else if (strcmp(line, "give") == 0) {
        state.is_holding = false;
        waiters_answer(state.snapshot);
    } else if (strncmp(line, "ill ", 4) == 0) {
        (void)snprintf(state.illness, sizeof(state.illness), "%.*s", (int)sizeof(state.illness) - 1,
                       line + 4);
    } else if (strcmp(line, "well") == 0) {
        state.illness[0] = '\0';
    } else if (strcmp(line, "stats") == 0) {
        struct serve_stats stats = server_stats(state.server);
        printf("stats %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", stats.requests,
               stats.refused_requests, stats.snapshots_late);
        return;
    }
    printf("done %s\n", line);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(state.line + state.line_length,
                       (unsigned)(sizeof(state.line) - 1 - state.line_length));
}

static void on_input(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    char *end;

    (void)buf;
    if (count < 0) {
        state.server = server_free(state.server);
        uv_close((uv_handle_t *)stream, NULL);
        return;
    }
    state.line_length += (size_t)count;
    state.line[state.line_length] = '\0';
    while ((end = strchr(state.line, '\n'))) {
        *end = '\0';
        line_obey(state.line);
        size_t rest = state.line_length - (size_t)(end + 1 - state.line);
        memmove(state.line, end + 1, rest + 1);
        state.line_length = rest;
    }
}

int main(int argc, char *argv[])
{
    uv_loop_t loop;
    struct names_opts names_opts = {.entries_max = 16, .bytes_max = 4096};
    struct serve_opts opts = {
        .loop = &loop,
        .http = argc > 1 ? argv[1] : "127.0.0.1:0",
        .metrics_http = argc > 2 ? argv[2] : "off",
        .token = argc > 3 ? argv[3] : NULL,
        .connections_max = argc > 4 ? (uint32_t)atoi(argv[4]) : 0,
        .source = {.request_snapshot = request_snapshot,
                   .last_snapshot = last_snapshot,
                   .statements = statements,
                   .boards = boards,
                   .ledger = ledger,
                   .config_json = config_json,
                   .is_healthy = is_well,
                   .is_ready = is_well,
                   .log = log_print},
    };

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (names_new(&names_opts, &state.names) < 0 || uv_loop_init(&loop) < 0)
        return 1;
    opts.source.names = state.names;
    state.snapshot = fixture_snapshot();
    int r = server_new(&opts, &state.server);
    if (r < 0) {
        fprintf(stderr, "server_new: %s\n", strerror(-r));
        return 2;
    }
    printf("ready %u %u\n", server_http_port(state.server), server_metrics_port(state.server));
    (void)uv_pipe_init(&loop, &state.input, 0);
    (void)uv_pipe_open(&state.input, 0);
    (void)uv_read_start((uv_stream_t *)&state.input, on_alloc, on_input);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    waiters_answer(NULL); /* after the server's end: nothing may be touched */
    (void)snapshot_unref(state.snapshot);
    (void)names_free(state.names);
    return uv_loop_close(&loop) == 0 ? 0 : 1;
}
