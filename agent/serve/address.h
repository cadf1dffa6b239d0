/* Where a listener listens. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct listen_address {
    struct sockaddr_storage socket;
    socklen_t length;
    bool is_off, is_unix, is_loopback;
    char host[64]; /* as written, without brackets; "" for all addresses and Unix sockets */
};

/* "ADDRESS:PORT" (a literal address or localhost), "[V6]:PORT", ":PORT" (all addresses), "/path" or
 * "unix:/path", "off" or "". -EINVAL: none of these. NULL is off. */
int listen_address_parse(const char *text, struct listen_address *ret)
    __attribute__((warn_unused_result));

/* A bound, listening, non-blocking socket, or negative errno (-EADDRINUSE: taken). A Unix socket
 * that no one listens on any more is replaced. */
int listen_address_open(const struct listen_address *address) __attribute__((warn_unused_result));
