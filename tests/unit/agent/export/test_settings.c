#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "agent/export/settings.h"

/* The environment of one reading: name, value, …, NULL. */
static const char *const *variables;
static char notes[4000];
static char error[300];

static const char *get(const char *name)
{
    for (const char *const *variable = variables; variable && *variable; variable += 2) {
        if (strcmp(variable[0], name) == 0)
            return variable[1];
    }
    return NULL;
}

static void noted(void *userdata, const char *message)
{
    (void)userdata;
    (void)snprintf(notes + strlen(notes), sizeof(notes) - strlen(notes), "%s\n", message);
}

static int load_with(const char *endpoint, const char *protocol, const char *const *environment,
                     struct export_settings **ret)
{
    struct export_opts opts = {.endpoint = endpoint,
                               .protocol = protocol,
                               .spans_max = 2048,
                               .span_bytes_max = 1 << 20,
                               .getenv_fn = get,
                               .note = noted};

    variables = environment;
    notes[0] = error[0] = '\0';
    return export_settings_load(&opts, ret, error, sizeof(error));
}

static struct export_settings *load(const char *const *environment)
{
    struct export_settings *settings = NULL;

    assert_int_equal(load_with(NULL, NULL, environment, &settings), 0);
    return settings;
}

#define ENV(...) ((const char *const[]){__VA_ARGS__, NULL})
#define BASE     "OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"
#define LOAD(...)                                                                                  \
    struct export_settings *CLEANUP(export_settings_freep) settings = load(ENV(__VA_ARGS__));      \
    const struct export_endpoint *metrics = &settings->endpoints[EXPORT_METRICS];                  \
    const struct export_endpoint *traces = &settings->endpoints[EXPORT_TRACES];                    \
    (void)metrics;                                                                                 \
    (void)traces

static void nothing_set(void **state)
{
    struct export_settings *CLEANUP(export_settings_freep) settings = load(NULL);

    (void)state;
    assert_false(export_settings_any(settings));
    assert_int_equal(settings->interval_ms, 60000);
    assert_int_equal(settings->spans_max, 2048);
    assert_int_equal(settings->spans_batch_max, 512);
    assert_int_equal(settings->spans_delay_ms, 5000);
    assert_false(settings->exponential);
    assert_string_equal(notes, "");
}

static void base_endpoint(void **state)
{
    LOAD(BASE);
    (void)state;
    assert_true(metrics->is_enabled && traces->is_enabled);
    assert_string_equal(metrics->url, "http://collector:4318/v1/metrics");
    assert_string_equal(traces->url, "http://collector:4318/v1/traces");
    assert_string_equal(metrics->host, "collector");
    assert_int_equal(metrics->port, 4318);
    assert_int_equal(metrics->protocol, EXPORT_HTTP);
    assert_int_equal(metrics->timeout_ms, 10000);
    assert_false(metrics->is_tls || metrics->is_gzip);
    assert_string_equal(notes, "");
}

static void paths(void **state)
{
    static const char *const table[][3] = {
        {"http://c", "http://c/v1/metrics", "http://c:80/v1/metrics"},
        {"http://c/", "http://c/v1/metrics", "http://c:80/v1/metrics"},
        {"https://c/otlp", "https://c/otlp/v1/metrics", "https://c:443/otlp/v1/metrics"},
        {"http://c:1/a/?k=v", "http://c:1/a/v1/metrics?k=v", "http://c:1/a/v1/metrics"},
        {"http://u:p@c:1", "http://u:p@c:1/v1/metrics", "http://c:1/v1/metrics"},
        {"http://[::1]:4318", "http://[::1]:4318/v1/metrics", "http://[::1]:4318/v1/metrics"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        LOAD("OTEL_EXPORTER_OTLP_ENDPOINT", table[i][0]);
        assert_string_equal(metrics->url, table[i][1]);
        assert_string_equal(metrics->shown, table[i][2]);
    }
    LOAD("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1]:4318");
    assert_string_equal(metrics->host, "::1");
}

static void a_signals_own_endpoint_is_used_as_it_is(void **state)
{
    (void)state;
    {
        LOAD(BASE, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://other:1");
        assert_string_equal(metrics->url, "http://other:1/");
        assert_string_equal(traces->url, "http://collector:4318/v1/traces");
    }
    {
        LOAD("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://other:1/x");
        assert_false(metrics->is_enabled);
        assert_string_equal(traces->url, "http://other:1/x");
    }
}

static void grpc_targets(void **state)
{
    static const struct {
        const char *text, *insecure, *url, *shown;
        bool is_tls;
    } table[] = {
        {"http://c:4317", "", "c:4317", "http://c:4317", false},
        {"http://c:4317/ignored", "false", "c:4317", "http://c:4317", false},
        {"https://c:4317", "true", "c:4317", "https://c:4317", true}, /* the scheme wins */
        {"c:4317", "true", "c:4317", "http://c:4317", false},
        {"c:4317", "TRUE", "c:4317", "http://c:4317", false},
        {"c:4317", "", "c:4317", "https://c:4317", true},
        {"[::1]:4317", "true", "[::1]:4317", "http://[::1]:4317", false},
        {"https://c", "", "c:443", "https://c:443", true},
        {"unix:/run/otlp.sock", "true", "unix:/run/otlp.sock", "unix:/run/otlp.sock", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        LOAD("OTEL_EXPORTER_OTLP_ENDPOINT", table[i].text, "OTEL_EXPORTER_OTLP_PROTOCOL", "gRPC",
             "OTEL_EXPORTER_OTLP_INSECURE", table[i].insecure);
        assert_int_equal(metrics->protocol, EXPORT_GRPC);
        assert_string_equal(metrics->url, table[i].url);
        assert_string_equal(metrics->shown, table[i].shown);
        assert_int_equal(metrics->is_tls, table[i].is_tls);
        assert_string_equal(notes, "");
    }
}

static void what_is_no_url(void **state)
{
    static const char *const bad[] = {"collector",  "collector:4318",      "ftp://c",
                                      "http://",    "http://c:99999",      "http://c:x",
                                      "http://a b", "http://c\n/",         "://c",
                                      "http:///",   "http://user:s3cret@", "htp://s3cret@c"};
    struct export_settings *settings = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int r =
            load_with(NULL, NULL, ENV("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", bad[i]), &settings);
        if (r != EXPORT_E_WRONG)
            fail_msg("%s was taken", bad[i]);
        assert_non_null(strstr(error, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: the OTLP endpoint "));
        assert_null(strstr(error, "s3cret"));
    }
    assert_int_equal(load_with("nonsense", NULL, NULL, &settings), EXPORT_E_WRONG);
    assert_non_null(strstr(error, "otlp_endpoint: "));
}

static void flags_win(void **state)
{
    struct export_settings *CLEANUP(export_settings_freep) settings = NULL;
    struct export_settings *none = NULL;

    (void)state;
    assert_int_equal(load_with("http://flag:1", "http/protobuf",
                               ENV(BASE, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://own:2",
                                   "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
                               &settings),
                     0);
    assert_string_equal(settings->endpoints[EXPORT_METRICS].url, "http://flag:1/v1/metrics");
    assert_string_equal(settings->endpoints[EXPORT_TRACES].url, "http://flag:1/v1/traces");
    assert_int_equal(load_with("http://flag:1", "http/json", NULL, &none), EXPORT_E_WRONG);
    assert_non_null(strstr(error, "neither grpc nor http/protobuf"));
    assert_int_equal(load_with("", "", NULL, &none), 0);
    assert_false(export_settings_any(none));
    none = export_settings_free(none);
}

static void each_signal_wins_for_itself(void **state)
{
    LOAD(BASE, "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
         "grpc", "OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION",
         "none", "OTEL_EXPORTER_OTLP_TIMEOUT", "2000", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "3000",
         "OTEL_EXPORTER_OTLP_HEADERS", "a=1", "OTEL_EXPORTER_OTLP_METRICS_HEADERS", "b=2,c=3");
    (void)state;
    assert_int_equal(metrics->protocol, EXPORT_HTTP);
    assert_int_equal(traces->protocol, EXPORT_GRPC);
    assert_false(metrics->is_gzip);
    assert_true(traces->is_gzip);
    assert_int_equal(metrics->timeout_ms, 2000);
    assert_int_equal(traces->timeout_ms, 3000);
    assert_int_equal(metrics->header_count, 2);
    assert_string_equal(metrics->headers[1].name, "c");
    assert_int_equal(traces->header_count, 1);
    assert_string_equal(traces->headers[0].value, "1");
    assert_string_equal(notes, "");
}

static void headers(void **state)
{
    {
        LOAD(BASE, "OTEL_EXPORTER_OTLP_HEADERS",
             " Api-Key = s%20p%2Cx%3d , empty=,, authorization=Bearer a=b==");
        (void)state;
        assert_int_equal(metrics->header_count, 3);
        assert_string_equal(metrics->headers[0].name, "api-key");
        assert_string_equal(metrics->headers[0].value, "s p,x=");
        assert_string_equal(metrics->headers[1].value, "");
        assert_string_equal(metrics->headers[2].value, "Bearer a=b==");
        assert_string_equal(notes, "");
    }
    /* What would be another header, or none at all, is left out; its value is not shown. */
    {
        LOAD(BASE, "OTEL_EXPORTER_OTLP_HEADERS",
             "a=s3cret%0d%0aX: y,b=s3cret%,c=s3cret%zz,s3cret,=s3cret,sp ace=s3cret,good=1");
        assert_int_equal(metrics->header_count, 1);
        assert_string_equal(metrics->headers[0].name, "good");
        assert_non_null(strstr(notes, "OTEL_EXPORTER_OTLP_HEADERS: 6 of its members"));
        assert_null(strstr(notes, "s3cret"));
    }
}

static void what_cannot_be_parsed_is_noted(void **state)
{
    static const char *const names[] = {
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "OTEL_METRIC_EXPORT_INTERVAL",
        "OTEL_METRIC_EXPORT_TIMEOUT",
        "OTEL_BSP_SCHEDULE_DELAY",
        "OTEL_BSP_MAX_QUEUE_SIZE",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        "OTEL_BSP_EXPORT_TIMEOUT",
        "OTEL_EXPORTER_OTLP_COMPRESSION",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "OTEL_EXPORTER_OTLP_INSECURE",
        "OTEL_METRICS_EXPORTER",
        "OTEL_SDK_DISABLED",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
    };
    static const char *const values[] = {"x", "-1", "1s", "5000000000", "0x10", "http/json"};

    (void)state;
    for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
        for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
            LOAD(BASE, names[n], values[v]);
            if (!strstr(notes, names[n]))
                fail_msg("%s=%s was not noted: %s", names[n], values[v], notes);
            assert_true(metrics->is_enabled && traces->is_enabled);
            assert_int_equal(metrics->timeout_ms, 10000);
            assert_int_equal(traces->timeout_ms, 10000);
            assert_int_equal(metrics->protocol, EXPORT_HTTP);
            assert_int_equal(settings->interval_ms, 60000);
            assert_int_equal(settings->spans_max, 2048);
            assert_int_equal(settings->spans_batch_max, 512);
            assert_false(settings->exponential || metrics->is_gzip);
        }
        LOAD(BASE, names[n], "");
        assert_string_equal(notes, ""); /* empty is unset */
    }
}

static void numbers(void **state)
{
    LOAD(BASE, "OTEL_EXPORTER_OTLP_TIMEOUT", "60000", "OTEL_METRIC_EXPORT_INTERVAL", "1000",
         "OTEL_METRIC_EXPORT_TIMEOUT", "500", "OTEL_BSP_SCHEDULE_DELAY", "0",
         "OTEL_BSP_MAX_QUEUE_SIZE", "100", "OTEL_BSP_EXPORT_TIMEOUT", "0");
    (void)state;
    assert_int_equal(settings->interval_ms, 1000);
    assert_int_equal(metrics->timeout_ms, 500);
    assert_int_equal(traces->timeout_ms, 60000);
    assert_int_equal(settings->spans_delay_ms, 0);
    assert_int_equal(settings->spans_max, 100);
    assert_int_equal(settings->spans_batch_max, 100); /* a batch is no larger than the queue */
    assert_string_equal(notes, "");
}

static void no_limit(void **state)
{
    LOAD(BASE, "OTEL_EXPORTER_OTLP_TIMEOUT", "0", "OTEL_METRIC_EXPORT_TIMEOUT", "0");
    (void)state;
    assert_int_equal(metrics->timeout_ms, 0);
    assert_int_equal(traces->timeout_ms, 30000); /* OTEL_BSP_EXPORT_TIMEOUT */
}

static void forms_of_metrics(void **state)
{
    static const char name[] = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
    static const char preference[] = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";

    (void)state;
    {
        LOAD(BASE, name, "BASE2_exponential_bucket_histogram", preference, "Cumulative");
        assert_true(settings->exponential);
        assert_string_equal(notes, "");
    }
    {
        LOAD(BASE, name, "explicit_bucket_histogram", preference, "delta");
        assert_false(settings->exponential);
        assert_non_null(strstr(notes, "cumulative sums only"));
    }
    {
        LOAD(BASE, "OTEL_CONFIG_FILE", "/x.yaml");
        assert_non_null(strstr(notes, "OTEL_CONFIG_FILE is not read"));
    }
}

static void signals_switched_off(void **state)
{
    static const struct {
        const char *name, *value;
        bool has_metrics, has_traces, is_noted;
    } table[] = {
        {"OTEL_METRICS_EXPORTER", "none", false, true, false},
        {"OTEL_TRACES_EXPORTER", "None", true, false, false},
        {"OTEL_METRICS_EXPORTER", "otlp", true, true, false},
        {"OTEL_METRICS_EXPORTER", "prometheus", false, true, false},
        {"OTEL_METRICS_EXPORTER", "prometheus, otlp", true, true, false},
        {"OTEL_TRACES_EXPORTER", "zipkin", true, true, true},
        {"OTEL_SDK_DISABLED", "True", false, false, false},
        {"OTEL_SDK_DISABLED", "1", true, true, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        LOAD(BASE, table[i].name, table[i].value);
        assert_int_equal(metrics->is_enabled, table[i].has_metrics);
        assert_int_equal(traces->is_enabled, table[i].has_traces);
        assert_int_equal(notes[0] != '\0', table[i].is_noted);
    }
}

static void files(void **state)
{
    struct export_settings *none = NULL;

    (void)state;
    {
        LOAD(BASE, "OTEL_EXPORTER_OTLP_CERTIFICATE", "/dev/null",
             "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "/dev/null",
             "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "/dev/null");
        assert_string_equal(metrics->certificate, "/dev/null");
        assert_string_equal(metrics->client_key, "");
        assert_string_equal(traces->client_key, "/dev/null");
    }
    assert_int_equal(
        load_with(NULL, NULL, ENV(BASE, "OTEL_EXPORTER_OTLP_CERTIFICATE", "/no/ca.pem"), &none),
        EXPORT_E_WRONG);
    assert_string_equal(error,
                        "OTEL_EXPORTER_OTLP_CERTIFICATE: /no/ca.pem: No such file or directory");
    assert_int_equal(
        load_with(NULL, NULL, ENV(BASE, "OTEL_EXPORTER_OTLP_CLIENT_KEY", "/dev/null"), &none),
        EXPORT_E_WRONG);
    assert_non_null(strstr(error, "only one is set"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_set),
        cmocka_unit_test(base_endpoint),
        cmocka_unit_test(paths),
        cmocka_unit_test(a_signals_own_endpoint_is_used_as_it_is),
        cmocka_unit_test(grpc_targets),
        cmocka_unit_test(what_is_no_url),
        cmocka_unit_test(flags_win),
        cmocka_unit_test(each_signal_wins_for_itself),
        cmocka_unit_test(headers),
        cmocka_unit_test(what_cannot_be_parsed_is_noted),
        cmocka_unit_test(numbers),
        cmocka_unit_test(no_limit),
        cmocka_unit_test(forms_of_metrics),
        cmocka_unit_test(signals_switched_off),
        cmocka_unit_test(files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
