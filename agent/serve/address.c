#include "agent/serve/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { BACKLOG = 64 };

static int unix_parse(const char *path, struct listen_address *ret)
{
    struct sockaddr_un *address = (struct sockaddr_un *)&ret->socket;
    size_t length = strlen(path);

    if (length == 0 || length >= sizeof(address->sun_path))
        return -EINVAL;
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, length + 1);
    ret->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    ret->is_unix = ret->is_loopback = true;
    return 0;
}

static int port_parse(const char *text, uint16_t *ret)
{
    char *end;

    if (*text < '0' || *text > '9')
        return -EINVAL;
    unsigned long port = strtoul(text, &end, 10);
    if (*end != '\0' || port > UINT16_MAX)
        return -EINVAL;
    *ret = htons((uint16_t)port);
    return 0;
}

static int internet_fill(const char *host, uint16_t port, struct listen_address *ret)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&ret->socket;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&ret->socket;
    struct in_addr v4_address;
    struct in6_addr v6_address;

    if (strcmp(host, "localhost") == 0)
        host = "127.0.0.1";
    if (inet_pton(AF_INET, host, &v4_address) == 1) {
        *v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port, .sin_addr = v4_address};
        ret->length = sizeof(*v4);
        ret->is_loopback = ntohl(v4_address.s_addr) >> 24 == 127;
        return 0;
    }
    if (*host == '\0')
        v6_address = in6addr_any;
    else if (inet_pton(AF_INET6, host, &v6_address) != 1)
        return -EINVAL;
    *v6 =
        (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = v6_address};
    ret->length = sizeof(*v6);
    ret->is_loopback = IN6_IS_ADDR_LOOPBACK(&v6_address);
    return 0;
}

int listen_address_parse(const char *text, struct listen_address *ret)
{
    char host[sizeof(ret->host)] = "";
    uint16_t port;

    *ret = (struct listen_address){0};
    ret->is_off = !text || *text == '\0' || strcmp(text, "off") == 0;
    if (ret->is_off)
        return 0;
    if (text[0] == '/')
        return unix_parse(text, ret);
    if (strncmp(text, "unix:", 5) == 0)
        return unix_parse(text + 5, ret);

    const char *colon = strrchr(text, ':');
    if (!colon || port_parse(colon + 1, &port) < 0)
        return -EINVAL;
    size_t length = (size_t)(colon - text);
    if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
    } else if (memchr(text, ':', length)) {
        return -EINVAL; /* a version 6 address without brackets: where would its port begin? */
    }
    if (length >= sizeof(host) || (length == 1 && text[0] == '*'))
        return -EINVAL;
    memcpy(host, text, length);
    memcpy(ret->host, host, sizeof(host));
    return internet_fill(host, port, ret);
}

/* True if the path is a socket that refuses connections: its owner is gone. */
static bool unix_is_abandoned(const struct listen_address *address)
{
    struct stat status;
    const struct sockaddr_un *path = (const struct sockaddr_un *)&address->socket;

    if (lstat(path->sun_path, &status) < 0 || !S_ISSOCK(status.st_mode))
        return false;
    CLEANUP(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    return connect(fd, (const struct sockaddr *)path, address->length) < 0 && errno == ECONNREFUSED;
}

/* All addresses means both families; a host without version 6 takes version 4. */
static int any_address_socket(struct listen_address *address)
{
    int off = 0;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd >= 0) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off,
                         sizeof(off)); /* already the default */
        return fd;
    }
    in_port_t port = ((struct sockaddr_in6 *)&address->socket)->sin6_port;
    *(struct sockaddr_in *)&address->socket =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
    address->length = sizeof(struct sockaddr_in);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd < 0 ? -errno : fd;
}

int listen_address_open(const struct listen_address *wanted)
{
    struct listen_address address = *wanted;
    bool is_any = !address.is_unix && address.host[0] == '\0';
    int on = 1;
    CLEANUP(closep)
    int fd = is_any
                 ? any_address_socket(&address)
                 : socket(address.socket.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return is_any ? fd : -errno;
    if (!address.is_unix && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)&address.socket, address.length) < 0) {
        int error = errno;
        if (!address.is_unix || error != EADDRINUSE || !unix_is_abandoned(&address))
            return -error;
        if (unlink(((struct sockaddr_un *)&address.socket)->sun_path) < 0 ||
            bind(fd, (struct sockaddr *)&address.socket, address.length) < 0)
            return -errno;
    }
    if (listen(fd, BACKLOG) < 0)
        return -errno;
    return steal_fd(&fd);
}
