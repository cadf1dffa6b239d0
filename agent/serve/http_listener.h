/* One listening address with its HTTP daemon, driven by the loop: no thread of its own. */
#pragma once

#include <microhttpd.h>
#include <stdint.h>
#include <uv.h>

#include "agent/serve/address.h"

struct http_listener;

typedef enum MHD_Result (*http_listener_request_fn)(struct http_listener *listener,
                                                    struct MHD_Connection *connection,
                                                    const char *path, const char *method,
                                                    void **request);
typedef void (*http_listener_completed_fn)(struct http_listener *listener, void *request);

struct http_listener_ops {
    /* A request's head and body are here; called again after a suspended connection is resumed. */
    http_listener_request_fn request;
    http_listener_completed_fn completed; /* @request is not NULL */
    /* The listener could not be opened (@error: positive errno) and is tried again, or is open
     * again (0). */
    void (*changed)(struct http_listener *listener, int error);
    void (*closed)(struct http_listener *listener); /* after http_listener_close, on the loop */
};

struct http_listener {
    const struct http_listener_ops *ops;
    void *userdata;
    struct listen_address address;
    uint32_t connections_max;
    uint32_t retry_ms;

    /* Own. */
    uv_loop_t *loop;
    struct MHD_Daemon *daemon; /* NULL: not listening */
    uv_poll_t poll;
    uv_timer_t timer; /* the daemon's time-outs, or the next attempt */
    int fd;           /* the listening socket; -1 */
    int error;        /* of the last attempt */
    int closing;      /* libuv handles whose end is awaited */
    bool has_poll, is_closing, was_full;
};

/* Opens, or begins to try. The listener's own fields need no value. -errno: libuv gave no handle.
 * Every opened listener must be closed, and lives until `closed`. */
int http_listener_open(struct http_listener *listener, uv_loop_t *loop)
    __attribute__((warn_unused_result));

/* Ends all connections at once; suspended ones must have been resumed. */
void http_listener_close(struct http_listener *listener);

/* Lets the daemon notice a resumed connection in the loop's next turn. */
void http_listener_wake(struct http_listener *listener);

/* In host order; 0: not listening, or a Unix socket. */
uint16_t http_listener_port(const struct http_listener *listener);
