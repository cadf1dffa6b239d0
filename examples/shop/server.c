#include "server.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "arguments.h"
#include "http_request.h"
#include "route.h"
#include "shop.h"
#include "workers.h"

enum { THREADS = 2, CONNECTIONS_MAX = 1024, IDLE_TIMEOUT_S = 60 };

/* ---- requests -------------------------------------------------------------------------------- */

static enum MHD_Result request_begin(struct server *server, struct MHD_Connection *connection,
                                     const char *method, const char *path, void **ret)
{
    struct http_request *request = http_request_new(server->shop, connection);

    if (!request)
        return MHD_NO; /* closes the connection */
    (void)pthread_mutex_lock(&server->mutex);
    server->requests++;
    (void)pthread_mutex_unlock(&server->mutex);
    route_find(request, method, path);
    *ret = request;
    return MHD_YES;
}

static void on_completed(void *userdata, struct MHD_Connection *connection, void **own,
                         enum MHD_RequestTerminationCode reason)
{
    struct server *server = userdata;

    (void)connection;
    (void)reason;
    if (!*own)
        return;
    *own = http_request_free(*own);
    (void)pthread_mutex_lock(&server->mutex);
    if (--server->requests == 0)
        (void)pthread_cond_broadcast(&server->idle);
    (void)pthread_mutex_unlock(&server->mutex);
}

/* Gives the answer's bytes to libmicrohttpd. */
static struct MHD_Response *response_make(struct http_request *request)
{
    struct MHD_Response *response;
    size_t length = request->text ? strlen(request->text) : 0;
    off_t size;
    int fd;

    if (!request->spool) {
        response = MHD_create_response_from_buffer(length, request->text, MHD_RESPMEM_MUST_FREE);
        request->text = response ? NULL : request->text;
        return response;
    }
    size = lseek(fileno(request->spool), 0, SEEK_END);
    fd = dup(fileno(request->spool));
    if (fd < 0 || size < 0)
        return NULL;
    response = MHD_create_response_from_fd64((uint64_t)size, fd); /* takes it */
    if (!response)
        (void)close(fd);
    return response;
}

static enum MHD_Result response_send(struct http_request *request)
{
    struct MHD_Response *response = response_make(request);
    enum MHD_Result result;
    char seconds[16];

    if (!response)
        return MHD_NO;
    /* A header that found no memory is left out. */
    if (request->content_type)
        (void)MHD_add_response_header(response, "Content-Type", request->content_type);
    if (request->allow)
        (void)MHD_add_response_header(response, "Allow", request->allow);
    if (request->retry_after_s) {
        (void)snprintf(seconds, sizeof(seconds), "%d", request->retry_after_s);
        (void)MHD_add_response_header(response, "Retry-After", seconds);
    }
    /* Whoever keeps his connection would come here again with it. */
    if (atomic_load_explicit(&request->shop->is_leaving, memory_order_relaxed))
        (void)MHD_add_response_header(response, "Connection", "close");
    result = MHD_queue_response(request->connection, request->status, response);
    MHD_destroy_response(response);
    return result;
}

/* All of it has come. */
static enum MHD_Result request_serve(struct server *server, struct http_request *request)
{
    if (request->route && request->is_too_long)
        http_refuse(request, MHD_HTTP_CONTENT_TOO_LARGE, "too_long",
                    "a body may have at most %d bytes", BODY_BYTES_MAX);
    else if (request->route && request->route->kind == ROUTE_AT_ONCE)
        request->route->serve(request);
    else if (request->route && workers_submit(server->workers, request))
        return MHD_YES; /* comes here again when it is answered */
    else if (request->route)
        http_refuse(request, MHD_HTTP_SERVICE_UNAVAILABLE, "overload", "too many requests wait");
    return response_send(request);
}

static enum MHD_Result on_request(void *userdata, struct MHD_Connection *connection,
                                  const char *path, const char *method, const char *version,
                                  const char *bytes, size_t *length, void **own)
{
    struct http_request *request = *own;

    (void)version;
    if (!request)
        return request_begin(userdata, connection, method, path, own);
    if (*length > 0) {
        http_request_receive(request, bytes, *length);
        *length = 0;
        return MHD_YES;
    }
    if (request->stage == HTTP_ANSWERED)
        return response_send(request);
    return request_serve(userdata, request);
}

/* ---- the server ------------------------------------------------------------------------------ */

static int listen_open(const struct arguments *arguments)
{
    const struct addrinfo hints = {.ai_flags = AI_NUMERICSERV | AI_PASSIVE,
                                   .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    char port[8];
    int fd, reason = 0, on = 1;

    (void)snprintf(port, sizeof(port), "%u", arguments->port);
    /* What is accepted has TCP_NODELAY from here: the last piece of an answer does not wait for the
     * acknowledgement of the one before. */
    if (getaddrinfo(arguments->host, port, &hints, &found))
        return -EADDRNOTAVAIL;
    fd = socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) ||
        bind(fd, found->ai_addr, found->ai_addrlen) || listen(fd, SOMAXCONN))
        reason = errno;
    freeaddrinfo(found);
    if (!reason)
        return fd;
    if (fd >= 0)
        (void)close(fd);
    return -reason;
}

static unsigned daemon_flags(int listen_fd)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof(address);
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;

    (void)getsockname(listen_fd, (struct sockaddr *)&address, &length); /* else it is IPv4 */
    return address.ss_family == AF_INET6 ? flags | MHD_USE_IPv6 : flags;
}

int server_start(struct server *server, struct shop *shop, struct workers *workers)
{
    int fd = listen_open(shop->arguments);
    pthread_condattr_t attributes;

    if (fd < 0)
        return fd;
    *server = (struct server){.shop = shop, .workers = workers, .listen_fd = -1};
    (void)pthread_mutex_init(&server->mutex, NULL); /* these cannot fail on Linux */
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&server->idle, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    server->daemon = MHD_start_daemon(
        daemon_flags(fd), 0, NULL, NULL, on_request, server, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_THREAD_POOL_SIZE, (unsigned)THREADS, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_S,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_END);
    if (server->daemon)
        return 0;
    (void)close(fd);
    (void)pthread_cond_destroy(&server->idle);
    (void)pthread_mutex_destroy(&server->mutex);
    return -ENOMEM;
}

void server_quiesce(struct server *server)
{
    server->listen_fd = MHD_quiesce_daemon(server->daemon);
    /* Else the kernel would go on taking connections that nobody ever serves. */
    if (server->listen_fd >= 0)
        (void)shutdown(server->listen_fd, SHUT_RD);
}

unsigned server_await_idle(struct server *server, uint64_t deadline_ns)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000),
                             .tv_nsec = (long)(deadline_ns % 1000000000)};
    unsigned left;

    (void)pthread_mutex_lock(&server->mutex);
    while (server->requests > 0 &&
           pthread_cond_timedwait(&server->idle, &server->mutex, &until) == 0)
        ;
    left = server->requests;
    (void)pthread_mutex_unlock(&server->mutex);
    return left;
}

void server_stop(struct server *server)
{
    MHD_stop_daemon(server->daemon);
    if (server->listen_fd >= 0)
        (void)close(server->listen_fd);
    (void)pthread_cond_destroy(&server->idle);
    (void)pthread_mutex_destroy(&server->mutex);
}
