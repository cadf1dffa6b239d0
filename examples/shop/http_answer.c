/* How things end for the client: answers, refusals, and what a weir_error means in HTTP. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <weir/error.h>

#include "http_request.h"
#include "journal.h"
#include "route.h"

enum { RETRY_AFTER_S = 1 };

void http_answer(struct http_request *request, unsigned status, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;

    json_decref(json);
    free(request->text);
    request->content_type = "application/json";
    request->status = text ? status : MHD_HTTP_INTERNAL_SERVER_ERROR;
    request->text = text ? text : strdup("{\"error\":\"memory\"}"); /* NULL: an empty answer */
}

void http_refuse(struct http_request *request, unsigned status, const char *word,
                 const char *format, ...)
{
    char message[256];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(message, sizeof(message), format, arguments); /* cut if overlong */
    va_end(arguments);
    http_answer(request, status,
                json_pack("{s:s, s:o}", "error", word, "message", journal_text(message)));
}

/* Who comes again later may be served: the pool is short, the server away, or others were in the
 * way. */
static bool is_worth_coming_again(const struct weir_error *error)
{
    switch ((int)weir_error_category(error)) {
    case WEIR_ERROR_TIMEOUT:
    case WEIR_ERROR_REFUSED:
    case WEIR_ERROR_DRAINING:
    case WEIR_ERROR_CANCELLED: /* at the end of the drain */
    case WEIR_ERROR_CONNECTION:
    case WEIR_ERROR_AUTHENTICATION: /* ours, not the client's: somebody is rotating a password */
    case WEIR_ERROR_TOO_MANY_CONNECTIONS:
    case WEIR_ERROR_HOOK:
    case WEIR_ERROR_LOCK:
        return true;
    default:
        return weir_error_is_retryable(error);
    }
}

static unsigned status_of(const struct weir_error *error)
{
    if (is_worth_coming_again(error))
        return MHD_HTTP_SERVICE_UNAVAILABLE;
    switch ((int)weir_error_category(error)) {
    case WEIR_ERROR_CONSTRAINT:
        return MHD_HTTP_CONFLICT;
    case WEIR_ERROR_DATA:
        return MHD_HTTP_UNPROCESSABLE_CONTENT;
    case WEIR_ERROR_PERMISSION:
        return MHD_HTTP_FORBIDDEN;
    default: /* COMMIT_UNKNOWN too: a client that tried again could order twice */
        return MHD_HTTP_INTERNAL_SERVER_ERROR;
    }
}

void http_fail(struct http_request *request, const struct weir_error *error)
{
    const char *category = weir_error_category_name(weir_error_category(error));
    unsigned status = status_of(error);

    /* The server's words are for our log; a client is told the kind, and which rule it broke. */
    http_answer(request, status,
                json_pack("{s:s, s:o}", "error", category, "constraint",
                          journal_text(weir_error_constraint(error))));
    if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
        request->retry_after_s = RETRY_AFTER_S;
    journal_write("request_failed",
                  json_pack("{s:s, s:i, s:s, s:o, s:o, s:o}", "route", request->route->name,
                            "status", (int)status, "category", category, "sqlstate",
                            journal_text(weir_error_sqlstate(error)), "tenant",
                            journal_text(request->tenant), "message",
                            journal_text(weir_error_message(error))));
}

FILE *http_spool_open(struct http_request *request)
{
    FILE *spool = tmpfile();

    if (!spool)
        http_refuse(request, MHD_HTTP_INTERNAL_SERVER_ERROR, "spool",
                    "no temporary file can be had");
    return spool;
}

void http_spool_send(struct http_request *request, FILE *spool, const char *content_type)
{
    if (fflush(spool) || ferror(spool)) {
        (void)fclose(spool);
        http_refuse(request, MHD_HTTP_INTERNAL_SERVER_ERROR, "spool", "the disk is full");
        return;
    }
    request->status = MHD_HTTP_OK;
    request->content_type = content_type;
    request->spool = spool;
}
