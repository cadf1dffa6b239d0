#include "agent/export/endpoint.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void url_freep(CURLU **url)
{
    curl_url_cleanup(*url);
}

/* A text of libcurl's, in its own memory. */
static void part_freep(char **part)
{
    curl_free(*part);
}

static int wrong(char *error, size_t error_size, const char *reason)
{
    (void)snprintf(error, error_size, "the OTLP endpoint %s", reason);
    return EXPORT_E_WRONG;
}

/* "scheme://host:port/path", without what may be secret. */
static char *shown_make(const char *scheme, const char *host, const char *port, const char *path)
{
    char *shown = NULL;

    if (asprintf(&shown, "%s%s%s:%s%s", scheme, scheme[0] ? "://" : "", host, port, path) < 0)
        return NULL;
    return shown;
}

/* An IPv6 address without its brackets is what server.address shows. */
static char *host_make(const char *host)
{
    size_t length = strlen(host);

    return host[0] == '[' && length > 2 ? strndup(host + 1, length - 2) : strdup(host);
}

static int path_append(CURLU *url, const char *appended)
{
    char *CLEANUP(part_freep) path = NULL;
    char *CLEANUP(freep) whole = NULL;

    if (curl_url_get(url, CURLUPART_PATH, &path, 0))
        return -ENOMEM;
    size_t length = strlen(path);
    bool has_slash = length > 0 && path[length - 1] == '/';
    if (asprintf(&whole, "%s%s%s", path, has_slash ? "" : "/", appended) < 0) {
        whole = NULL;
        return -ENOMEM;
    }
    return curl_url_set(url, CURLUPART_PATH, whole, 0) ? -ENOMEM : 0;
}

/* gRPC core speaks over a Unix socket, too; its path is the target. */
static int unix_fill(struct export_endpoint *endpoint, const char *text, bool insecure)
{
    endpoint->url = strdup(text);
    endpoint->shown = strdup(text);
    endpoint->host = strdup(text + strlen("unix:"));
    endpoint->port = 0;
    endpoint->is_tls = !insecure;
    return endpoint->url && endpoint->shown && endpoint->host ? 0 : -ENOMEM;
}

static bool is_printable(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text <= ' ' || *text == 0x7f)
            return false;
    }
    return true;
}

static int parts_fill(struct export_endpoint *endpoint, CURLU *url, bool has_scheme, bool insecure)
{
    char *CLEANUP(part_freep) scheme = NULL;
    char *CLEANUP(part_freep) host = NULL;
    char *CLEANUP(part_freep) port = NULL;
    char *CLEANUP(part_freep) path = NULL;
    char *CLEANUP(part_freep) whole = NULL;

    if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) ||
        curl_url_get(url, CURLUPART_HOST, &host, 0) ||
        curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) ||
        curl_url_get(url, CURLUPART_PATH, &path, 0) || curl_url_get(url, CURLUPART_URL, &whole, 0))
        return -ENOMEM;
    endpoint->port = (uint16_t)strtoul(port, NULL, 10);
    endpoint->is_tls = has_scheme ? strcmp(scheme, "https") == 0 : !insecure;
    endpoint->host = host_make(host);
    if (endpoint->protocol == EXPORT_HTTP) {
        endpoint->url = strdup(whole);
        endpoint->shown = shown_make(scheme, host, port, path);
    } else {
        endpoint->url = shown_make("", host, port, "");
        endpoint->shown = shown_make(endpoint->is_tls ? "https" : "http", host, port, "");
    }
    return endpoint->url && endpoint->shown && endpoint->host ? 0 : -ENOMEM;
}

int endpoint_parse(struct export_endpoint *endpoint, const char *text, const char *path,
                   bool insecure, char *error, size_t error_size)
{
    CURLU *CLEANUP(url_freep) url = NULL;
    char *CLEANUP(freep) whole = NULL;
    char *CLEANUP(part_freep) scheme = NULL;
    bool is_grpc = endpoint->protocol == EXPORT_GRPC;
    bool has_scheme = strstr(text, "://") != NULL;

    if (!is_printable(text))
        return wrong(error, error_size, "is no URL: it has spaces or control characters");
    if (is_grpc && strncmp(text, "unix:", 5) == 0)
        return unix_fill(endpoint, text, insecure);
    if (!has_scheme && !is_grpc)
        return wrong(error, error_size,
                     "is no URL: it must begin with http:// or https:// (host:port alone is for "
                     "the protocol grpc)");
    if (asprintf(&whole, "%s%s", has_scheme ? "" : "http://", text) < 0) {
        whole = NULL;
        return -ENOMEM;
    }
    url = curl_url();
    if (!url)
        return -ENOMEM;
    CURLUcode code = curl_url_set(url, CURLUPART_URL, whole, CURLU_NON_SUPPORT_SCHEME);
    if (code) {
        char reason[160];
        (void)snprintf(reason, sizeof(reason), "is no URL: %s", curl_url_strerror(code));
        return code == CURLUE_OUT_OF_MEMORY ? -ENOMEM : wrong(error, error_size, reason);
    }
    if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0))
        return -ENOMEM;
    if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
        return wrong(error, error_size, "has a scheme other than http and https");
    if (!is_grpc && path) {
        int r = path_append(url, path);
        if (r < 0)
            return r;
    }
    return parts_fill(endpoint, url, has_scheme, insecure);
}
