/* Which format a scraper gets for what it asks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/serve/negotiation.h"

#define TEXT        "text/plain; version=0.0.4; charset=utf-8"
#define OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define PROTOBUF                                                                                   \
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"

static void the_best_type_wins(void **state)
{
    static const struct {
        const char *accept;
        enum exposition_format format;
        const char *content_type;
    } examples[] = {
        {NULL, EXPOSITION_TEXT, TEXT},
        {"", EXPOSITION_TEXT, TEXT},
        {"*/*", EXPOSITION_TEXT, TEXT},
        {"text/html, image/png;q=0.9", EXPOSITION_TEXT, TEXT},
        {"application/openmetrics-text", EXPOSITION_OPENMETRICS, OPENMETRICS},
        {"application/openmetrics-text; version=\"1.0.0\"", EXPOSITION_OPENMETRICS, OPENMETRICS},
        {"application/openmetrics-text;version=0.0.1", EXPOSITION_TEXT, TEXT},
        {"application/openmetrics-text;version=1.0.0;q=0.2,text/plain;version=0.0.4;q=0.3",
         EXPOSITION_TEXT, TEXT},
        {"application/openmetrics-text;q=0", EXPOSITION_TEXT, TEXT},
        /* Prometheus 3, then 2 with native histograms. */
        {"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
         "application/openmetrics-text;version=0.0.1;q=0.5,"
         "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,"
         "*/*;q=0.2",
         EXPOSITION_OPENMETRICS, OPENMETRICS "; escaping=underscores"},
        {"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
         "encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,"
         "application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,"
         "*/*;q=0.1",
         EXPOSITION_PROTOBUF, PROTOBUF},
        {"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
         EXPOSITION_TEXT, TEXT},
        {"text/plain;version=1.0.0;escaping=allow-utf-8", EXPOSITION_TEXT,
         "text/plain; version=1.0.0; charset=utf-8; escaping=underscores"},
        {" ; , ,;q=,text/plain;q=banana;;;", EXPOSITION_TEXT, TEXT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        struct negotiation answer;
        negotiate(examples[i].accept, NULL, &answer);
        assert_int_equal(answer.format, examples[i].format);
        assert_string_equal(answer.content_type, examples[i].content_type);
        assert_false(answer.gzip);
    }
}

static void gzip_is_taken_when_offered(void **state)
{
    static const struct {
        const char *accept_encoding;
        bool gzip;
    } examples[] = {
        {NULL, false},       {"", false},    {"identity", false},
        {"gzip", true},      {"GZIP", true}, {"br, gzip;q=0.5", true},
        {"gzip;q=0", false}, {"*", true},    {"gzipped", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        struct negotiation answer;
        negotiate(NULL, examples[i].accept_encoding, &answer);
        assert_int_equal(answer.gzip, examples[i].gzip);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_type_wins),
        cmocka_unit_test(gzip_is_taken_when_offered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
