/* Which part of the shop serves what. */
#pragma once

#include <stdbool.h>

struct http_request;

struct route {
    const char *method;
    const char *path; /* {tenant} and {sku} stand for one segment, which is checked */
    const char *name; /* the call site of what it acquires */
    void (*serve)(struct http_request *request);
    bool is_at_once; /* waits for nothing: served by the server's own thread */
    bool is_drill;   /* only with --drill */
};

/* Finds @request's route and fills in what its path says. Without one the answer is made. */
void route_find(struct http_request *request, const char *method, const char *path);
