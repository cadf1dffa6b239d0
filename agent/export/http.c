/* OTLP over HTTP with libcurl: one connection that is kept, one request at a time. */
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "agent/export/transport.h"
#include "base/buffer.h"
#include "proto/opentelemetry/rpc.pb-c.h"

enum {
    POLL_MS = 1000,
    GZIP_WINDOW = 15 + 16, /* zlib's word for gzip's framing */
};

struct transport {
    const struct export_endpoint *endpoint;
    enum export_signal signal;
    CURL *easy;
    CURLM *multi;
    struct curl_slist *headers;
    _Atomic bool is_cancelled;
    struct buffer answer, packed;
    char error[CURL_ERROR_SIZE];
};

static pthread_once_t global_once = PTHREAD_ONCE_INIT;

static void global_init(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* An answer beyond the buffer's maximum ends the request. */
static size_t answer_append(char *bytes, size_t size, size_t count, void *userdata)
{
    struct buffer *answer = userdata;

    buffer_append(answer, bytes, size * count);
    return answer->failed ? 0 : size * count;
}

static bool header_add(struct transport *transport, const char *name, const char *value)
{
    char *CLEANUP(freep) line = NULL;

    /* With libcurl a header without a value is written with a semicolon. */
    if (asprintf(&line, "%s%s%s", name, value[0] ? ": " : ";", value) < 0) {
        line = NULL;
        return false;
    }
    struct curl_slist *grown = curl_slist_append(transport->headers, line);
    if (grown)
        transport->headers = grown;
    return grown != NULL;
}

static bool headers_make(struct transport *transport)
{
    const struct export_endpoint *endpoint = transport->endpoint;
    bool is_made = true;

    for (size_t i = 0; i < endpoint->header_count; i++)
        is_made =
            is_made && header_add(transport, endpoint->headers[i].name, endpoint->headers[i].value);
    is_made = is_made && header_add(transport, "Content-Type", "application/x-protobuf");
    if (endpoint->is_gzip)
        is_made = is_made && header_add(transport, "Content-Encoding", "gzip");
    /* Without this a larger body waits for the server's leave. */
    struct curl_slist *grown = is_made ? curl_slist_append(transport->headers, "Expect:") : NULL;
    if (grown)
        transport->headers = grown;
    return grown != NULL;
}

static bool options_set(struct transport *transport)
{
    const struct export_endpoint *endpoint = transport->endpoint;
    CURL *easy = transport->easy;
    CURLcode failed = CURLE_OK;

#define SET(option, value) failed = failed ? failed : curl_easy_setopt(easy, option, value)
    SET(CURLOPT_URL, endpoint->url);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_HTTPHEADER, transport->headers);
    SET(CURLOPT_USERAGENT, TRANSPORT_USER_AGENT);
    SET(CURLOPT_WRITEFUNCTION, answer_append);
    SET(CURLOPT_WRITEDATA, &transport->answer);
    SET(CURLOPT_ERRORBUFFER, transport->error);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* closing does not wait for a resolver */
    if (endpoint->certificate[0])
        SET(CURLOPT_CAINFO, endpoint->certificate);
    if (endpoint->client_certificate[0])
        SET(CURLOPT_SSLCERT, endpoint->client_certificate);
    if (endpoint->client_key[0])
        SET(CURLOPT_SSLKEY, endpoint->client_key);
#undef SET
    return failed == CURLE_OK;
}

static void http_close(struct transport *transport)
{
    if (transport->multi)
        curl_multi_cleanup(transport->multi);
    if (transport->easy)
        curl_easy_cleanup(transport->easy);
    curl_slist_free_all(transport->headers);
    buffer_deinit(&transport->answer);
    buffer_deinit(&transport->packed);
    free(transport);
}

static int http_open(const struct export_endpoint *endpoint, enum export_signal signal,
                     struct transport **ret, char *error, size_t error_size)
{
    struct transport *transport = calloc(1, sizeof(*transport));

    (void)error;
    (void)error_size;
    if (!transport)
        return -ENOMEM;
    (void)pthread_once(&global_once, global_init);
    transport->endpoint = endpoint;
    transport->signal = signal;
    buffer_init(&transport->answer, TRANSPORT_ANSWER_MAX);
    buffer_init(&transport->packed, SIZE_MAX / 2);
    transport->easy = curl_easy_init();
    transport->multi = curl_multi_init();
    if (!transport->easy || !transport->multi || !headers_make(transport) ||
        !options_set(transport)) {
        http_close(transport);
        return -ENOMEM;
    }
    *ret = transport;
    return 0;
}

static bool gzip(struct buffer *out, const void *bytes, size_t length)
{
    z_stream stream = {0};
    uint8_t piece[16384];
    int r;

    buffer_clear(out);
    if (length > UINT32_MAX || deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW,
                                            8, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    stream.next_in = (Bytef *)(uintptr_t)bytes;
    stream.avail_in = (uInt)length;
    do {
        stream.next_out = piece;
        stream.avail_out = sizeof(piece);
        r = deflate(&stream, Z_FINISH);
        buffer_append(out, piece, sizeof(piece) - stream.avail_out);
    } while (r == Z_OK);
    (void)deflateEnd(&stream);
    return r == Z_STREAM_END && !out->failed;
}

/* Drives the request to its end; false: it was cancelled. */
static bool perform(struct transport *transport, CURLcode *ret)
{
    int running = 1;

    *ret = CURLE_FAILED_INIT;
    if (curl_multi_add_handle(transport->multi, transport->easy))
        return true;
    while (running > 0 && !atomic_load(&transport->is_cancelled)) {
        if (curl_multi_perform(transport->multi, &running))
            break;
        if (running > 0)
            (void)curl_multi_poll(transport->multi, NULL, 0, POLL_MS, NULL);
    }
    for (CURLMsg *message; (message = curl_multi_info_read(transport->multi, &(int){0}));) {
        if (message->msg == CURLMSG_DONE)
            *ret = message->data.result;
    }
    (void)curl_multi_remove_handle(transport->multi, transport->easy);
    return running == 0 || !atomic_load(&transport->is_cancelled);
}

/* A refusal's body is a google.rpc.Status with the server's words. */
static void refusal_read(const struct transport *transport, long status,
                         struct transport_answer *ret)
{
    const struct buffer *body = &transport->answer;
    char before[32];
    Google__Rpc__Status *said =
        google__rpc__status__unpack(NULL, body->length, (const uint8_t *)body->bytes);

    (void)snprintf(before, sizeof(before), "HTTP status %ld%s", status,
                   said && said->message[0] ? ": " : "");
    transport_reason(ret, before, said ? said->message : "", said ? strlen(said->message) : 0);
    if (said)
        google__rpc__status__free_unpacked(said, NULL);
}

static void answer_read(const struct transport *transport, struct transport_answer *ret)
{
    curl_off_t retry_after_s = 0;
    long status = 0;

    (void)curl_easy_getinfo(transport->easy, CURLINFO_RESPONSE_CODE, &status);
    ret->outcome = retry_of_http(status);
    if (ret->outcome == OUTCOME_ARRIVED) {
        transport_read_partial(transport->signal, transport->answer.bytes, transport->answer.length,
                               ret);
        return;
    }
    refusal_read(transport, status, ret);
    /* Seconds or a date: libcurl reads both. */
    if (!curl_easy_getinfo(transport->easy, CURLINFO_RETRY_AFTER, &retry_after_s) &&
        retry_after_s > 0)
        ret->retry_after_ms = retry_after_s > RETRY_AFTER_MAX_MS / 1000
                                  ? RETRY_AFTER_MAX_MS
                                  : (uint64_t)retry_after_s * 1000;
}

static void http_send(struct transport *transport, const void *bytes, size_t length,
                      uint64_t timeout_ms, struct transport_answer *ret)
{
    CURL *easy = transport->easy;
    CURLcode code;

    *ret = (struct transport_answer){.outcome = OUTCOME_RETRY};
    if (transport->endpoint->is_gzip) {
        if (!gzip(&transport->packed, bytes, length)) {
            transport_reason(ret, "compressing failed", "", 0);
            return;
        }
        bytes = transport->packed.bytes;
        length = transport->packed.length;
    }
    buffer_clear(&transport->answer);
    transport->error[0] = '\0';
    (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)length);
    (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, bytes);
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    if (!perform(transport, &code)) {
        ret->outcome = OUTCOME_CANCELLED;
        transport_reason(ret, "cancelled", "", 0);
    } else if (code == CURLE_OK) {
        answer_read(transport, ret);
    } else {
        const char *reason = transport->error[0] ? transport->error : curl_easy_strerror(code);
        if (transport->answer.failed) {
            ret->outcome = OUTCOME_REFUSED;
            reason = "the answer is longer than 4 MiB";
        }
        transport_reason(ret, "", reason, strlen(reason));
    }
}

static void http_cancel(struct transport *transport)
{
    atomic_store(&transport->is_cancelled, true);
    (void)curl_multi_wakeup(transport->multi);
}

const struct transport_ops transport_http = {http_open, http_send, http_cancel, http_close};
