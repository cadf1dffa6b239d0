/* One HTTP request on its way through the shop, with the answer that it is going to get. A request
 * is touched by one thread at a time: the server's while it is received and answered, a worker's in
 * between. */
#pragma once

#include <jansson.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct shop;
struct route;
struct weir_error;

enum { TENANT_BYTES = 32, SKU_BYTES = 41, BODY_BYTES_MAX = 4 * 1024 * 1024 };

enum http_stage { HTTP_RECEIVING, HTTP_WITH_WORKER, HTTP_ANSWERED };

struct http_request {
    struct shop *shop;
    struct MHD_Connection *connection;
    const struct route *route; /* NULL: none fits, and the answer says so */
    enum http_stage stage;
    struct http_request *next; /* in the workers' queue */

    char tenant[TENANT_BYTES], sku[SKU_BYTES]; /* from the path, checked; "" if it has none */
    const char *traceparent, *tracestate;      /* NULL: none */
    char *body;
    size_t body_length, body_room;
    bool is_too_long;

    unsigned status;
    const char *content_type;
    const char *allow; /* methods, for 405 */
    char *text;        /* the answer, or … */
    FILE *spool;       /* … a file with it */
    int retry_after_s; /* 0: not said */
};

/* ---- what was asked -------------------------------------------------------------------------- */

struct http_request *http_request_new(struct shop *shop, struct MHD_Connection *connection);
struct http_request *http_request_free(struct http_request *request);
/* Adds what came of the body; what exceeds BODY_BYTES_MAX is passed over, and is_too_long set. */
void http_request_receive(struct http_request *request, const char *bytes, size_t length);
/* A query parameter; NULL if it was not given. */
const char *http_request_query(const struct http_request *request, const char *name);
/* The same as a whole number in a range, @otherwise if it was not given. On false the answer is
 * made. */
bool http_request_number(struct http_request *request, const char *name, int least, int most,
                         int otherwise, int *ret);
bool tenant_is_valid(const char *tenant);
bool sku_is_valid(const char *sku);

/* ---- what is answered ------------------------------------------------------------------------ */

/* Takes the reference to @json; NULL (no memory left) answers 500. */
void http_answer(struct http_request *request, unsigned status, json_t *json);
/* A refusal: {"error": word, "message": sentence}. */
void http_refuse(struct http_request *request, unsigned status, const char *word,
                 const char *format, ...) __attribute__((format(printf, 4, 5)));
/* What came of work on the database; logs what the client is not told. */
void http_fail(struct http_request *request, const struct weir_error *error);
/* A file that the answer is written to. NULL if none can be had: the answer is made. A whole answer
 * is written before any of it is sent, and its connection given back: a slow reader holds a file,
 * never a connection, and an answer that fails half-way is an error and not half an answer. */
FILE *http_spool_open(struct http_request *request);
/* Answers with what was written; takes the file. */
void http_spool_send(struct http_request *request, FILE *spool, const char *content_type);
