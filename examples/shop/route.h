/* Which part of the shop serves what. */
#pragma once

struct http_request;

enum route_kind {
    ROUTE_WORK,    /* may wait for a connection: served by a worker */
    ROUTE_AT_ONCE, /* waits for nothing: served by the server's own thread */
    ROUTE_DRILL,   /* as ROUTE_WORK, and only with --drill */
};

struct route {
    const char *method;
    const char *path; /* {tenant} and {sku} stand for one segment, which is checked */
    const char *name; /* the call site of what it acquires */
    void (*serve)(struct http_request *request);
    enum route_kind kind;
};

/* Finds @request's route and fills in what its path says. Without one the answer is made. */
void route_find(struct http_request *request, const char *method, const char *path);
