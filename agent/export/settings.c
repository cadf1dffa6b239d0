#include "agent/export/settings.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/export/endpoint.h"

enum {
    NAME_SIZE = 64,
    HEADERS_MAX = 64,
    /* Stock gRPC servers take 4 MiB; a batch is closed well below it. */
    REQUEST_BYTES_DEFAULT = 3 << 20,
    /* The Collector's exporters wait 5 s first; an agent beside its service can ask sooner. */
    RETRY_FIRST_MS = 1000,
    RETRY_MOST_MS = 30 * 1000,
    RETRY_GIVE_UP_MS = 300 * 1000,
};

static const char *const signal_infix[EXPORT_SIGNAL_END] = {"METRICS_", "TRACES_"};
static const char *const signal_path[EXPORT_SIGNAL_END] = {"v1/metrics", "v1/traces"};
static const char *const signal_selector[EXPORT_SIGNAL_END] = {"OTEL_METRICS_EXPORTER",
                                                               "OTEL_TRACES_EXPORTER"};

/* One reading of all variables. */
struct reading {
    const struct export_opts *opts;
    char *error;
    size_t error_size;
};

__attribute__((format(printf, 2, 3))) static void note(const struct reading *reading,
                                                       const char *format, ...)
{
    char message[400];
    va_list arguments;

    if (!reading->opts->note)
        return;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    reading->opts->note(reading->opts->note_userdata, message);
}

__attribute__((format(printf, 2, 3))) static int wrong(const struct reading *reading,
                                                       const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(reading->error, reading->error_size, format, arguments);
    va_end(arguments);
    return EXPORT_E_WRONG;
}

/* ---- values --------------------------------------------------------------------------------- */

/* Empty is unset. */
static const char *variable(const struct reading *reading, const char *name)
{
    const char *value = reading->opts->getenv_fn ? reading->opts->getenv_fn(name) : NULL;

    return value && value[0] ? value : NULL;
}

/* The value of OTEL_EXPORTER_OTLP_@suffix for @signal, whose own form wins; @name says which. */
static const char *exporter_variable(const struct reading *reading, enum export_signal signal,
                                     const char *suffix, char name[NAME_SIZE])
{
    (void)snprintf(name, NAME_SIZE, "OTEL_EXPORTER_OTLP_%s%s", signal_infix[signal], suffix);
    const char *value = variable(reading, name);
    if (value)
        return value;
    (void)snprintf(name, NAME_SIZE, "OTEL_EXPORTER_OTLP_%s", suffix);
    return variable(reading, name);
}

static uint32_t number(const struct reading *reading, const char *name, const char *value,
                       uint32_t minimum, uint32_t otherwise)
{
    char *end;

    if (!value)
        return otherwise;
    errno = 0;
    long long parsed = strtoll(value, &end, 10);
    while (isspace((unsigned char)*end))
        end++;
    if (errno || end == value || *end || parsed < (long long)minimum || parsed > INT_MAX) {
        note(reading, "%s is no whole number from %u to %d; %u is used", name, minimum, INT_MAX,
             otherwise);
        return otherwise;
    }
    return (uint32_t)parsed;
}

static uint32_t number_variable(const struct reading *reading, const char *name, uint32_t minimum,
                                uint32_t otherwise)
{
    return number(reading, name, variable(reading, name), minimum, otherwise);
}

static bool truth(const struct reading *reading, const char *name, const char *value)
{
    if (!value)
        return false;
    if (strcasecmp(value, "true") == 0)
        return true;
    if (strcasecmp(value, "false") != 0)
        note(reading, "%s is neither true nor false; false is used", name);
    return false;
}

/* ---- one signal ----------------------------------------------------------------------------- */

static int protocol_read(const struct reading *reading, enum export_signal signal,
                         enum export_protocol *ret)
{
    const char *flag = reading->opts->protocol;
    char name[NAME_SIZE];

    *ret = EXPORT_HTTP;
    if (flag && flag[0]) {
        if (strcasecmp(flag, "grpc") == 0)
            *ret = EXPORT_GRPC;
        else if (strcasecmp(flag, "http/protobuf") != 0)
            return wrong(reading, "the OTLP protocol is neither grpc nor http/protobuf");
        return 0;
    }
    const char *value = exporter_variable(reading, signal, "PROTOCOL", name);
    if (!value || strcasecmp(value, "http/protobuf") == 0)
        return 0;
    if (strcasecmp(value, "grpc") == 0)
        *ret = EXPORT_GRPC;
    else
        note(reading, "%s is %s grpc nor http/protobuf; http/protobuf is used", name,
             strcasecmp(value, "http/json") == 0
                 ? "http/json, which Weir does not send, and neither"
                 : "neither");
    return 0;
}

static bool compression_read(const struct reading *reading, enum export_signal signal)
{
    char name[NAME_SIZE];
    const char *value = exporter_variable(reading, signal, "COMPRESSION", name);

    if (!value || strcasecmp(value, "none") == 0)
        return false;
    if (strcasecmp(value, "gzip") == 0)
        return true;
    note(reading, "%s is neither gzip nor none; none is used", name);
    return false;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes percent-encoding and cuts spaces around it. NULL: out of memory, or *ret_bad. */
static char *decode(const char *text, size_t length, bool *ret_bad)
{
    while (length > 0 && isspace((unsigned char)*text)) {
        text++;
        length--;
    }
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        length--;
    char *decoded = malloc(length + 1);
    size_t used = 0;

    for (size_t i = 0; decoded && i < length; i++) {
        char c = text[i];
        if (c == '%') {
            int high = i + 2 < length ? hex_digit(text[i + 1]) : -1;
            int low = i + 2 < length ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0)
                *ret_bad = true;
            c = (char)((high < 0 ? 0 : high) << 4 | (low < 0 ? 0 : low));
            i += 2;
        }
        /* A line break would begin another header. */
        if ((unsigned char)c < ' ' || c == 0x7f)
            *ret_bad = true;
        decoded[used++] = c;
    }
    if (decoded)
        decoded[used] = '\0';
    return decoded;
}

static bool is_token(const char *name)
{
    for (const char *c = name; *c; c++) {
        if (!isalnum((unsigned char)*c) && !strchr("!#$%&'*+-.^_`|~", *c))
            return false;
    }
    return name[0] != '\0';
}

/* One "name=value"; *ret_bad if it is none. */
static int header_read(struct export_endpoint *endpoint, const char *pair, size_t length,
                       bool *ret_bad)
{
    const char *equals = memchr(pair, '=', length);
    char *CLEANUP(freep) name = NULL;
    char *CLEANUP(freep) value = NULL;

    if (!equals) {
        for (size_t i = 0; i < length; i++)
            *ret_bad = *ret_bad || !isspace((unsigned char)pair[i]); /* an empty member is legal */
        return 0;
    }
    name = decode(pair, (size_t)(equals - pair), ret_bad);
    value = decode(equals + 1, length - (size_t)(equals - pair) - 1, ret_bad);
    if (!name || !value)
        return -ENOMEM;
    for (char *c = name; *c; c++)
        *c = (char)tolower((unsigned char)*c); /* gRPC's rule; HTTP does not care */
    if (!is_token(name) || endpoint->header_count == HEADERS_MAX)
        *ret_bad = true;
    if (*ret_bad)
        return 0;
    endpoint->headers[endpoint->header_count++] = (struct export_header){STEAL(name), STEAL(value)};
    return 0;
}

static int headers_read(const struct reading *reading, enum export_signal signal,
                        struct export_endpoint *endpoint)
{
    char name[NAME_SIZE];
    const char *value = exporter_variable(reading, signal, "HEADERS", name);
    unsigned bad_count = 0;

    if (!value)
        return 0;
    endpoint->headers = calloc(HEADERS_MAX, sizeof(*endpoint->headers));
    if (!endpoint->headers)
        return -ENOMEM;
    for (const char *pair = value; pair;) {
        const char *comma = strchr(pair, ',');
        bool is_bad = false;
        int r = header_read(endpoint, pair, comma ? (size_t)(comma - pair) : strlen(pair), &is_bad);
        if (r < 0)
            return r;
        bad_count += is_bad;
        pair = comma ? comma + 1 : NULL;
    }
    if (bad_count > 0)
        note(reading, "%s: %u of its members are no name=value and left out", name, bad_count);
    return 0;
}

static int file_read(const struct reading *reading, enum export_signal signal, const char *suffix,
                     char **ret)
{
    char name[NAME_SIZE];
    const char *value = exporter_variable(reading, signal, suffix, name);

    if (value && access(value, R_OK) < 0) {
        char reason[64];
        return wrong(reading, "%s: %s: %s", name, value, strerror_r(errno, reason, sizeof(reason)));
    }
    *ret = strdup(value ? value : "");
    return *ret ? 0 : -ENOMEM;
}

/* "otlp", "none", or a list with others, which are not ours to send to. */
static bool is_selected(const struct reading *reading, enum export_signal signal)
{
    const char *value = variable(reading, signal_selector[signal]);
    bool has_otlp = false, has_none = false, has_other = false;

    for (const char *word = value; word;) {
        const char *comma = strchr(word, ',');
        size_t length = comma ? (size_t)(comma - word) : strlen(word);
        while (length > 0 && isspace((unsigned char)*word)) {
            word++;
            length--;
        }
        while (length > 0 && isspace((unsigned char)word[length - 1]))
            length--;
        if (length == 4 && strncasecmp(word, "otlp", 4) == 0)
            has_otlp = true;
        else if (length == 4 && strncasecmp(word, "none", 4) == 0)
            has_none = true;
        else if (length == 10 && strncasecmp(word, "prometheus", 10) == 0)
            has_other = true; /* /metrics is there in any case */
        else if (length > 0)
            note(reading, "%s: \"%.*s\" is not known; otlp, prometheus and none are",
                 signal_selector[signal], (int)(length < 40 ? length : 40), word);
        word = comma ? comma + 1 : NULL;
    }
    return has_otlp || (!has_none && !has_other);
}

/* The endpoint's text, and whose it is; *ret_path is what HTTP appends. NULL: none is set. */
static const char *endpoint_text(const struct reading *reading, enum export_signal signal,
                                 char name[NAME_SIZE], const char **ret_path)
{
    *ret_path = signal_path[signal];
    if (reading->opts->endpoint && reading->opts->endpoint[0]) {
        (void)snprintf(name, NAME_SIZE, "otlp_endpoint");
        return reading->opts->endpoint;
    }
    const char *value = exporter_variable(reading, signal, "ENDPOINT", name);
    if (value && strcmp(name, "OTEL_EXPORTER_OTLP_ENDPOINT") != 0)
        *ret_path = NULL;
    return value;
}

static int endpoint_read(const struct reading *reading, enum export_signal signal,
                         struct export_endpoint *endpoint)
{
    char name[NAME_SIZE], insecure_name[NAME_SIZE], timeout_name[NAME_SIZE], reason[200];
    const char *path, *value;
    int r;

    if (!is_selected(reading, signal))
        return 0;
    const char *text = endpoint_text(reading, signal, name, &path);
    if (!text)
        return 0;
    if ((r = protocol_read(reading, signal, &endpoint->protocol)) != 0)
        return r;
    value = exporter_variable(reading, signal, "INSECURE", insecure_name);
    bool is_insecure = truth(reading, insecure_name, value);
    r = endpoint_parse(endpoint, text, path, is_insecure, reason, sizeof(reason));
    if (r == EXPORT_E_WRONG)
        return wrong(reading, "%s: %s", name, reason);
    if (r < 0)
        return r;
    endpoint->is_gzip = compression_read(reading, signal);
    value = exporter_variable(reading, signal, "TIMEOUT", timeout_name);
    endpoint->timeout_ms = number(reading, timeout_name, value, 0, 10000);
    if ((r = headers_read(reading, signal, endpoint)) != 0 ||
        (r = file_read(reading, signal, "CERTIFICATE", &endpoint->certificate)) != 0 ||
        (r = file_read(reading, signal, "CLIENT_CERTIFICATE", &endpoint->client_certificate)) !=
            0 ||
        (r = file_read(reading, signal, "CLIENT_KEY", &endpoint->client_key)) != 0)
        return r;
    if ((endpoint->client_certificate[0] != '\0') != (endpoint->client_key[0] != '\0'))
        return wrong(reading, "of OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and "
                              "OTEL_EXPORTER_OTLP_CLIENT_KEY only one is set");
    endpoint->is_enabled = true;
    return 0;
}

/* ---- all ------------------------------------------------------------------------------------ */

static uint32_t shorter(uint32_t a, uint32_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a; /* 0 is no limit */
}

static void metrics_read(const struct reading *reading, struct export_settings *settings)
{
    static const char temporality_name[] = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
    static const char form_name[] = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
    const char *temporality = variable(reading, temporality_name);
    const char *form = variable(reading, form_name);
    uint32_t *timeout_ms = &settings->endpoints[EXPORT_METRICS].timeout_ms;

    settings->interval_ms = number_variable(reading, "OTEL_METRIC_EXPORT_INTERVAL", 1, 60000);
    *timeout_ms =
        shorter(*timeout_ms, number_variable(reading, "OTEL_METRIC_EXPORT_TIMEOUT", 0, 30000));
    if (temporality && strcasecmp(temporality, "cumulative") != 0)
        note(reading,
             "%s: Weir sends cumulative sums only, which are exact whatever gets lost; a Collector "
             "makes deltas of them (cumulativetodelta)",
             temporality_name);
    settings->exponential = form && strcasecmp(form, "base2_exponential_bucket_histogram") == 0;
    if (form && !settings->exponential && strcasecmp(form, "explicit_bucket_histogram") != 0)
        note(reading, "%s is not known; explicit_bucket_histogram is used", form_name);
}

static void spans_read(const struct reading *reading, struct export_settings *settings)
{
    uint32_t *timeout_ms = &settings->endpoints[EXPORT_TRACES].timeout_ms;

    settings->span_bytes_max = reading->opts->span_bytes_max;
    settings->spans_max =
        number_variable(reading, "OTEL_BSP_MAX_QUEUE_SIZE", 1, reading->opts->spans_max);
    settings->spans_batch_max = number_variable(reading, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 1, 512);
    if (settings->spans_batch_max > settings->spans_max)
        settings->spans_batch_max = settings->spans_max;
    settings->spans_delay_ms = number_variable(reading, "OTEL_BSP_SCHEDULE_DELAY", 0, 5000);
    *timeout_ms =
        shorter(*timeout_ms, number_variable(reading, "OTEL_BSP_EXPORT_TIMEOUT", 0, 30000));
}

int export_settings_load(const struct export_opts *opts, struct export_settings **ret, char *error,
                         size_t error_size)
{
    struct reading reading = {opts, error, error_size};
    struct export_settings *CLEANUP(export_settings_freep) settings = calloc(1, sizeof(*settings));

    if (!settings)
        return -ENOMEM;
    settings->request_bytes_max = REQUEST_BYTES_DEFAULT;
    settings->retry = (struct retry_opts){RETRY_FIRST_MS, RETRY_MOST_MS, RETRY_GIVE_UP_MS};
    if (variable(&reading, "OTEL_CONFIG_FILE"))
        note(&reading, "OTEL_CONFIG_FILE is not read; the other OTEL_ variables count");
    bool is_disabled =
        truth(&reading, "OTEL_SDK_DISABLED", variable(&reading, "OTEL_SDK_DISABLED"));
    for (size_t signal = 0; signal < EXPORT_SIGNAL_END && !is_disabled; signal++) {
        int r = endpoint_read(&reading, (enum export_signal)signal, &settings->endpoints[signal]);
        if (r != 0)
            return r;
    }
    metrics_read(&reading, settings);
    spans_read(&reading, settings);
    *ret = STEAL(settings);
    return 0;
}

struct export_settings *export_settings_free(struct export_settings *settings)
{
    for (size_t signal = 0; settings && signal < EXPORT_SIGNAL_END; signal++) {
        struct export_endpoint *endpoint = &settings->endpoints[signal];
        for (size_t i = 0; i < endpoint->header_count; i++) {
            free(endpoint->headers[i].name);
            free(endpoint->headers[i].value);
        }
        free(endpoint->headers);
        free(endpoint->url);
        free(endpoint->shown);
        free(endpoint->host);
        free(endpoint->certificate);
        free(endpoint->client_certificate);
        free(endpoint->client_key);
    }
    free(settings);
    return NULL;
}

bool export_settings_any(const struct export_settings *settings)
{
    return settings->endpoints[EXPORT_METRICS].is_enabled ||
           settings->endpoints[EXPORT_TRACES].is_enabled;
}
