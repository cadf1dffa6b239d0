#include "http_request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct http_request *http_request_new(struct shop *shop, struct MHD_Connection *connection)
{
    struct http_request *request = calloc(1, sizeof(*request));

    if (!request)
        return NULL;
    request->shop = shop;
    request->connection = connection;
    /* Headers and parameters live as long as the request; the server does not change them later. */
    request->traceparent = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "traceparent");
    request->tracestate = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "tracestate");
    return request;
}

struct http_request *http_request_free(struct http_request *request)
{
    if (!request)
        return NULL;
    free(request->body);
    free(request->text);
    if (request->spool)
        (void)fclose(request->spool);
    free(request);
    return NULL;
}

void http_request_receive(struct http_request *request, const char *bytes, size_t length)
{
    size_t needed = request->body_length + length;

    if (request->is_too_long || needed > BODY_BYTES_MAX) {
        request->is_too_long = true;
        return;
    }
    if (needed > request->body_room) {
        size_t room = needed * 2 < BODY_BYTES_MAX ? needed * 2 : BODY_BYTES_MAX;
        char *larger = realloc(request->body, room);
        if (!larger) {
            request->is_too_long = true;
            return;
        }
        request->body = larger;
        request->body_room = room;
    }
    memcpy(request->body + request->body_length, bytes, length);
    request->body_length = needed;
}

const char *http_request_query(const struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

bool http_request_number(struct http_request *request, const char *name, int least, int most,
                         int otherwise, int *ret)
{
    const char *text = http_request_query(request, name);
    char *end;
    long number;

    *ret = otherwise;
    if (!text)
        return true;
    errno = 0;
    number = strtol(text, &end, 10);
    if (end == text || *end || errno || number < least || number > most) {
        http_refuse(request, MHD_HTTP_BAD_REQUEST, "bad_parameter",
                    "%s wants a whole number from %d to %d", name, least, most);
        return false;
    }
    *ret = (int)number;
    return true;
}

/* As the table's own rule has it: a DNS label. */
bool tenant_is_valid(const char *tenant)
{
    size_t length = strlen(tenant);

    return length > 0 && length < TENANT_BYTES && tenant[0] >= 'a' && tenant[0] <= 'z' &&
           strspn(tenant, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

bool sku_is_valid(const char *sku)
{
    size_t length = strlen(sku);

    return length > 0 && length < SKU_BYTES &&
           strspn(sku, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") ==
               length;
}
