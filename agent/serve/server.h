/* The agent's HTTP endpoints inside its loop: metrics, health, the API and the page for people.
 *
 * Two listeners. `http` serves everything, on a loopback address or a Unix socket (elsewhere only
 * with a token); `metrics-http` serves /metrics, /healthz and /readyz alone and may bind all
 * addresses. A listener whose port is taken is tried again every few seconds. Everything here runs
 * on the loop's thread, and every callback is called on it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "agent/aggregate/aggregate.h"
#include "agent/model/ledger.h"
#include "agent/model/live.h"
#include "agent/model/names.h"
#include "agent/model/snapshot.h"
#include "base/cleanup.h"

struct server;

enum serve_level {
    SERVE_INFO,
    SERVE_WARNING,
};

/* Gives the answer to a request for a snapshot: @snapshot is borrowed for the call (referenced if
 * kept), NULL if there is none. Called exactly once for each token, on the loop, at once or later,
 * even after server_free. */
typedef void (*snapshot_done_fn)(void *token, const struct snapshot *snapshot);
typedef void (*live_board_fn)(void *userdata, const struct live_board *board);
typedef void (*ledger_row_fn)(void *userdata, const struct ledger_row *row);

/* All that the endpoints know of the rest of the agent. */
struct serve_source {
    void *userdata;
    /* A scrape asks for a checkpoint; the server waits SERVE_SNAPSHOT_WAIT_MS for @done, then
     * answers from last_snapshot. */
    void (*request_snapshot)(void *userdata, snapshot_done_fn done, void *token);
    /* The last one that a checkpoint covers; a new reference, or NULL before the first. */
    const struct snapshot *(*last_snapshot)(void *userdata);
    /* Each calls back for every row, before it returns. Rows are borrowed for the call. */
    void (*statements)(void *userdata, statement_row_fn fn, void *fn_userdata);
    void (*boards)(void *userdata, live_board_fn fn, void *fn_userdata);
    void (*ledger)(void *userdata, ledger_row_fn fn, void *fn_userdata);
    /* The configuration in force as one JSON object, secrets masked; freed with free(). NULL: out
     * of memory. */
    char *(*config_json)(void *userdata);
    /* True if well; else a reason in @reason. Never waits, never depends on disk or network. */
    bool (*is_healthy)(void *userdata, char *reason, size_t reason_size);
    bool (*is_ready)(void *userdata, char *reason, size_t reason_size);
    void (*log)(void *userdata, enum serve_level level, const char *message);
    struct names *names; /* borrowed for life: texts of targets, call sites and tenants */
};

enum {
    SERVE_SNAPSHOT_WAIT_MS = 200,
    SERVE_RETRY_MS = 3000, /* between attempts at a port that is taken */
    SERVE_CONNECTIONS_MAX = 64,
    SERVE_CONNECTION_TIMEOUT_S = 10,
};

/* Texts are copied. Listeners are "ADDRESS:PORT", "[V6]:PORT", ":PORT" (all addresses; metrics
 * only), "/path" or "unix:/path" of a Unix socket, "off", "" or NULL. */
struct serve_opts {
    uv_loop_t *loop;
    const char *http;
    const char *metrics_http;
    const char *token;        /* NULL: none; else `Authorization: Bearer` is asked for */
    uint32_t connections_max; /* for each listener; 0: SERVE_CONNECTIONS_MAX */
    struct serve_source source;
};

struct serve_stats {
    uint64_t requests, refused_requests; /* refused: 400, 401, 403, 405 */
    uint64_t snapshots_late;             /* scrapes answered from the last snapshot */
    uint64_t listen_failures;
    bool http_listening, metrics_listening;
};

/* 0 also when a port is taken (logged, tried again). -EINVAL: a listener is no address, or `http`
 * is neither loopback nor a Unix socket and no token is given. */
int server_new(const struct serve_opts *opts, struct server **ret)
    __attribute__((warn_unused_result));
/* Stops listening and closes all connections at once. Its libuv objects are closed by the loop's
 * next turns: run the loop until it is empty before uv_loop_close. */
struct server *server_free(struct server *server);
CLEANUP_DEFINE(struct server *, server_freep, server_free)

struct serve_stats server_stats(const struct server *server);

/* The port a listener is bound to, in host order; 0: none (yet), or a Unix socket. */
uint16_t server_http_port(const struct server *server);
uint16_t server_metrics_port(const struct server *server);
