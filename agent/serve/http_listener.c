/* libmicrohttpd keeps all its descriptors in one epoll descriptor; the loop polls that one and lets
 * the daemon run when it is readable or the daemon's next time-out is due. */
#include "agent/serve/http_listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "agent/serve/server.h"

enum { CONNECTION_BYTES_MAX = 16 * 1024, BODY_BYTES_MAX = 64 * 1024 };

/* Stands in *request until the head has been seen. */
static char head_seen;

static enum MHD_Result on_request(void *userdata, struct MHD_Connection *connection,
                                  const char *path, const char *method, const char *version,
                                  const char *upload, size_t *upload_size, void **request)
{
    struct http_listener *listener = userdata;

    (void)version;
    (void)upload;
    if (!*request) {
        *request = &head_seen;
        return MHD_YES;
    }
    if (*upload_size > 0) { /* nobody asked for a body: read past it, closing if it is long */
        bool is_long = *upload_size > BODY_BYTES_MAX;
        *upload_size = 0;
        return is_long ? MHD_NO : MHD_YES;
    }
    void *own = *request == &head_seen ? NULL : *request;
    enum MHD_Result result = listener->ops->request(listener, connection, path, method, &own);
    *request = own ? own : &head_seen;
    return result;
}

static void on_completed(void *userdata, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode code)
{
    struct http_listener *listener = userdata;

    (void)connection;
    (void)code;
    if (*request && *request != &head_seen)
        listener->ops->completed(listener, *request);
    *request = NULL;
}

static void on_timer(uv_timer_t *timer);

static void timer_start(struct http_listener *listener, uint64_t timeout_ms)
{
    (void)uv_timer_start(&listener->timer, on_timer, timeout_ms, 0); /* fails only when closing */
}

static bool is_full(const struct http_listener *listener)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
    return info && info->num_connections >= listener->connections_max;
}

/* A full daemon takes its listening socket out of its epoll set, and puts it back only when it runs
 * after connections have ended. */
static void http_listener_run(struct http_listener *listener)
{
    MHD_UNSIGNED_LONG_LONG timeout_ms;
    bool was_full = listener->was_full;

    (void)MHD_run(listener->daemon);
    listener->was_full = is_full(listener);
    if (was_full && !listener->was_full) {
        (void)MHD_run(listener->daemon);
        listener->was_full = is_full(listener);
    }
    if (MHD_get_timeout(listener->daemon, &timeout_ms) == MHD_YES)
        timer_start(listener, timeout_ms);
    else
        (void)uv_timer_stop(&listener->timer);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct http_listener *listener = poll->data;

    (void)status;
    (void)events;
    if (listener->daemon)
        http_listener_run(listener);
}

static int daemon_start(struct http_listener *listener)
{
    unsigned int flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME;

    if (!listener->address.is_unix && listener->address.socket.ss_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    listener->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, listener, MHD_OPTION_LISTEN_SOCKET, listener->fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned int)listener->connections_max,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)SERVE_CONNECTION_TIMEOUT_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES_MAX,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, listener, MHD_OPTION_END);
    return listener->daemon ? 0 : -ENOMEM;
}

static int poll_start(struct http_listener *listener)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_EPOLL_FD);

    if (!info)
        return -EINVAL;
    int r = uv_poll_init(listener->loop, &listener->poll, info->epoll_fd);
    if (r < 0)
        return r;
    listener->has_poll = true;
    listener->poll.data = listener;
    return uv_poll_start(&listener->poll, UV_READABLE, on_readable);
}

static int http_listener_listen(struct http_listener *listener)
{
    int fd = listen_address_open(&listener->address);
    if (fd < 0)
        return fd;
    listener->fd = fd;
    int r = daemon_start(listener);
    if (r < 0) {
        (void)close(fd);
        listener->fd = -1;
        return r;
    }
    return poll_start(listener);
}

static void http_listener_try(struct http_listener *listener)
{
    int r = http_listener_listen(listener);

    if (r < 0) {
        bool is_new = listener->error != -r;
        listener->error = -r;
        if (is_new)
            listener->ops->changed(listener, -r);
        timer_start(listener, listener->retry_ms);
        return;
    }
    listener->error = 0;
    listener->ops->changed(listener, 0);
    http_listener_run(listener);
}

static void on_timer(uv_timer_t *timer)
{
    struct http_listener *listener = timer->data;

    if (listener->is_closing)
        return;
    if (listener->daemon)
        http_listener_run(listener);
    else
        http_listener_try(listener);
}

int http_listener_open(struct http_listener *listener, uv_loop_t *loop)
{
    listener->loop = loop;
    listener->daemon = NULL;
    listener->fd = -1;
    listener->error = listener->closing = 0;
    listener->has_poll = listener->is_closing = listener->was_full = false;
    int r = uv_timer_init(loop, &listener->timer);
    if (r < 0)
        return r;
    listener->timer.data = listener;
    http_listener_try(listener);
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct http_listener *listener = handle->data;

    if (--listener->closing == 0)
        listener->ops->closed(listener);
}

void http_listener_close(struct http_listener *listener)
{
    listener->is_closing = true;
    listener->closing = 1 + listener->has_poll;
    if (listener->has_poll)
        uv_close((uv_handle_t *)&listener->poll, on_closed); /* before its descriptor closes */
    uv_close((uv_handle_t *)&listener->timer, on_closed);
    if (listener->daemon) {
        if (listener->address.is_unix)
            (void)unlink(((struct sockaddr_un *)&listener->address.socket)->sun_path);
        MHD_stop_daemon(listener->daemon); /* closes the listening socket too */
        listener->daemon = NULL;
        listener->fd = -1;
    }
}

void http_listener_wake(struct http_listener *listener)
{
    if (!listener->is_closing && listener->daemon)
        timer_start(listener, 0);
}

uint16_t http_listener_port(const struct http_listener *listener)
{
    struct sockaddr_storage bound = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof(bound);

    if (listener->fd < 0 || getsockname(listener->fd, (struct sockaddr *)&bound, &length) < 0)
        return 0;
    if (bound.ss_family == AF_INET)
        return ntohs(((struct sockaddr_in *)&bound)->sin_port);
    if (bound.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&bound)->sin6_port);
    return 0;
}
