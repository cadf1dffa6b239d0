/* OTLP over gRPC with gRPC core's C surface, which nothing else in the tree touches: a unary call
 * at a time, its messages as bytes. */
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/compression.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/export/transport.h"
#include "base/buffer.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITH_THREAD_SANITIZER 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define WITH_THREAD_SANITIZER 1
#endif

#ifdef WITH_THREAD_SANITIZER
/* gRPC core and what works for it (Abseil, OpenSSL, zlib) are not instrumented and lock by futexes
 * that the sanitizer cannot see: it takes what their own threads hand to each other for races. What
 * we do with our memory is still watched. This counts for every program with this file in it. */
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
#define NOT_OURS(library) "called_from_lib:" library "\nrace:" library "\n"
    return NOT_OURS("libgrpc.so") NOT_OURS("libgpr.so") NOT_OURS("libabsl_synchronization.so")
        NOT_OURS("libcrypto.so") NOT_OURS("libssl.so") NOT_OURS("libz.so") "race:libabsl_\n";
#undef NOT_OURS
}
#endif

enum {
    /* Our own back-off decides when to try; the channel's shall not be slower. */
    RECONNECT_FIRST_MS = 500,
    RECONNECT_MOST_MS = 5000,
    CONNECT_TIMEOUT_MS = 10 * 1000, /* which gRPC core calls the least time between attempts */
    PEM_MAX = 1 << 20,
};

static const char *const methods[EXPORT_SIGNAL_END] = {
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
};

struct transport {
    const struct export_endpoint *endpoint;
    enum export_signal signal;
    grpc_channel *channel;
    grpc_completion_queue *queue;
    grpc_metadata *headers;
    pthread_mutex_t lock;
    grpc_call *call; /* under way; under @lock */
    bool is_cancelled;
};

/* ---- opening -------------------------------------------------------------------------------- */

static int file_load(const char *path, struct buffer *out, char *error, size_t error_size)
{
    char piece[4096];
    size_t length;
    FILE *file = fopen(path, "re");

    while (file && (length = fread(piece, 1, sizeof(piece), file)) > 0)
        buffer_append(out, piece, length);
    if (!file || ferror(file) || out->failed || out->length == 0) {
        char reason[64];
        (void)snprintf(error, error_size, "%s: %s", path,
                       !file         ? strerror_r(errno, reason, sizeof(reason))
                       : out->failed ? "longer than 1 MiB"
                                     : "empty or unreadable");
        if (file)
            (void)fclose(file);
        return EXPORT_E_WRONG;
    }
    (void)fclose(file);
    return 0;
}

static int credentials_make(const struct export_endpoint *endpoint, grpc_channel_credentials **ret,
                            char *error, size_t error_size)
{
    struct buffer CLEANUP(buffer_deinit) roots = {.length_max = PEM_MAX};
    struct buffer CLEANUP(buffer_deinit) chain = {.length_max = PEM_MAX};
    struct buffer CLEANUP(buffer_deinit) key = {.length_max = PEM_MAX};

    if (!endpoint->is_tls) {
        *ret = grpc_insecure_credentials_create();
        return *ret ? 0 : -ENOMEM;
    }
    int r = 0;
    if (endpoint->certificate[0])
        r = file_load(endpoint->certificate, &roots, error, error_size);
    if (r == 0 && endpoint->client_certificate[0])
        r = file_load(endpoint->client_certificate, &chain, error, error_size);
    if (r == 0 && endpoint->client_key[0])
        r = file_load(endpoint->client_key, &key, error, error_size);
    if (r != 0)
        return r;
    grpc_ssl_pem_key_cert_pair pair = {key.bytes, chain.bytes};
    *ret = grpc_ssl_credentials_create(roots.bytes, chain.length ? &pair : NULL, NULL, NULL);
    if (key.bytes)
        explicit_bzero(key.bytes, key.length);
    if (*ret)
        return 0;
    (void)snprintf(error, error_size, "the certificates or the key are not usable");
    return EXPORT_E_WRONG;
}

static grpc_arg int_arg(const char *key, int value)
{
    return (grpc_arg){
        .type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)key, .value.integer = value};
}

static int channel_make(struct transport *transport, char *error, size_t error_size)
{
    const struct export_endpoint *endpoint = transport->endpoint;
    grpc_channel_credentials *credentials = NULL;
    grpc_arg args[] = {
        {.type = GRPC_ARG_STRING,
         .key = (char *)(uintptr_t)GRPC_ARG_PRIMARY_USER_AGENT_STRING,
         .value.string = (char *)(uintptr_t)TRANSPORT_USER_AGENT},
        int_arg(GRPC_COMPRESSION_CHANNEL_DEFAULT_ALGORITHM,
                endpoint->is_gzip ? GRPC_COMPRESS_GZIP : GRPC_COMPRESS_NONE),
        int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, TRANSPORT_ANSWER_MAX),
        int_arg(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
        int_arg(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, RECONNECT_FIRST_MS),
        int_arg(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, CONNECT_TIMEOUT_MS),
        int_arg(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, RECONNECT_MOST_MS),
        int_arg(GRPC_ARG_ENABLE_RETRIES, 0), /* the exporter retries, and counts it */
    };
    grpc_channel_args channel_args = {sizeof(args) / sizeof(args[0]), args};

    int r = credentials_make(endpoint, &credentials, error, error_size);
    if (r != 0)
        return r;
    transport->channel = grpc_channel_create(endpoint->url, credentials, &channel_args);
    grpc_channel_credentials_release(credentials);
    return transport->channel ? 0 : -ENOMEM;
}

static void grpc_transport_close(struct transport *transport)
{
    if (transport->channel)
        grpc_channel_destroy(transport->channel);
    if (transport->queue) {
        grpc_completion_queue_shutdown(transport->queue);
        grpc_completion_queue_destroy(transport->queue);
    }
    for (size_t i = 0; transport->headers && i < transport->endpoint->header_count; i++) {
        grpc_slice_unref(transport->headers[i].key);
        grpc_slice_unref(transport->headers[i].value);
    }
    free(transport->headers);
    (void)pthread_mutex_destroy(&transport->lock);
    free(transport);
    grpc_shutdown_blocking();
}

static int headers_make(struct transport *transport)
{
    const struct export_endpoint *endpoint = transport->endpoint;

    transport->headers = calloc(endpoint->header_count + 1, sizeof(*transport->headers));
    for (size_t i = 0; transport->headers && i < endpoint->header_count; i++) {
        transport->headers[i].key = grpc_slice_from_copied_string(endpoint->headers[i].name);
        transport->headers[i].value = grpc_slice_from_copied_string(endpoint->headers[i].value);
    }
    return transport->headers ? 0 : -ENOMEM;
}

static int grpc_transport_open(const struct export_endpoint *endpoint, enum export_signal signal,
                               struct transport **ret, char *error, size_t error_size)
{
    struct transport *transport = calloc(1, sizeof(*transport));

    if (!transport)
        return -ENOMEM;
    transport->endpoint = endpoint;
    transport->signal = signal;
    (void)pthread_mutex_init(&transport->lock, NULL);
    grpc_init();
    transport->queue = grpc_completion_queue_create_for_pluck(NULL);
    int r = headers_make(transport);
    if (r == 0)
        r = channel_make(transport, error, error_size);
    if (r != 0) {
        grpc_transport_close(transport);
        return r;
    }
    *ret = transport;
    return 0;
}

/* ---- one call ------------------------------------------------------------------------------- */

/* What a call brings back. */
struct result {
    grpc_metadata_array initial, trailing;
    grpc_byte_buffer *message;
    grpc_status_code status;
    grpc_slice details;
};

static void result_init(struct result *result)
{
    *result = (struct result){.details = grpc_empty_slice()};
    grpc_metadata_array_init(&result->initial);
    grpc_metadata_array_init(&result->trailing);
}

static void result_deinit(struct result *result)
{
    grpc_metadata_array_destroy(&result->initial);
    grpc_metadata_array_destroy(&result->trailing);
    grpc_byte_buffer_destroy(result->message);
    grpc_slice_unref(result->details);
}

static gpr_timespec deadline_in(uint64_t timeout_ms)
{
    if (timeout_ms == 0 || timeout_ms > INT64_MAX)
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                        gpr_time_from_millis((int64_t)timeout_ms, GPR_TIMESPAN));
}

/* Runs the call to its end; false: gRPC core did not take it. */
static bool call_run(const struct transport *transport, grpc_call *call, grpc_byte_buffer *request,
                     struct result *result)
{
    grpc_op ops[6];

    memset(ops, 0, sizeof(ops));
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[0].data.send_initial_metadata.count = transport->endpoint->header_count;
    ops[0].data.send_initial_metadata.metadata = transport->headers;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = request;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &result->initial;
    ops[4].op = GRPC_OP_RECV_MESSAGE;
    ops[4].data.recv_message.recv_message = &result->message;
    ops[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[5].data.recv_status_on_client.trailing_metadata = &result->trailing;
    ops[5].data.recv_status_on_client.status = &result->status;
    ops[5].data.recv_status_on_client.status_details = &result->details;
    if (grpc_call_start_batch(call, ops, 6, call, NULL) != GRPC_CALL_OK)
        return false;
    /* The call's own deadline, or cancelling it, ends the wait. */
    (void)grpc_completion_queue_pluck(transport->queue, call, gpr_inf_future(GPR_CLOCK_MONOTONIC),
                                      NULL);
    return true;
}

static bool retry_info_find(const grpc_metadata_array *trailing, uint64_t *ret_wait_ms)
{
    for (size_t i = 0; i < trailing->count; i++) {
        if (grpc_slice_str_cmp(trailing->metadata[i].key, "grpc-status-details-bin") == 0)
            return retry_info_read(GRPC_SLICE_START_PTR(trailing->metadata[i].value),
                                   GRPC_SLICE_LENGTH(trailing->metadata[i].value), ret_wait_ms);
    }
    return false;
}

static void answer_read(const struct transport *transport, const struct result *result,
                        struct transport_answer *ret)
{
    uint64_t wait_ms = 0;
    bool says_when = retry_info_find(&result->trailing, &wait_ms);

    ret->outcome = retry_of_grpc((int)result->status, says_when);
    if (ret->outcome != OUTCOME_ARRIVED) {
        char before[64];
        ret->retry_after_ms = wait_ms;
        (void)snprintf(before, sizeof(before),
                       "gRPC status %s: ", retry_grpc_name((int)result->status));
        transport_reason(ret, before, (const char *)GRPC_SLICE_START_PTR(result->details),
                         GRPC_SLICE_LENGTH(result->details));
    } else if (result->message) {
        grpc_byte_buffer_reader reader;
        if (!grpc_byte_buffer_reader_init(&reader, result->message))
            return;
        grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
        transport_read_partial(transport->signal, GRPC_SLICE_START_PTR(all), GRPC_SLICE_LENGTH(all),
                               ret);
        grpc_slice_unref(all);
        grpc_byte_buffer_reader_destroy(&reader);
    }
}

/* Makes the call known to cancel; false: that came first. */
static bool call_begin(struct transport *transport, grpc_call *call)
{
    (void)pthread_mutex_lock(&transport->lock);
    bool is_wanted = !transport->is_cancelled;
    if (is_wanted)
        transport->call = call;
    (void)pthread_mutex_unlock(&transport->lock);
    return is_wanted;
}

static bool call_end(struct transport *transport)
{
    (void)pthread_mutex_lock(&transport->lock);
    bool is_wanted = !transport->is_cancelled;
    transport->call = NULL;
    (void)pthread_mutex_unlock(&transport->lock);
    return is_wanted;
}

static void grpc_transport_send(struct transport *transport, const void *bytes, size_t length,
                                uint64_t timeout_ms, struct transport_answer *ret)
{
    struct result result;
    /* A copy, since what is being written may outlive a call that timed out. */
    grpc_slice slice = grpc_slice_from_copied_buffer(bytes, length);
    grpc_byte_buffer *request = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_call *call = grpc_channel_create_call(
        transport->channel, NULL, GRPC_PROPAGATE_DEFAULTS, transport->queue,
        grpc_slice_from_static_string(methods[transport->signal]), NULL, deadline_in(timeout_ms),
        NULL);

    *ret = (struct transport_answer){.outcome = OUTCOME_CANCELLED};
    transport_reason(ret, "cancelled", "", 0);
    result_init(&result);
    if (call_begin(transport, call)) {
        bool has_run = call_run(transport, call, request, &result);
        bool is_wanted = call_end(transport);
        if (!has_run) {
            ret->outcome = OUTCOME_REFUSED;
            transport_reason(ret, "gRPC core refused the call: a header that it cannot carry?", "",
                             0);
        } else if (is_wanted || result.status == GRPC_STATUS_OK) {
            answer_read(transport, &result, ret);
        }
    }
    grpc_call_unref(call);
    result_deinit(&result);
    grpc_byte_buffer_destroy(request);
    grpc_slice_unref(slice);
}

static void grpc_transport_cancel(struct transport *transport)
{
    (void)pthread_mutex_lock(&transport->lock);
    transport->is_cancelled = true;
    if (transport->call)
        (void)grpc_call_cancel(transport->call, NULL);
    (void)pthread_mutex_unlock(&transport->lock);
}

const struct transport_ops transport_grpc = {grpc_transport_open, grpc_transport_send,
                                             grpc_transport_cancel, grpc_transport_close};
