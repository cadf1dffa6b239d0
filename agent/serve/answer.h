/* One answer on its way to a client: body, status and the headers that every answer carries. */
#pragma once

#include <microhttpd.h>
#include <stdbool.h>

#include "base/buffer.h"

struct answer {
    unsigned int status;
    const char *content_type;
    struct buffer body;       /* taken over by answer_queue */
    const char *allow;        /* Allow, for 405; NULL: none */
    const char *authenticate; /* WWW-Authenticate, for 401; NULL: none */
    const char *vary;         /* request headers that the answer depends on; NULL: none */
    bool gzip;                /* pack the body if that is worth it */
    bool is_page;             /* for people: scripts and styles of its own are allowed */
};

enum { ANSWER_BYTES_MAX = 256 * 1024 * 1024 };

void answer_init(struct answer *answer);
void answer_deinit(struct answer *answer);

/* {"error": @reason}. */
void answer_error(struct answer *answer, unsigned int status, const char *reason);

/* Hands the answer to the connection; MHD_NO closes it (out of memory). HEAD gets the same headers
 * without the body. */
enum MHD_Result answer_queue(struct answer *answer, struct MHD_Connection *connection);
