#include "agent/serve/answer.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { GZIP_BYTES_MIN = 512, GZIP_WINDOW = 15 + 16 };

void answer_init(struct answer *answer)
{
    *answer = (struct answer){.status = MHD_HTTP_OK, .content_type = "application/json"};
    buffer_init(&answer->body, ANSWER_BYTES_MAX);
}

void answer_deinit(struct answer *answer)
{
    buffer_deinit(&answer->body);
}

void answer_error(struct answer *answer, unsigned int status, const char *reason)
{
    buffer_clear(&answer->body);
    answer->status = status;
    answer->content_type = "application/json";
    answer->gzip = false;
    buffer_append_text(&answer->body, "{\"error\":\"");
    for (; *reason; reason++) { /* reasons are our own words: quotes and controls only in case */
        bool is_plain = (unsigned char)*reason >= 0x20 && *reason != '"' && *reason != '\\';
        buffer_append_char(&answer->body, is_plain ? *reason : ' ');
    }
    buffer_append_text(&answer->body, "\"}\n");
}

/* Puts the packed body in the place of the plain one; false: left as it was. */
static bool body_pack(struct buffer *body)
{
    z_stream stream = {0};
    struct buffer packed;

    if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    buffer_init(&packed, ANSWER_BYTES_MAX);
    stream.next_in = (Bytef *)body->bytes;
    stream.avail_in = (uInt)body->length;
    int r = Z_OK;
    while (r == Z_OK) {
        char space[16 * 1024];
        stream.next_out = (Bytef *)space;
        stream.avail_out = sizeof(space);
        r = deflate(&stream, Z_FINISH);
        buffer_append(&packed, space, sizeof(space) - stream.avail_out);
    }
    (void)deflateEnd(&stream);
    if (r != Z_STREAM_END || packed.failed) {
        buffer_deinit(&packed);
        return false;
    }
    buffer_deinit(body);
    *body = packed;
    return true;
}

static void headers_add(const struct answer *answer, struct MHD_Response *response, bool is_packed)
{
    /* The page may run what it brings itself and talk to this server, nothing else. */
    const char *policy = answer->is_page
                             ? "default-src 'none'; script-src 'unsafe-inline'; style-src "
                               "'unsafe-inline'; connect-src 'self'; base-uri 'none'; "
                               "form-action 'none'; frame-ancestors 'none'"
                             : "default-src 'none'; frame-ancestors 'none'";
    const char *const headers[][2] = {
        {"Content-Type", answer->content_type},
        {"Content-Security-Policy", policy},
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "DENY"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Cache-Control", "no-store"},
        {"Vary", answer->vary},
        {"Content-Encoding", is_packed ? "gzip" : NULL},
        {"Allow", answer->allow},
        {"WWW-Authenticate", answer->authenticate},
    };

    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        if (headers[i][1])
            (void)MHD_add_response_header(response, headers[i][0], headers[i][1]);
    }
}

enum MHD_Result answer_queue(struct answer *answer, struct MHD_Connection *connection)
{
    bool is_packed =
        answer->gzip && answer->body.length >= GZIP_BYTES_MIN && body_pack(&answer->body);
    size_t length = 0;

    buffer_append(&answer->body, "", 0);
    char *bytes = buffer_take(&answer->body, &length);
    if (!bytes)
        return MHD_NO;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(length, bytes, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(bytes);
        return MHD_NO;
    }
    headers_add(answer, response, is_packed);
    enum MHD_Result result = MHD_queue_response(connection, answer->status, response);
    MHD_destroy_response(response);
    return result;
}
