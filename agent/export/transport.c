#include "agent/export/transport.h"

#include <stdio.h>
#include <string.h>

#include "proto/opentelemetry/metrics_service.pb-c.h"
#include "proto/opentelemetry/trace_service.pb-c.h"

void transport_reason(struct transport_answer *answer, const char *before, const char *text,
                      size_t length)
{
    size_t used;

    (void)snprintf(answer->reason, sizeof(answer->reason), "%s", before);
    used = strlen(answer->reason);
    for (size_t i = 0; i < length && used + 1 < sizeof(answer->reason); i++) {
        unsigned char c = (unsigned char)text[i];
        answer->reason[used++] = c >= ' ' && c < 0x7f ? text[i] : '?';
    }
    answer->reason[used] = '\0';
}

static void partial_set(struct transport_answer *answer, int64_t rejected, const char *message)
{
    answer->rejected = rejected > 0 ? rejected : 0;
    transport_reason(answer, "", message, strlen(message));
}

static void metrics_partial(const void *bytes, size_t length, struct transport_answer *answer)
{
    Opentelemetry__Proto__Collector__Metrics__V1__ExportMetricsServiceResponse *response =
        opentelemetry__proto__collector__metrics__v1__export_metrics_service_response__unpack(
            NULL, length, bytes);

    if (!response)
        return;
    if (response->partial_success)
        partial_set(answer, response->partial_success->rejected_data_points,
                    response->partial_success->error_message);
    opentelemetry__proto__collector__metrics__v1__export_metrics_service_response__free_unpacked(
        response, NULL);
}

static void traces_partial(const void *bytes, size_t length, struct transport_answer *answer)
{
    Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceResponse *response =
        opentelemetry__proto__collector__trace__v1__export_trace_service_response__unpack(
            NULL, length, bytes);

    if (!response)
        return;
    if (response->partial_success)
        partial_set(answer, response->partial_success->rejected_spans,
                    response->partial_success->error_message);
    opentelemetry__proto__collector__trace__v1__export_trace_service_response__free_unpacked(
        response, NULL);
}

void transport_read_partial(enum export_signal signal, const void *bytes, size_t length,
                            struct transport_answer *answer)
{
    if (signal == EXPORT_METRICS)
        metrics_partial(bytes, length, answer);
    else
        traces_partial(bytes, length, answer);
}
