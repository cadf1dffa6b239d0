/* How the shop is, for probes and people. None of these takes a connection or waits. */
#pragma once

struct http_request;

void state_health(struct http_request *request);    /* GET /healthz: it runs */
void state_readiness(struct http_request *request); /* GET /readyz: send it requests, or not */
void state_pools(struct http_request *request);     /* GET /pools: statistics and advice */
