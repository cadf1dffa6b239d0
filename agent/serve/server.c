/* Routing and scrapes. A scrape is a request that may have to wait: its connection is suspended
 * until the source hands over a snapshot or SERVE_SNAPSHOT_WAIT_MS are over. */
#include "agent/serve/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/serve/access.h"
#include "agent/serve/answer.h"
#include "agent/serve/api.h"
#include "agent/serve/exposition.h"
#include "agent/serve/http_listener.h"
#include "agent/serve/negotiation.h"
#include "agent/serve/page.h"

enum { REASON_MAX = 256, MESSAGE_MAX = 512 };

static const char api_prefix[] = "/api/v1/";

/* Freed when the source has called back and the connection is done with it. */
struct scrape {
    struct scrape *next;
    struct server *server; /* NULL: the request is over */
    struct http_listener *listener;
    struct MHD_Connection *connection;
    uint64_t deadline_ms; /* by uv_now */
    bool is_suspended, is_called_back, is_late;
    const struct snapshot *snapshot; /* a reference */
};

struct server {
    struct serve_source source;
    uv_loop_t *loop;
    char *token; /* NULL: none */
    struct http_listener http, metrics;
    bool has_http, has_metrics; /* configured */
    uv_timer_t scrape_timer;
    struct scrape *scrapes; /* waiting; in order of their deadlines */
    struct serve_stats stats;
    int open_handles;
};

static void server_log(struct server *server, enum serve_level level, const char *message)
{
    if (server->source.log)
        server->source.log(server->source.userdata, level, message);
}

/* Scrapes. */

static void scrape_free_if_done(struct scrape *scrape)
{
    if (scrape->server || !scrape->is_called_back)
        return;
    (void)snapshot_unref(scrape->snapshot);
    free(scrape);
}

static void scrape_unlink(struct scrape *scrape)
{
    for (struct scrape **at = &scrape->server->scrapes; *at; at = &(*at)->next) {
        if (*at == scrape) {
            *at = scrape->next;
            scrape->next = NULL;
            return;
        }
    }
}

static void scrape_resume(struct scrape *scrape)
{
    if (!scrape->is_suspended)
        return;
    scrape->is_suspended = false;
    scrape_unlink(scrape);
    MHD_resume_connection(scrape->connection);
    http_listener_wake(scrape->listener);
}

static void on_snapshot(void *token, const struct snapshot *snapshot)
{
    struct scrape *scrape = token;

    scrape->is_called_back = true;
    if (scrape->server && !scrape->is_late) {
        scrape->snapshot = snapshot ? snapshot_ref(snapshot) : NULL;
        scrape_resume(scrape);
    }
    scrape_free_if_done(scrape);
}

static void on_scrape_timer(uv_timer_t *timer)
{
    struct server *server = timer->data;
    uint64_t now_ms = uv_now(server->loop);

    while (server->scrapes && server->scrapes->deadline_ms <= now_ms) {
        server->scrapes->is_late = true;
        server->stats.snapshots_late++;
        scrape_resume(server->scrapes);
    }
    if (server->scrapes)
        (void)uv_timer_start(timer, on_scrape_timer, server->scrapes->deadline_ms - now_ms, 0);
}

static void scrape_suspend(struct scrape *scrape)
{
    struct server *server = scrape->server;
    struct scrape **end = &server->scrapes;

    MHD_suspend_connection(scrape->connection);
    scrape->is_suspended = true;
    uv_update_time(server->loop);
    scrape->deadline_ms = uv_now(server->loop) + SERVE_SNAPSHOT_WAIT_MS;
    while (*end)
        end = &(*end)->next;
    *end = scrape;
    if (server->scrapes == scrape)
        (void)uv_timer_start(&server->scrape_timer, on_scrape_timer, SERVE_SNAPSHOT_WAIT_MS, 0);
}

static struct scrape *scrape_begin(struct server *server, struct http_listener *listener,
                                   struct MHD_Connection *connection)
{
    struct scrape *scrape = calloc(1, sizeof(*scrape));

    if (!scrape)
        return NULL;
    scrape->server = server;
    scrape->listener = listener;
    scrape->connection = connection;
    server->source.request_snapshot(server->source.userdata, on_snapshot, scrape);
    if (!scrape->is_called_back)
        scrape_suspend(scrape);
    return scrape;
}

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static enum MHD_Result scrape_answer(struct scrape *scrape)
{
    struct server *server = scrape->server;
    struct negotiation negotiation;
    struct answer answer;

    if (!scrape->snapshot)
        scrape->snapshot = server->source.last_snapshot(server->source.userdata);
    negotiate(header(scrape->connection, "Accept"), header(scrape->connection, "Accept-Encoding"),
              &negotiation);
    answer_init(&answer);
    answer.content_type = negotiation.content_type;
    int r = exposition_write(scrape->snapshot, negotiation.format, &answer.body);
    answer.vary = "Accept, Accept-Encoding";
    answer.gzip = negotiation.gzip;
    if (r < 0)
        answer_error(&answer, MHD_HTTP_INTERNAL_SERVER_ERROR, "no memory for the metrics");
    enum MHD_Result result = answer_queue(&answer, scrape->connection);
    answer_deinit(&answer);
    return result;
}

/* The other answers. */

static bool is_health_path(const char *path)
{
    return strcmp(path, "/healthz") == 0 || strcmp(path, "/readyz") == 0;
}

static void health_answer(struct server *server, const char *path, struct answer *answer)
{
    char reason[REASON_MAX] = "";
    bool is_ready = strcmp(path, "/readyz") == 0;
    bool is_well = is_ready
                       ? server->source.is_ready(server->source.userdata, reason, sizeof(reason))
                       : server->source.is_healthy(server->source.userdata, reason, sizeof(reason));

    answer->content_type = "text/plain; charset=utf-8";
    answer->status = is_well ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
    buffer_format(&answer->body, "%s\n", is_well ? "ok" : reason[0] ? reason : "not yet");
}

static void path_answer(struct server *server, bool is_metrics_only, const char *path,
                        struct answer *answer)
{
    if (is_health_path(path)) {
        health_answer(server, path, answer);
    } else if (is_metrics_only) {
        answer_error(answer, MHD_HTTP_NOT_FOUND, "only /metrics, /healthz and /readyz are here");
    } else if (strcmp(path, "/") == 0) {
        struct view page = page_html();
        answer->content_type = "text/html; charset=utf-8";
        answer->is_page = true;
        buffer_append(&answer->body, page.bytes, page.length);
    } else if (strncmp(path, api_prefix, sizeof(api_prefix) - 1) == 0) {
        int r = api_write(&server->source, path + sizeof(api_prefix) - 1, &answer->body);
        if (r == API_E_UNKNOWN)
            answer_error(answer, MHD_HTTP_NOT_FOUND, "no such table");
        else if (r < 0)
            answer_error(answer, MHD_HTTP_INTERNAL_SERVER_ERROR, "no memory for the answer");
    } else {
        answer_error(answer, MHD_HTTP_NOT_FOUND, "no such path");
    }
}

/* Writes the refusal into @answer; false: the request may go on. */
static bool is_refused(struct server *server, struct http_listener *listener,
                       struct MHD_Connection *connection, const char *path, const char *method,
                       struct answer *answer)
{
    const char *host = header(connection, "Host");
    const char *origin = header(connection, "Origin");

    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        answer_error(answer, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD are answered");
        answer->allow = "GET, HEAD";
        return true;
    }
    if (listener == &server->metrics)
        return false;
    /* Where only a token lets in, a name that an attacker's page made up gets nothing. */
    if (listener->address.is_loopback && !listener->address.is_unix &&
        (!host || !access_host_allowed(host, listener->address.host))) {
        answer_error(answer, MHD_HTTP_FORBIDDEN, "this Host is not served");
        return true;
    }
    if (origin && !access_origin_allowed(origin, host)) {
        answer_error(answer, MHD_HTTP_FORBIDDEN, "other origins are not served");
        return true;
    }
    bool is_open = is_health_path(path) || strcmp(path, "/") == 0;
    if (server->token && !is_open &&
        !access_token_allowed(header(connection, "Authorization"), server->token)) {
        answer_error(answer, MHD_HTTP_UNAUTHORIZED, "a token is needed");
        answer->authenticate = "Bearer";
        return true;
    }
    return false;
}

static enum MHD_Result on_request(struct http_listener *listener, struct MHD_Connection *connection,
                                  const char *path, const char *method, void **request)
{
    struct server *server = listener->userdata;
    struct answer answer;

    if (*request)
        return scrape_answer(*request);

    answer_init(&answer);
    server->stats.requests++;
    if (is_refused(server, listener, connection, path, method, &answer)) {
        server->stats.refused_requests++;
    } else if (strcmp(path, "/metrics") == 0) {
        struct scrape *scrape = scrape_begin(server, listener, connection);
        answer_deinit(&answer);
        *request = scrape;
        if (!scrape)
            return MHD_NO;
        return scrape->is_suspended ? MHD_YES : scrape_answer(scrape);
    } else {
        path_answer(server, listener == &server->metrics, path, &answer);
    }
    enum MHD_Result result = answer_queue(&answer, connection);
    answer_deinit(&answer);
    return result;
}

static void on_completed(struct http_listener *listener, void *request)
{
    struct scrape *scrape = request;

    (void)listener;
    if (scrape->is_suspended)
        scrape_unlink(scrape);
    scrape->is_suspended = false;
    scrape->server = NULL;
    scrape_free_if_done(scrape);
}

/* Listeners. */

static void on_changed(struct http_listener *listener, int error)
{
    struct server *server = listener->userdata;
    const char *name = listener == &server->http ? "http" : "metrics-http";
    bool *is_listening = listener == &server->http ? &server->stats.http_listening
                                                   : &server->stats.metrics_listening;
    char message[MESSAGE_MAX];
    const struct sockaddr_un *path = (const struct sockaddr_un *)&listener->address.socket;

    *is_listening = error == 0;
    if (error != 0) {
        server->stats.listen_failures++;
        (void)snprintf(message, sizeof(message),
                       "%s cannot listen: %s; running without it, trying again every %d s", name,
                       strerror(error), SERVE_RETRY_MS / 1000);
        server_log(server, SERVE_WARNING, message);
        return;
    }
    if (listener->address.is_unix)
        (void)snprintf(message, sizeof(message), "%s listens on %s", name, path->sun_path);
    else
        (void)snprintf(message, sizeof(message), "%s listens on %s%s%s:%u", name,
                       strchr(listener->address.host, ':') ? "[" : "",
                       listener->address.host[0] ? listener->address.host : "*",
                       strchr(listener->address.host, ':') ? "]" : "",
                       http_listener_port(listener));
    server_log(server, SERVE_INFO, message);
}

static void handle_closed(struct server *server)
{
    if (--server->open_handles > 0)
        return;
    free(server->token);
    free(server);
}

static void on_listener_closed(struct http_listener *listener)
{
    handle_closed(listener->userdata);
}

static void on_timer_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

static const struct http_listener_ops listener_ops = {on_request, on_completed, on_changed,
                                                      on_listener_closed};

static int http_listener_start(struct server *server, struct http_listener *listener,
                               const struct serve_opts *opts, bool *ret_is_open)
{
    if (listener->address.is_off)
        return 0;
    listener->ops = &listener_ops;
    listener->userdata = server;
    listener->connections_max =
        opts->connections_max > 0 ? opts->connections_max : SERVE_CONNECTIONS_MAX;
    listener->retry_ms = SERVE_RETRY_MS;
    int r = http_listener_open(listener, opts->loop);
    if (r < 0)
        return r;
    *ret_is_open = true;
    server->open_handles++;
    return 0;
}

static int addresses_parse(struct server *server, const struct serve_opts *opts)
{
    int r = listen_address_parse(opts->http, &server->http.address);
    if (r < 0)
        return r;
    if (!server->http.address.is_off && !server->http.address.is_loopback && !server->token)
        return -EINVAL;
    return listen_address_parse(opts->metrics_http, &server->metrics.address);
}

int server_new(const struct serve_opts *opts, struct server **ret)
{
    struct server *server = calloc(1, sizeof(*server));

    if (!server)
        return -ENOMEM;
    server->source = opts->source;
    server->loop = opts->loop;
    bool has_token = opts->token && opts->token[0];
    server->token = has_token ? strdup(opts->token) : NULL;
    int r = has_token && !server->token ? -ENOMEM : addresses_parse(server, opts);
    if (r == 0)
        r = uv_timer_init(opts->loop, &server->scrape_timer);
    if (r < 0) {
        free(server->token);
        free(server);
        return r;
    }
    server->scrape_timer.data = server;
    server->open_handles = 1;
    r = http_listener_start(server, &server->http, opts, &server->has_http);
    if (r == 0)
        r = http_listener_start(server, &server->metrics, opts, &server->has_metrics);
    if (r < 0) {
        (void)server_free(server);
        return r;
    }
    *ret = server;
    return 0;
}

struct server *server_free(struct server *server)
{
    if (!server)
        return NULL;
    while (server->scrapes)
        scrape_resume(server->scrapes);
    if (server->has_http)
        http_listener_close(&server->http);
    if (server->has_metrics)
        http_listener_close(&server->metrics);
    uv_close((uv_handle_t *)&server->scrape_timer, on_timer_closed);
    return NULL;
}

struct serve_stats server_stats(const struct server *server)
{
    return server->stats;
}

uint16_t server_http_port(const struct server *server)
{
    return server->has_http ? http_listener_port(&server->http) : 0;
}

uint16_t server_metrics_port(const struct server *server)
{
    return server->has_metrics ? http_listener_port(&server->metrics) : 0;
}
