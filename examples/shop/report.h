/* What the shop's owner wants to know, over all tenants. */
#pragma once

struct http_request;

void report_daily(struct http_request *request); /* GET /reports/daily?days= */
