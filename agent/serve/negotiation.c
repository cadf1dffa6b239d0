/* The type with the highest q wins; of equals the first. Names are underscored in every format, so
 * that whatever escaping a scraper asks for, ours is `underscores`, and we say so when asked. */
#include "agent/serve/negotiation.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/view.h"

struct media_range {
    struct view type; /* "text/plain" */
    struct view version, proto, encoding, escaping;
    double q;
};

static struct view view_trim(struct view view)
{
    while (view.length > 0 && isspace((unsigned char)view.bytes[0])) {
        view.bytes++;
        view.length--;
    }
    while (view.length > 0 && isspace((unsigned char)view.bytes[view.length - 1]))
        view.length--;
    if (view.length >= 2 && view.bytes[0] == '"' && view.bytes[view.length - 1] == '"') {
        view.bytes++;
        view.length -= 2;
    }
    return view;
}

static bool view_is(struct view view, const char *text)
{
    return view.length == strlen(text) && strncasecmp(view.bytes, text, view.length) == 0;
}

/* Cuts the part before the next @separator off @rest. */
static struct view view_cut(struct view *rest, char separator)
{
    const char *end = rest->length > 0 ? memchr(rest->bytes, separator, rest->length) : NULL;
    struct view part = {rest->bytes, end ? (size_t)(end - rest->bytes) : rest->length};
    size_t used = part.length + (end ? 1 : 0);

    rest->bytes += used;
    rest->length -= used;
    return view_trim(part);
}

static double quality_parse(struct view value)
{
    char text[16] = "";
    char *end;

    if (value.length >= sizeof(text) || value.length == 0)
        return 1;
    memcpy(text, value.bytes, value.length);
    double q = strtod(text, &end);
    return *end == '\0' && q >= 0 && q <= 1 ? q : 1;
}

static struct media_range range_parse(struct view text)
{
    struct media_range range = {.q = 1};

    range.type = view_cut(&text, ';');
    while (text.length > 0) {
        struct view value = view_cut(&text, ';');
        struct view key = view_cut(&value, '=');
        value = view_trim(value);
        if (view_is(key, "version"))
            range.version = value;
        else if (view_is(key, "proto"))
            range.proto = value;
        else if (view_is(key, "encoding"))
            range.encoding = value;
        else if (view_is(key, "escaping"))
            range.escaping = value;
        else if (view_is(key, "q"))
            range.q = quality_parse(value);
    }
    return range;
}

static bool is_any_version(struct view version, const char *one, const char *other)
{
    return version.length == 0 || view_is(version, one) || view_is(version, other);
}

/* Writes the format that answers @range; false: none does. */
static bool range_answer(const struct media_range *range, struct negotiation *ret)
{
    const char *escaping = range->escaping.length > 0 ? "; escaping=underscores" : "";

    if (view_is(range->type, "application/vnd.google.protobuf") &&
        view_is(range->proto, "io.prometheus.client.MetricFamily") &&
        view_is(range->encoding, "delimited")) {
        ret->format = EXPOSITION_PROTOBUF;
        (void)snprintf(ret->content_type, sizeof(ret->content_type),
                       "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; "
                       "encoding=delimited%s",
                       escaping);
        return true;
    }
    if ((view_is(range->type, "application/openmetrics-text") ||
         view_is(range->type, "application/*")) &&
        is_any_version(range->version, "1.0.0", "1.0.0")) {
        ret->format = EXPOSITION_OPENMETRICS;
        (void)snprintf(ret->content_type, sizeof(ret->content_type),
                       "application/openmetrics-text; version=1.0.0; charset=utf-8%s", escaping);
        return true;
    }
    if ((view_is(range->type, "text/plain") || view_is(range->type, "text/*") ||
         view_is(range->type, "*/*")) &&
        is_any_version(range->version, "0.0.4", "1.0.0")) {
        bool is_1_0 = view_is(range->version, "1.0.0");
        ret->format = EXPOSITION_TEXT;
        (void)snprintf(ret->content_type, sizeof(ret->content_type),
                       "text/plain; version=%s; charset=utf-8%s", is_1_0 ? "1.0.0" : "0.0.4",
                       is_1_0 && !*escaping ? "; escaping=underscores" : escaping);
        return true;
    }
    return false;
}

static bool takes_gzip(const char *accept_encoding)
{
    struct view rest = view_from(accept_encoding);

    while (rest.length > 0) {
        struct media_range coding = range_parse(view_cut(&rest, ','));
        if (view_is(coding.type, "gzip") || view_is(coding.type, "*"))
            return coding.q > 0;
    }
    return false;
}

void negotiate(const char *accept, const char *accept_encoding, struct negotiation *ret)
{
    struct view rest = view_from(accept);
    double best = 0;

    *ret = (struct negotiation){.format = EXPOSITION_TEXT, .gzip = takes_gzip(accept_encoding)};
    (void)snprintf(ret->content_type, sizeof(ret->content_type),
                   "text/plain; version=0.0.4; charset=utf-8");
    while (rest.length > 0) {
        struct media_range range = range_parse(view_cut(&rest, ','));
        struct negotiation answer = *ret;
        if (range.q > best && range_answer(&range, &answer)) {
            best = range.q;
            *ret = answer;
        }
    }
}
